"""
One number
==========

The derivative of a function of one number.
"""

# %%
# Placeholder to be replaced by the chapter.
import tinygrad_adam as tg

x = tg.tensor(3.0, requires_grad=True)
y = x * x
y.backward()
print(x.grad)
