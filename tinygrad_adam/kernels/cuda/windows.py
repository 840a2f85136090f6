"""Windows that slide over images, in CUDA: their parameters, and loops over places and windows.

Images lie in memory in the order of their axes, (N, C, H, W): a plane for each channel of each image.
Neighboring threads take neighboring pixels of a line, and so read neighboring memory.
"""

WINDOWS = r"""
// The parameters of every kernel: `Windows` of kernels/geometry.py, in order.
#define WINDOWS                                                                                         \
    INDEX height, INDEX width, INDEX rows, INDEX columns, INDEX kernel_height, INDEX kernel_width,      \
    INDEX stride_down, INDEX stride_across, INDEX top, INDEX left, INDEX dilation_down, INDEX dilation_across

// Visits the places (i, j) of window (p, q) that lie inside the image, at (h, v).
#define EACH_PLACE(i, j, h, v)                                                                          \
    for (INDEX i = 0, h = p * stride_down - top; i < kernel_height; ++i, h += dilation_down)            \
        if (h >= 0 && h < height)                                                                       \
            for (INDEX j = 0, v = q * stride_across - left; j < kernel_width; ++j, v += dilation_across) \
                if (v >= 0 && v < width)

// Visits the windows (p, q) that reach pixel (h, v), each with the place (i, j) of it that does.
#define EACH_WINDOW(i, j, p, q)                                                                         \
    for (INDEX i = 0, down = h + top, p; i < kernel_height; ++i, down -= dilation_down)                 \
        if (p = down / stride_down, down >= 0 && p < rows && p * stride_down == down)                   \
            for (INDEX j = 0, across = v + left, q; j < kernel_width; ++j, across -= dilation_across)   \
                if (q = across / stride_across, across >= 0 && q < columns && q * stride_across == across)
"""
