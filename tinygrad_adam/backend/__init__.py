"""The only room that knows array libraries: devices, and the choice of kernels for each of them."""
