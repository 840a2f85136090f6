"""A training run that fails in three ways: the doctor diagnoses it, and the repaired run learns.

The broken loop forgets to clear the gradients, applies softmax before a loss that already does, and
starts from weights that put most tanh units at the flat ends of their curve. Run it with:

    python examples/07_doctor.py
"""

import argparse

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, nn, optim

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu")
device = parser.parse_args().device

digits = data.load_digits()
train = data.TensorDataset(*digits.arrays("train"))


def build(scale):
    """Build a network of two layers; `scale` multiplies the weights of the first one."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 10)).to(device)
    with tg.no_grad():
        model[0].weight *= scale
    return model, optim.Adam(model.named_parameters(), lr=3e-3)


def accuracy(model):
    images, labels = digits.arrays("test")
    with tg.no_grad():
        answers = model(tg.tensor(images, device=device)).argmax(axis=1)
    return (answers.to("cpu").numpy() == labels).mean()


print("--- The broken loop")
model, opt = build(scale=50)
with tg.doctor() as doctor:
    for x, y in data.DataLoader(train, batch_size=64, shuffle=True, device=device):
        loss = F.cross_entropy(F.softmax(model(x)), y)
        loss.backward()
        opt.step()
print(f"test accuracy {accuracy(model):.2%}")
assert {f.kind for f in doctor.findings} >= {"gradients-not-cleared", "softmax-twice", "saturated"}

print("\n--- As the doctor ordered")
model, opt = build(scale=1)
with tg.doctor() as doctor:
    for _ in range(5):
        for x, y in data.DataLoader(train, batch_size=64, shuffle=True, device=device):
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
print(f"test accuracy {accuracy(model):.2%}")
assert not doctor.findings
assert accuracy(model) >= 0.9
