"""A training run as a folder: its configuration, its measurements, its checkpoints, its pictures.

::

    config.json         the configuration; enough to repeat the run
    metrics.jsonl       one line an epoch
    best.safetensors    the checkpoint with the highest validation accuracy; the later of equals
    last.safetensors    the newest checkpoint, to go on from
    curves.png          loss and accuracy over the epochs
    predictions.png     test images with the answers of the model
    film.html           the film of the training, where one was recorded into the folder
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from .._version import __version__
from ..data import DataLoader, ImageData, load_dataset, random_crop, random_flip, split
from ..errors import CheckpointError, DeviceError, OptionError
from ..files.writing import is_partial, write_text
from ..nn.functional import cross_entropy, softmax
from ..optim import Optimizer, Schedule, build_optimizer, build_schedule
from ..tensor import random
from ..tensor.creation import tensor
from ..typing import TensorLike
from .callbacks import Checkpoints, EarlyStopping
from .checkpoint import load_checkpoint
from .config import RunConfig
from .loop import Callback, Trainer
from .metrics import Accuracy
from .models import build_model, read_spec
from .pictures import plot_predictions

FILES = {
    "config.json", "metrics.jsonl", "best.safetensors", "last.safetensors", "curves.png", "predictions.png",
    "film.html",
}  # fmt: skip


class Experiment:
    """The data, model and loop of a configuration, ready to train; it writes no file.

    Parameters
    ----------
    config : RunConfig
        Describes it. The random generator in use is restarted from its seed.
    callbacks : sequence of Callback
        Called in addition to `EarlyStopping`, which `config` may ask for.

    Attributes
    ----------
    config : RunConfig
        The description.
    data : ImageData
        The images.
    trainer : Trainer
        The model, optimizer and loop.

    Raises
    ------
    OptionError
        If a name in `config` is not known, or a value is out of its domain.
    """

    def __init__(self, config: RunConfig, callbacks: Sequence[Callback] = ()) -> None:
        self.config = config
        self.data: ImageData = load_dataset(config.data)
        random.manual_seed(config.seed)
        model = build_model(config.model, self.data.shape, len(self.data.classes), config.dropout)
        model = model.to(config.device)
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        optimizer = build_optimizer(config.optimizer, trained, **config.settings)
        stopping = [] if config.patience is None else [EarlyStopping(patience=config.patience)]
        self.trainer = Trainer(
            model,
            optimizer,
            cross_entropy,
            {"accuracy": Accuracy()},
            self._schedule(optimizer),
            schedule_per=config.schedule_per,
            max_grad_norm=config.max_grad_norm,
            callbacks=[*callbacks, *stopping],
        )

    def _schedule(self, optimizer: Optimizer) -> Schedule:
        config = self.config
        length = config.epochs or 1
        if config.schedule_per == "step":
            length *= len(self.loaders()[0])
        fitting: dict[str, dict[str, Any]] = {
            "constant": {"factor": 1.0},
            "cosine": {"t_max": length},
            "one-cycle": {"max_lr": [group["lr"] for group in optimizer.param_groups], "total_steps": length},
            "polynomial": {"total_iters": length},
        }
        settings = {**fitting.get(config.schedule, {}), **config.schedule_settings}
        return build_schedule(config.schedule, optimizer, **settings)

    def loaders(self) -> tuple[DataLoader, DataLoader]:
        """Return the loaders of the training and the validation images."""
        config = self.config
        changes = (random_crop(4), random_flip()) if config.augment else ()
        whole = self.data.dataset("train", changes)
        training, validation = split(whole, 1 - config.validation, config.seed)
        return (
            DataLoader(training, config.batch_size, shuffle=True, seed=config.seed, device=config.device),
            DataLoader(validation, 512, device=config.device),
        )

    def fit(self, progress: bool | None = None) -> None:
        """Train to the end of the last epoch, and show progress as `Trainer.fit` does."""
        training, validation = self.loaders()
        # A loss that is not finite raises an error of its own; NumPy's warning would only come before it.
        with numpy.errstate(over="ignore", invalid="ignore"):
            self.trainer.fit(training, self.config.epochs or 1, validation, progress)

    def evaluate(self) -> dict[str, float]:
        """Return loss and accuracy on the test images."""
        return self.trainer.evaluate(DataLoader(self.data.dataset("test"), 512, device=self.config.device))


class Run(Experiment):
    """An experiment in a folder; `start` and `open` make one.

    Attributes
    ----------
    folder : Path
        Its folder.
    checkpoints : Checkpoints
        Saves the best and the last checkpoint there.
    """

    def __init__(self, folder: Path | None, config: RunConfig) -> None:
        super().__init__(config)  # refuses a configuration that cannot be trained before there is a folder
        self.folder = new_path(default_name("", config)) if folder is None else folder
        self.checkpoints = Checkpoints(self.folder, monitor="val_accuracy", mode="max")
        metrics = _Metrics(self.folder / "metrics.jsonl")
        self.trainer.callbacks = [metrics, *self.trainer.callbacks, self.checkpoints]  # the checkpoint last

    @classmethod
    def start(
        cls,
        config: RunConfig,
        folder: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        film: str | os.PathLike[str] | None = None,
    ) -> Run:
        """Make a new run in a folder that no other run uses, even one that starts at the same time.

        Parameters
        ----------
        config : RunConfig
            The configuration.
        folder : path, optional
            Its folder; by default a new one in ``runs/``, named after the data set and the model.
        overwrite : bool
            Whether an older run in `folder` may be deleted.
        film : path, optional
            The file of the film that will be recorded. An older film there, if it is in `folder`, may be
            deleted with the run.

        Raises
        ------
        OptionError
            If the folder exists and `overwrite` is not set, or it holds a file that is not of a run.
        """
        path = None if folder is None else Path(folder)
        old = [] if path is None else _old_run(path, overwrite, film)
        run = cls(path, config)  # checks everything before anything is touched
        for entry in old:
            entry.unlink(missing_ok=True)
        run._claim()
        return run

    def _claim(self) -> None:
        """Write ``config.json``; of several processes only one can."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "config.json"
        text = json.dumps({"version": __version__, **dataclasses.asdict(self.config)}, indent=2)
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError as error:
            raise OptionError(
                "train", "another run began in the folder just now; choose another with --out",
                folder=path.parent,
            ) from error  # fmt: skip
        try:
            with file:
                file.write(text + "\n")
        except BaseException:
            path.unlink()
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            raise

    @classmethod
    def open(cls, folder: str | os.PathLike[str], device: str | None = None) -> Run:
        """Return a run of before, with untrained weights; see `resume` and `load_best`.

        Parameters
        ----------
        folder : path
            Its folder.
        device : str, optional
            The device from now on; by default the one on which the run was started.

        Raises
        ------
        CheckpointError
            If the folder does not hold a run.
        DeviceError
            If the device cannot be used on this machine.
        """
        path = Path(folder)
        try:
            values = json.loads((path / "config.json").read_text())
            values.pop("version")
            if device is not None:
                values["device"] = device
            config = RunConfig(**values)
        except DeviceError:
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            problem = (
                "it is not the folder of a run: there is no config.json"
                if path.exists()
                else "there is no such folder; 'tinygrad-adam train' leaves its runs in runs/"
            )
            raise CheckpointError(f"opening {path}", problem) from error
        except OSError as error:
            raise CheckpointError(f"opening {path}", f"config.json cannot be read: {error}") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"opening {path}", f"config.json is damaged: {error}") from error
        return cls(path, config)

    def resume(self) -> None:
        """Load the newest checkpoint, and remove the files that a killed process left; `train` goes on.

        Raises
        ------
        CheckpointError
            If there is none, or it is damaged.
        """
        if not self.checkpoints.last.exists():
            raise CheckpointError(
                f"resuming {self.folder}", "the run has no checkpoint yet; start it anew with --overwrite"
            )
        self.trainer.load(self.checkpoints.last)
        for entry in self.folder.iterdir():
            if is_partial(entry.name, FILES):
                entry.unlink()

    def load_best(self) -> None:
        """Load the weights of the best epoch.

        Raises
        ------
        CheckpointError
            If there are none, or they are damaged.
        """
        if not self.checkpoints.best_file.exists():
            raise CheckpointError(
                f"opening {self.folder}", "the run has no checkpoint yet; train it to the end of an epoch"
            )
        load_checkpoint(self.checkpoints.best_file, self.trainer.model, restore_random=False)

    def train(self, display: Callback | None = None) -> dict[str, float]:
        """Train to the end, measure on the test images with the best weights, and draw the pictures.

        Parameters
        ----------
        display : Callback, optional
            Shows progress.

        Returns
        -------
        dict of str to float
            ``"loss"`` and ``"accuracy"`` on the test images, ``"seconds"`` of training, also before an
            interruption. Empty if training was interrupted.
        """
        if display is not None:
            self.trainer.callbacks.append(display)
        try:
            self.fit()
        finally:
            if display is not None:
                self.trainer.callbacks.remove(display)
        if self.trainer.interrupted:
            return {}
        self.trainer.history.plot(self.folder / "curves.png")
        self.load_best()
        results = self.evaluate()
        self.draw_predictions()
        return {**results, "seconds": sum(self.trainer.history["seconds"])}

    def predict(self, images: TensorLike) -> numpy.ndarray[Any, Any]:
        """Return the probabilities of the classes.

        Parameters
        ----------
        images : numpy.ndarray, shape (n, channels, height, width)
            In [0, 1].

        Returns
        -------
        numpy.ndarray, shape (n, classes)
        """
        x = numpy.asarray(images, numpy.float32)
        batches = [tensor(x[i : i + 512], device=self.config.device) for i in range(0, len(x), 512)]
        return softmax(tensor(self.trainer.predict(batches))).numpy()

    def draw_predictions(self) -> None:
        """Draw ``predictions.png``."""
        x, y = self.data.arrays("test", flatten=False)
        probabilities = self.predict(x)
        shown = x[:, 0] if x.shape[1] == 1 else numpy.moveaxis(x, 1, -1)
        plot_predictions(shown, y, probabilities, self.data.classes, self.folder / "predictions.png")


