"""Show the graph of a backward pass, as text and as pictures that unfold.

Draws a scalar neuron with its values and gradients, and a small convolutional network with a residual
block, folded by module and unfolded. In a browser, click a module to see its contents. Run it with:

    python examples/05_see_the_graph.py --out graphs
"""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu")
parser.add_argument("--out", type=Path, default=Path("graphs"), help="the folder for the pictures")
args = parser.parse_args()


def scalar(value):
    return tg.tensor(value, dtype=np.float64, device=args.device, requires_grad=True)


# A neuron: o = tanh(x1 w1 + x2 w2 + b). The picture uses the names of the variables.
x1, x2 = scalar(2.0), scalar(0.0)
w1, w2 = scalar(-3.0), scalar(1.0)
b = scalar(6.8813735870195432)
x1w1 = x1 * w1
x2w2 = x2 * w2
s = x1w1 + x2w2
n = s + b
o = n.tanh()
print(o.explain())
tg.draw(o).save(args.out / "neuron.svg")

# The gradients in the text equal those of backward().
gradients = {leaf.name: leaf.gradient.value for leaf in o.explain().leaves}
o.backward()
for name, leaf in {"x1": x1, "x2": x2, "w1": w1, "w2": w2, "b": b}.items():
    assert gradients[name] == leaf.grad.item()


class Block(nn.Module):
    """Two convolutions with a skip connection around them."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        """Add the input to the output of the convolutions."""
        h = F.relu(self.conv1(x))
        return F.relu(self.conv2(h) + x)


tg.manual_seed(0)
stem = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
model = nn.Sequential(*stem, Block(8), nn.Flatten(), nn.Linear(8 * 7 * 7, 10)).to(args.device)
images = tg.randn(32, 1, 14, 14, device=args.device)
labels = np.arange(32) % 10

# Inside this block, every operation records its source line and its module.
with tg.tracing():
    loss = F.cross_entropy(model(images), labels)
tg.draw(loss).save(args.out / "network.svg")
tg.draw(loss, unfold=9).save(args.out / "unfolded.svg")  # all modules less than nine levels deep

print("\nThe operations that keep the most memory for the backward pass:")
for step in loss.explain().largest(3):
    print(f"  {step.kept_bytes:>9,} bytes  {step.operation:<12} {step.call.path:<8} {step.line}")
print(f"\nThe pictures are in {args.out}.")
