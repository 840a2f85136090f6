"""Kernels for the CPU: loops compiled by Numba that pass over memory once."""

KERNELS = {
    "adam": "adam sparse_adam",
    "elementwise": "add_at dropout erf relu relu_vjp",
    "classification": "softmax_cross_entropy softmax_cross_entropy_vjp",
    "channels": "channel_moments channel_products channel_sums scale_channels standardize standardize_vjp",
    "convolution": "conv2d conv2d_input conv2d_relu conv2d_weight",
    "optim": ("adabelief adabound adadelta adagrad adamax all_finite lion nadam radam rmsprop sgd"),
    "pooling": "max_pool2d max_pool2d_vjp mixed sum_pool2d sum_pool2d_input",
    "products": "linear linear_relu matmul",
}
"""For each module, the functions that override reference code of the same name."""
