"""Train a convolutional network on MNIST to about 99 % accuracy in five epochs.

The images are downloaded once, or read from the folder given by TINYGRAD_ADAM_DATA. They stay bytes in
memory; each batch is converted to floats when it is loaded. An epoch takes half a minute or more on
two cores, and is reported when it ends. Run it with:

    python examples/04_cnn_mnist.py
"""

import argparse

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, training

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()
device = tg.device(args.device)

tg.manual_seed(0)
mnist = data.load_mnist()
model = nn.Sequential(
    nn.Conv2d(1, 32, kernel_size=5, padding=2),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, kernel_size=5, padding=2),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.3),
    nn.Linear(64 * 7 * 7, 128),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(128, 10),
).to(device)
print(model.summary(tg.zeros(1, 1, 28, 28, device=device)))

optimizer = optim.Adam(model.named_parameters(), lr=1e-3)
trainer = training.Trainer(
    model,
    optimizer,
    nn.functional.cross_entropy,
    {"accuracy": training.Accuracy()},
    schedule=optim.CosineAnnealingLR(optimizer, args.epochs),
    callbacks=[training.choose_display()],
)
test = data.DataLoader(mnist.dataset("test"), batch_size=500, device=device)
trainer.fit(
    data.DataLoader(mnist.dataset("train"), batch_size=64, shuffle=True, device=device),
    args.epochs,
)
accuracy = trainer.evaluate(test)["accuracy"]
print(f"test accuracy {accuracy:.2%}")
assert accuracy >= 0.99
