"""Wrong calls of explanations, drawings, films, ledgers and races."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import explain, nn, optim, training


def leaf(value=2.0):
    return tg.tensor(np.array(value), requires_grad=True)


def freed():
    loss = (leaf() * leaf(3.0)).exp()
    loss.backward()
    return loss


def model():
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))


def loss_of(net):
    return net(tg.ones(4, 2)).square().mean()


def adam(steps=0):
    opt = optim.Adam([("w", nn.Parameter(np.ones((2, 3))))])
    p = opt.param_groups[0]["params"][0]
    for _ in range(steps):
        p.grad = np.ones((2, 3))
        with opt.ledger():
            opt.step()
    return opt


def not_recorded():
    opt = adam()
    opt.param_groups[0]["params"][0].grad = np.ones((2, 3))
    opt.step()
    opt.explain("w")


def own_optimizer():
    class Mine(optim.SGD):
        kernel = "mine"

        @staticmethod
        def update(xp, param, grad, *, lr, **scalars):
            param -= lr * grad

    Mine([("w", nn.Parameter([1.0]))], lr=0.1).explain("w")


def filmed(path):
    with tg.film(path):
        pass


def films_into_a_folder(folder):
    (folder / "folder.html").mkdir()
    filmed(folder / "folder.html")


def race(*optimizers, steps=3):
    return explain.race("beale", optimizers or ["sgd"], steps)


def plane(**directions):
    net = model()
    right = {name: np.ones(p.shape) for name, p in net.named_parameters()}
    about = {"labels": ("x", "y"), "name": "n", "source": "s"}
    return explain.plane(net, lambda: loss_of(net), {**right, **directions}, right, **about)


def not_finite_around():
    net = model()
    net[0].bias.data = np.full(3, math.nan)
    explain.around(net, lambda: loss_of(net))


def saved_drawing(folder, name):
    (folder / "file").write_text("in the way")
    tg.draw(leaf().exp()).save(folder / name)


CALLS = {
    "explain of a leaf": lambda: leaf().explain(),
    "explain of what is freed": lambda: freed().explain(),
    "explain of a result without recording": lambda: tg.no_grad(lambda: leaf() * 2)().explain(),
    "explain along another shape": lambda: (leaf() * 2).explain(gradient=np.ones(3)),
    "draw of a leaf": lambda: tg.draw(leaf()),
    "draw of a number": lambda: tg.draw(1.0),
    "draw of what is freed": lambda: tg.draw(freed()),
    "draw with an unknown module": lambda: tg.draw(loss_of(model()), unfold="frist"),
    "a drawing as PNG": lambda folder: saved_drawing(folder, "graph.png"),
    "a drawing in a file": lambda folder: saved_drawing(folder, "file/graph.svg"),
    "film in a text": lambda folder: filmed(folder / "film.txt"),
    "film in a folder": films_into_a_folder,
    "film of no step": lambda folder: filmed(folder / "film.html"),
    "ledger of an unknown name": lambda: adam(1).explain("v"),
    "ledger of an entry out of range": lambda: adam(1).explain("w", (2, 0)),
    "ledger of an entry of one axis": lambda: adam(1).explain("w", (0,)),
    "ledger of an entry of fractions": lambda: adam(1).explain("w", (0.0, 1)),
    "ledger of a word for an entry": lambda: adam(1).explain("w", "ab"),
    "ledger before a step": lambda: adam().explain("w", (0, 0)),
    "ledger of a step that was not recorded": not_recorded,
    "ledger of an optimizer of one's own": own_optimizer,
    "an unknown quantity of an entry": lambda: adam(1).explain("w", (0, 0))["snr_hat"],
    "an unknown quantity of a layer": lambda: adam(1).explain("w")["mm"],
    "plot_layer in another format": lambda folder: explain.plot_layer(adam(1).explain("w"), folder / "a.gif"),
    "take_next_step of no run": lambda folder: explain.take_next_step(folder),
    "take_next_step of what is not there": lambda folder: explain.take_next_step(folder / "gone"),
    "race on an unknown surface": lambda: explain.race("beal"),
    "race of an unknown optimizer": lambda: race("adm"),
    "race of one twice": lambda: race("sgd", "sgd"),
    "race of nothing": lambda: explain.race("beale", []),
    "race in no step": lambda: race(steps=0),
    "race with a negative lr": lambda: explain.race("beale", ["sgd"], 5, -1.0),
    "race with an unknown setting": lambda: race("adam:rate=1"),
    "race saved in another format": lambda folder: explain.save_race(race(), folder / "race.jpg"),
    "race saved without an ending": lambda folder: explain.save_race(race(), folder / "race"),
    "get_surface of an unknown name": lambda: explain.get_surface("sadle"),
    "descend where nothing is finite": lambda: explain.descend(
        dataclasses.replace(explain.get_surface("beale"), function=lambda x, y: x * math.nan + y),
        training.Entry.parse("sgd"), 3,
    ),
    "plane along an unknown name": lambda: plane(nothing=np.ones(3)),
    "plane along another shape": lambda: plane(**{"0.bias": np.ones(7)}),
    "around a model that is not finite": not_finite_around,
}  # fmt: skip
