"""Race optimizers on a function known for its valley, and on the loss of a network.

The first race is on Beale's function, with the best learning rate for each optimizer; the table shows
which ones reach the minimum, the picture how. The second is on a plane through the weights of a small
network: one direction leads from the trained to the initial weights, the other is random. Run it with:

    python examples/06_race.py --out races
"""

import argparse
from pathlib import Path

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, explain, nn, optim

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("races"), help="the folder for the pictures")
folder = parser.parse_args().out


def show(race):
    columns, rows = race.table()
    for row in (columns, *rows):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, (10, 24, 12, 14, 9), strict=True)))
    print()


race = explain.race("beale", ["sgd", "momentum", "adagrad", "rmsprop", "adam"], steps=150)
show(race)
explain.save_race(race, folder / "beale.png")  # .gif or .html for an animation

# The numbers behind the arrows in the picture: Adam's first step, from the record.
adam = race.trajectories[-1]
print("Adam's first gradient", adam.gradients[0], "and step", adam.steps[0])
lr = adam.entry.settings["lr"]
assert abs(abs(adam.steps[0]) - lr).max() < 1e-6  # the learning rate, whatever the gradient

tg.manual_seed(0)
x, y = data.moons(200, noise=0.35, seed=0)
x = tg.tensor(x)
model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
begun = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
opt = optim.Adam(model.parameters(), lr=0.02)
for _ in range(200):
    loss = F.cross_entropy(model(x), y)
    opt.zero_grad()
    loss.backward()
    opt.step()

surface = explain.through(model, lambda: F.cross_entropy(model(x), y), begun, "a network on two moons")
assert abs(surface.least - F.cross_entropy(model(x), y).item()) < 1e-6
race = explain.race(surface, ["sgd", "momentum", "rmsprop", "adam"], steps=40)
show(race)
explain.save_race(race, folder / "network.png")
print(f"The pictures are in {folder}.")
