"""Wrong calls of saving and loading."""

from __future__ import annotations

import json
import struct

import numpy as np

from tinygrad_adam import nn, optim, training

ENDINGS = [
    ".pt",
    ".pth",
    ".keras",
    ".h5",
    ".pb",
    ".pkl",
    ".msgpack",
    ".onnx",
    ".gguf",
    ".mat",
    ".npy",
    ".json",
]


def net(size=2):
    return nn.Linear(size, 1)


def loads(content, name="m.safetensors", load=None):
    """Load a file of these bytes."""

    def call(folder):
        (folder / name).write_bytes(content)
        (load or net().load)(folder / name)

    return call


def header_of(kind):
    header = json.dumps({"w": {"dtype": kind, "shape": [3], "data_offsets": [0, 6]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(6)


def truncated(folder):
    net().save(folder / "m.safetensors")
    whole = (folder / "m.safetensors").read_bytes()
    loads(whole[:-3])(folder)


def changed_bytes(folder):
    training.save_checkpoint(folder / "c", net())
    whole = bytearray((folder / "c").read_bytes())
    whole[-1] ^= 1
    (folder / "c").write_bytes(whole)
    training.load_checkpoint(folder / "c", net())


def newer(folder):
    training.save_checkpoint(folder / "c", net())
    whole = (folder / "c").read_bytes()
    (folder / "c").write_bytes(whole.replace(rb"\"version\": 1", rb"\"version\": 9"))
    training.load_checkpoint(folder / "c", net())


def of_another_model(folder):
    net(3).save(folder / "m.safetensors")
    net().load(folder / "m.safetensors")


def without_an_optimizer(folder):
    training.save_checkpoint(folder / "c", net())
    model = net()
    training.load_checkpoint(folder / "c", model, optim.Adam(model.parameters()))


def without_a_trainer(folder):
    model = net()
    opt = optim.Adam(model.parameters())
    training.save_checkpoint(folder / "c", model, opt)
    training.Trainer(model, opt, nn.MSELoss()).load(folder / "c")


def weights_alone(folder):
    net().save(folder / "m.safetensors")
    training.load_checkpoint(folder / "m.safetensors", net())


def into_a_folder(folder):
    net().save(folder)


def objects(folder):
    np.savez(folder / "m.npz", weight=np.array([None]))
    net().load(folder / "m.npz")


CALLS = {
    **{
        f"saving weights as {ending}": lambda folder, ending=ending: net().save(folder / f"m{ending}")
        for ending in ENDINGS
    },
    "saving a checkpoint as .npz": lambda folder: training.save_checkpoint(folder / "c.npz", net()),
    "saving a checkpoint with an object": lambda folder: training.save_checkpoint(
        folder / "c", net(), extra={"note": object()}
    ),
    "saving into a folder": into_a_folder,
    "loading what is not there": lambda folder: net().load(folder / "gone"),
    "loading a folder": lambda folder: net().load(folder),
    "loading nothing": loads(b""),
    "loading a text": loads(b"these are no weights, but long enough for a header"),
    "loading a pickle": loads(b"\x80\x04K\x03."),
    "loading a file that was cut": truncated,
    "loading an archive that is damaged": loads(b"PK\x03\x04 and no more", "m.npz"),
    "loading objects": objects,
    "loading bfloat16": loads(header_of("BF16")),
    "loading the weights of another model": of_another_model,
    "loading a checkpoint of changed bytes": changed_bytes,
    "loading a checkpoint of a newer version": newer,
    "loading a checkpoint without an optimizer": without_an_optimizer,
    "loading a checkpoint without a Trainer": without_a_trainer,
    "loading weights as a checkpoint": weights_alone,
    "loading a text as a checkpoint": loads(
        b"notes", load=lambda path: training.load_checkpoint(path, net())
    ),
    "a schedule's picture in another format": lambda folder: optim.StepLR(
        optim.SGD(net().parameters(), lr=0.1), 2
    ).plot(4, folder / "x.jpgg"),
    "a history's picture in another format": lambda folder: training.History(
        [{"epoch": 1, "loss": 1.0}]
    ).plot(folder / "x.npz"),
}
