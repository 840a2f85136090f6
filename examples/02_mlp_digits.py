"""Train a small network on the digits that ship with the package, with an explicit training loop.

It takes a few seconds. Run it with:

    python examples/02_mlp_digits.py
"""

import argparse

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, optim, training

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
device = tg.device(parser.parse_args().device)

tg.manual_seed(0)
digits = data.load_digits()
train = data.TensorDataset(*digits.arrays("train"))
loader = data.DataLoader(train, batch_size=64, shuffle=True, device=device)
model = training.mlp((64,), classes=10, hidden=(256, 256), dropout=0.3).to(device)
opt = optim.Adam(model.parameters(), lr=3e-3)
schedule = optim.CosineAnnealingLR(opt, t_max=30)

for epoch in range(30):
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    schedule.step()
    print(f"epoch {epoch + 1:2}   last loss {loss.item():.4f}")

images, labels = digits.arrays("test")
with tg.no_grad():
    answers = model.eval()(tg.tensor(images, device=device)).argmax(axis=1)
accuracy = (answers.to("cpu").numpy() == labels).mean()
print(f"test accuracy {accuracy:.2%}")
assert accuracy >= 0.965
