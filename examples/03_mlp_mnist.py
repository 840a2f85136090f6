"""Train a network on MNIST with the Trainer: validation, a schedule, checkpoints.

The images are downloaded once, or read from the folder given by TINYGRAD_ADAM_DATA. The best
checkpoint and a picture of the curves are saved in the folder given by --out.
An epoch takes a few seconds. Run it with:

    python examples/03_mlp_mnist.py
"""

import argparse
from pathlib import Path

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, training

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--out", type=Path, default=Path("runs/example-mnist"))
args = parser.parse_args()
device = tg.device(args.device)

tg.manual_seed(0)
mnist = data.load_mnist()
learn, validate = data.split(data.TensorDataset(*mnist.arrays("train")), 0.9, seed=0)
model = training.mlp((784,), classes=10, hidden=(256, 128), dropout=0.2).to(device)
print(model)

optimizer = optim.Adam(model.named_parameters(), lr=2e-3)
checkpoints = training.Checkpoints(args.out)
trainer = training.Trainer(
    model,
    optimizer,
    nn.functional.cross_entropy,
    {"accuracy": training.Accuracy()},
    schedule=optim.CosineAnnealingLR(optimizer, args.epochs),
    callbacks=[checkpoints, training.choose_display()],
)
history = trainer.fit(
    data.DataLoader(learn, batch_size=64, shuffle=True, device=device),
    args.epochs,
    validation=data.DataLoader(validate, batch_size=1000, device=device),
)
history.plot(args.out / "curves.png")

training.load_checkpoint(checkpoints.best_file, model)
test = data.DataLoader(data.TensorDataset(*mnist.arrays("test")), batch_size=1000, device=device)
accuracy = trainer.evaluate(test)["accuracy"]
print(f"test accuracy {accuracy:.2%}")
assert accuracy >= 0.98