def _old_run(path: Path, overwrite: bool, film: str | os.PathLike[str] | None) -> list[Path]:
    """Return the files of the run in a folder, or refuse to replace other files."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return []
    if not overwrite:
        remedy = "choose another with --out, go on with --resume, or allow --overwrite"
        raise OptionError("train", f"the folder exists; {remedy}", folder=path)
    if not (path / "config.json").is_file():
        raise OptionError("train", "the folder holds no run; it is not overwritten", folder=path)
    filmed = film is not None and Path(film).parent.resolve() == path.resolve()
    known = {*FILES, Path(film).name} if film is not None and filmed else FILES
    entries = list(path.iterdir())
    foreign = [p.name for p in entries if p.is_dir() or not (p.name in known or is_partial(p.name, known))]
    if foreign:
        raise OptionError(
            "train", "the folder holds more than a run; it is not overwritten",
            folder=path, foreign=", ".join(sorted(foreign)),
        )  # fmt: skip
    return entries


class _Metrics(Callback):
    """Keeps ``metrics.jsonl`` up to date."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, trainer: Trainer) -> None:
        # Whole, so that a resumed run drops lines of epochs that were never checkpointed.
        write_text(self.path, trainer.history.to_jsonl())


def default_name(kind: str, config: RunConfig) -> str:
    """Return the beginning of a name in ``runs/``: a kind, the data set and the model."""
    model = read_spec(config.model)[0]
    return f"{kind}{config.data}-{Path(model).stem if model.endswith('.py') else model}"


def new_path(name: str, suffix: str = "") -> Path:
    """Make the first of ``runs/name-1`` and so on that does not exist, and return it.

    It is a folder, or an empty file if it has a suffix.
    """
    Path("runs").mkdir(exist_ok=True)
    for number in range(1, 10**6):
        path = Path("runs") / f"{name}-{number}{suffix}"
        with contextlib.suppress(FileExistsError):  # another process may make the same one
            if suffix:
                path.touch(exist_ok=False)
            else:
                path.mkdir()
            return path
    raise OptionError("runs", "there are too many of that name; choose another with --out")
