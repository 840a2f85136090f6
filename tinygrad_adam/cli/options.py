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

TOGETHER = {"settings": ("lr", "weight_decay", "set_"), "schedule_settings": ("schedule_set",)}
"""The options that fill a field together; `read_config` declares them."""


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

        names = {"RunConfig": RunConfig}
        together = inspect.signature(read_config, locals=names, eval_str=True).parameters
        for field in dataclasses.fields(RunConfig):
            if field.name in self.without:
                continue
            if field.name in TOGETHER:
                parts = set(TOGETHER[field.name]).difference(self.without)
                yield from (together[name] for name in together if name in parts)
                continue
            default = self.defaults.get(field.name, field.default)
            unset = field.metadata.get("unset") if default is None else None
            about = field.metadata["about"] + (f"  \\[default: {unset}]" if unset else "")
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=typer.Option(default, help=about),
                annotation=field.type,
            )


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


def read_config(
    *,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr", help=f"Learning rate.  \\[default for adam and adamw: {LR}, for a cnn {LR_OF_A_CNN}]"
        ),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", help="Another setting of the optimizer: betas=0.9,0.99")
    ] = [],  # noqa: B006
    schedule_set: Annotated[list[str], typer.Option(help="A setting of the schedule: step_size=3")] = [],  # noqa: B006
    **fields: Any,
) -> RunConfig:
    """Return the configuration that options describe; the learning rate suits Adam here if none is given."""
    from ..training import RunConfig
    from ..training.many.space import optimizer_settings

    optimizer = fields.get("optimizer")
    if optimizer is not None:
        if lr is None and optimizer in ("adam", "adamw"):
            lr = LR_OF_A_CNN if fields["model"].startswith("cnn") else LR
        given = {"lr": lr, "weight_decay": weight_decay}
        given = {name: value for name, value in given.items() if value is not None}
        fields["settings"] = optimizer_settings(optimizer, given, _read_pairs("--set", set_))
    return RunConfig(schedule_settings=_read_pairs("--schedule-set", schedule_set), **fields)


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
        if field.name in TOGETHER:
            *named, other = (name.strip("_") for name in TOGETHER[field.name])
            for name, each in value.items():
                text = ",".join(map(repr, each)) if isinstance(each, tuple | list) else repr(each)
                words += [_option(name), text] if name in named else [_option(other), f"{name}={text}"]
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
