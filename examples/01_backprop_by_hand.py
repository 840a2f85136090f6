"""Differentiate a small network by hand, then with the engine, and compare the numbers.

The network has two inputs, three hidden units with tanh, and one output; the loss is the mean
squared error. Run it with:

    python examples/01_backprop_by_hand.py
"""

import argparse

import numpy as np

import tinygrad_adam as tg

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
device = tg.device(parser.parse_args().device)

rng = np.random.default_rng(0)
x, target = rng.standard_normal((4, 2)), rng.standard_normal((4, 1))
W1, b1 = rng.standard_normal((3, 2)), rng.standard_normal(3)
W2, b2 = rng.standard_normal((1, 3)), rng.standard_normal(1)

# Forward, keeping the values that the backward pass needs.
z = x @ W1.T + b1  # (4, 3)
h = np.tanh(z)  # (4, 3)
y = h @ W2.T + b2  # (4, 1)
loss = ((y - target) ** 2).mean()

# Backward, from the loss to the first layer. "dy" stands for d(loss)/dy, and so on.
dy = 2 * (y - target) / y.size  # the loss is a mean of squares
dW2 = dy.T @ h  # y = h W2^T + b2: the gradient of a weight holds the h that it multiplied
db2 = dy.sum(axis=0)  # the bias was broadcast over the batch, so its gradient is a sum
dh = dy @ W2
dz = dh * (1 - h**2)  # the derivative of tanh, from its output
dW1 = dz.T @ x
db1 = dz.sum(axis=0)

# The same network as Tensors. Operations record a tape, and backward() walks it from the end.
params = {
    name: tg.tensor(value, device=device, requires_grad=True)
    for name, value in {"W1": W1, "b1": b1, "W2": W2, "b2": b2}.items()
}
hidden = tg.tanh(tg.tensor(x, device=device) @ params["W1"].T + params["b1"])
output = hidden @ params["W2"].T + params["b2"]
engine_loss = ((output - tg.tensor(target, device=device)) ** 2).mean()
engine_loss.backward()

print(f"loss by hand {loss:.12f}, by the engine {engine_loss.item():.12f}")
assert abs(engine_loss.item() - loss) < 1e-12
for name, by_hand in {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}.items():
    difference = np.abs(params[name].grad.to("cpu").numpy() - by_hand).max()
    print(f"d(loss)/d{name}: largest difference {difference:.1e}")
    assert difference < 1e-12
