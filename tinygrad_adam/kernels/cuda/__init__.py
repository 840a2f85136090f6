"""Kernels for NVIDIA GPUs, in CUDA C."""

KERNELS = {
    "channels": "channel_moments channel_products channel_sums scale_channels standardize standardize_vjp",
    "convolution": "conv2d conv2d_input conv2d_relu conv2d_weight",
    "elementwise": "dropout erf linear linear_relu matmul relu_vjp",
    "indexing": "add_at",
    "loss": "softmax_cross_entropy softmax_cross_entropy_vjp",
    "optim": (
        "adabelief adabound adadelta adagrad adam adamax all_finite lion nadam radam rmsprop sgd sparse_adam"
    ),
    "pooling": "max_pool2d max_pool2d_gather max_pool2d_vjp sum_pool2d sum_pool2d_input",
}
"""For each module, the functions that override reference code of the same name."""
