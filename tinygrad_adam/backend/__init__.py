"""The only room that knows array libraries: devices, and kernels for each of them."""
