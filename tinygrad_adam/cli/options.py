"""The options of the commands: those that several have, and one for each field of a run's configuration."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ..errors import OptionError
from ..values import read_value

if TYPE_CHECKING:
    from ..training import RunConfig

RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.")]
OtherDevice = Annotated[
    str | None,
    typer.Option(help="Where to compute: cpu, cuda, cuda:N or auto.  \\[default: where it was trained]"),
]
Threads = Annotated[int | None, typer.Option(help="How many threads compute.  \\[default: one a core]")]
ThreadsOfEach = Annotated[int, typer.Option(min=1, help="How many threads compute in each of them.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="How many trainings run at once, each in a process.  \\[default: one a core]"
    ),
]
Results = Annotated[
    Path | None, typer.Option(help="Folder for the results.  \\[default: a new one in runs/]")
]

LR, LR_OF_A_CNN = 0.004, 0.001
"""The learning rates of Adam and AdamW by default."""

NAMED = {
    "lr": f"Learning rate.  \\[default for adam and adamw: {LR}, for a cnn {LR_OF_A_CNN}]",
    "weight_decay": "Weight decay.",
}
"""The settings of the optimizer that have an option of their own."""

PAIRS = {
    "settings": ("set", "Another setting of the optimizer: betas=0.9,0.99"),
    "schedule_settings": ("schedule_set", "A setting of the schedule: step_size=3"),
}
"""The options that fill dictionaries, pair by pair."""


class Fields:
    """The fields of `RunConfig` that a command takes as ``**fields``.

    Parameters
    ----------
    *without : str
        Fields and options that the command does not take.
    **defaults
        Defaults of the command that differ from the configuration's.
    """

    def __init__(self, *without: str, **defaults: object) -> None:
        self.without, self.defaults = without, defaults

    def options(self) -> Iterator[inspect.Parameter]:
        """Yield an option for each field."""
        from ..training import RunConfig

        for field in dataclasses.fields(RunConfig):
            if field.name in self.without:
                continue
            if field.name == "settings":
                for name in [name for name in NAMED if name not in self.without]:
                    yield _parameter(name, float | None, None, NAMED[name])
            if field.name in PAIRS:
                name, about = PAIRS[field.name]
                yield _parameter(name, list[str], [], about)
                continue
            default = self.defaults.get(field.name, field.default)
            unset = field.metadata.get("unset") if default is None else None
            about = field.metadata["about"] + (f"  \\[default: {unset}]" if unset else "")
            yield _parameter(field.name, field.type, default, about)


def _parameter(name: str, kind: object, default: object, about: str) -> inspect.Parameter:
    option = typer.Option(default, help=about)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)


def about(field: str) -> str:
    """Return the text about a field of `RunConfig`."""
    from ..training import RunConfig

    return str(RunConfig.__dataclass_fields__[field].metadata["about"])


def build(command: Callable[..., None]) -> Any:
    """Return the command that calls a function, as Typer makes it, with an option for each of its fields."""
    signature = inspect.signature(command, eval_str=True)
    own = {name: p.replace(kind=p.KEYWORD_ONLY) for name, p in signature.parameters.items()}
    if "fields" in own:
        fields = get_args(own.pop("fields").annotation)[1]
        vars(command)["__signature__"] = signature.replace(parameters=[*fields.options(), *own.values()])
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return typer.main.get_command(app)


def read_config(fields: dict[str, Any]) -> RunConfig:
    """Return the configuration that options describe; the learning rate suits Adam here if none is given."""
    from ..training import RunConfig
    from ..training.many.space import optimizer_settings

    named = {name: fields.pop(name, None) for name in NAMED}
    for name, (option, _) in PAIRS.items():
        fields[name] = _read_pairs(_option(option), fields.pop(option, []))
    optimizer = fields.get("optimizer")
    if optimizer is not None:
        if named["lr"] is None and optimizer in ("adam", "adamw"):
            named["lr"] = LR_OF_A_CNN if fields["model"].startswith("cnn") else LR
        given = {name: value for name, value in named.items() if value is not None}
        fields["settings"] = optimizer_settings(optimizer, given, fields["settings"])
    return RunConfig(**fields)


def _read_pairs(option: str, pairs: list[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is a number, a truth value, a word, or numbers with commas."""
    settings = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        example = "name=value, as in lr=0.01, betas=0.9,0.99 or amsgrad=True"
        settings[name] = read_value(option, text, pair, example)
        if not sign:
            raise OptionError(option, "write name=value", got=pair)
    return settings


def train_command(config: RunConfig, threads: int | None = None) -> str:
    """Return the command that trains as `config` says."""
    from ..training import RunConfig

    usual = RunConfig(data=config.data, model=config.model)
    words = ["tinygrad-adam", "train"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in PAIRS:
            option = _option(PAIRS[field.name][0])
            for name, each in value.items():
                text = ",".join(map(repr, each)) if isinstance(each, tuple | list) else repr(each)
                words += [_option(name), text] if name in NAMED else [option, f"{name}={text}"]
        elif isinstance(value, bool):
            if value != getattr(usual, field.name):
                words.append(_option(field.name if value else f"no_{field.name}"))
        elif field.name in ("data", "model", "optimizer", "epochs") or value != getattr(usual, field.name):
            words += [_option(field.name), str(value)]
    if threads is not None:
        words += ["--threads", str(threads)]
    return shlex.join(words)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def given(context: typer.Context) -> set[str]:
    """Return the options that were written on the command line."""
    sources = [(p.opts[0], context.get_parameter_source(p.name or "")) for p in context.command.params]
    return {option for option, source in sources if source is not None and source.name == "COMMANDLINE"}


def check_resumed(context: typer.Context, thing: str, *allowed: str) -> None:
    """Refuse options that a thing that goes on as it was set up does not take."""
    others = given(context) - {"--resume", *allowed}
    if others:
        raise OptionError(
            "--resume", f"a {thing} goes on as it was set up; leave out the other options",
            given=", ".join(sorted(others)),
        )  # fmt: skip
