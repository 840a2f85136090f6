"""Random programs, written once and run by this package and by PyTorch.

A seed determines a program: leaves of many dtypes and shapes, then steps that compute, create views,
write in place, assign with an operator, use Tensors as indices, and register hooks on results.
`disagreements` runs it in PyTorch and in several modes of this package, and reports where the results differ.
Shapes and values that influence the choice of a step come from PyTorch's run, so they do not depend on this
package.

PyTorch's run uses *snapshots*: each operation gets copies of its inputs and returns a copy of its output, so
a later write cannot reach an array that its gradient needs. Its gradients therefore belong to the values
that each operation saw, and this package must return the same ones. It may only refuse a backward pass after
a write to an array that an operation has read or created, and an augmented assignment to a Tensor whose
memory another one shares.

    python tests/helpers/programs.py --start 0 --count 100000
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from program_steps import OPS, Draft, torch

import tinygrad_adam as tg
from tinygrad_adam import errors


class Step(NamedTuple):
    """The name of an operation, the slots that it reads (or writes), and its settings."""

    op: str
    slots: tuple[int, ...]
    settings: tuple[Any, ...] = ()


class Program(NamedTuple):
    """Leaves, steps, the slots whose weighted sum is the loss, and the way to run it.

    Attributes
    ----------
    shared : set of int
        Steps that assign with an operator to a Tensor whose memory another one shares.
    overwrites : bool
        Whether a write affects memory that an operation has read or created, and may have kept.
    """

    seed: int
    kind: str
    leaves: list[np.ndarray]
    steps: list[Step]
    outputs: list[int]
    shared: set[int]
    overwrites: bool

    def __str__(self) -> str:
        lines = [f"program {self.seed}, {self.kind}"]
        lines += [
            f"  {i}: {a.dtype}{list(a.shape)} {np.array2string(a.ravel()[:6])}"
            for i, a in enumerate(self.leaves)
        ]
        lines += [f"  {n}: {step.op} {step.slots} {step.settings}" for n, step in enumerate(self.steps)]
        return "\n".join([*lines, f"  outputs {self.outputs}"])


# --- The operations of each kind of program ---

CHANGES = ("write", "assign", "hook", "refusal")
_WRITES = [name for name, op in OPS.items() if op.effect == "write"]
_ASSIGNS = [name for name, op in OPS.items() if op.effect in ("assign", "name", "hook", "refusal")]
_SUMS = ["sum rows", "mean rows", "var rows", "norm rows", "spread", "bias", "cumsum rows"]
_IMAGES = [
    "conv2d",
    "max_pool2d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "interpolate nearest",
    "interpolate bilinear",
    "batch_norm",
]
_PLAIN = [name for name, op in OPS.items() if op.effect in ("", "view") and name not in (*_IMAGES, *_SUMS)]
# For these, the results for NaN and infinities depend on PyTorch's formulas, or differ between versions.
_NO_EDGES = {
    "prod",
    "norm",
    "var",
    "std",
    "layer_norm",
    "batch_norm",
    "logsumexp",
    "softmax",
    "log_softmax",
    "cross_entropy",
    "power",
    "power of",
    "remainder",
    "cumsum",
    "matmul",
    "linear",
    "gelu",
    "gelu tanh",
    "silu",
    "interpolate bilinear",
    "adaptive_avg_pool2d",
    "conv2d",
    "huber_loss",
    "binary_cross_entropy_with_logits",
    "tan",
    "sin",
    "cos",
    "mean",
    "sum",
    "elu",
    "softplus",
    "avg_pool2d",
    "nll_loss",
    "sign",  # of NaN: NaN in NumPy and here, 0 in PyTorch
    "abs",
    "l1_loss",  # its gradient, likewise
}


# --- Drawing a program ------------------------------------------------------------------------


_SHAPES = [
    (),
    (1,),
    (3,),
    (4,),
    (0,),
    (2, 3),
    (3, 4),
    (4, 3),
    (1, 3),
    (3, 1),
    (2, 0),
    (1, 1),
    (2, 3, 4),
    (3, 1, 2),
]


def _leaf(draft: Draft, kind: str) -> np.ndarray:
    dtype = np.float64 if draft.chance(0.3) else np.float32
    if kind == "sums":
        shape = draft.pick([(2**18, 4), (4,), (3, 4)])
        return (0.1 + 0.01 * draft.rng.standard_normal(shape)).astype(np.float32)
    if kind == "images":
        shape = [(2, 3, 6, 5), (3, 3, 3, 3), (4, 3, 2, 2), (1, 3, 7, 7), (2, 3, 1, 4), (3,)][draft.below(6)]
        return draft.rng.standard_normal(shape).astype(np.float32)
    shape = draft.pick(_SHAPES)
    if kind == "rows":
        shape = draft.pick([(4, 3), (3, 4), (5,), (3, 3)])
    if draft.chance(0.25 if kind != "rows" else 0.4):
        dtype = draft.pick([np.int64, np.int32, np.uint8, np.int8, np.bool_])
        top = 2 if dtype is np.bool_ else 3
        shape = draft.pick([(), (3,), (2,), (4,), (2, 2), (5,)]) if kind == "rows" else shape
        return draft.rng.integers(0, top, shape).astype(dtype)
    values = draft.rng.standard_normal(shape)
    if draft.chance(0.2) and kind != "second":  # undefined at a kink
        values = values.round() + 0.0  # zeros and ties
    values = np.asarray(values, dtype)
    if kind == "edges" and values.size:
        top = float(np.finfo(dtype).max)
        edges = np.array([np.nan, np.inf, -np.inf, 0.0, top, -top, 1e-30, 1.0], dtype)
        chosen = draft.rng.random(values.shape) < 0.5
        values = np.where(chosen, draft.rng.choice(edges, values.shape), values).astype(dtype)
    return values


def _leaves(draft: Draft, kind: str) -> list[np.ndarray]:
    def normal(*shape: int) -> np.ndarray:
        return draft.rng.standard_normal(shape).astype(np.float32)

    if kind == "keys":
        dtype = draft.pick([np.int64, np.int32, np.uint8, np.int8])
        return [normal(4, 3), normal(4), draft.rng.integers(0, 3, 4).astype(dtype)]
    if kind == "parts":
        return [normal(3), normal(3)]
    if kind == "layouts":
        return [normal(2, 16, 12, 10), normal(1, 16, 1, 1), normal(8, 16, 3, 3), normal(2, 12, 10, 16)]
    if kind == "shared":
        return [normal(200_000), normal(3)]
    leaves = [
        _leaf(draft, "plain" if kind in ("writes", "threads") else kind) for _ in range(draft.below(3) + 2)
    ]
    if not any(a.dtype.kind == "f" for a in leaves):
        leaves.append(draft.rng.standard_normal((2, 3)).astype(np.float32))
    return leaves


def _last_steps(draft: Draft, kind: str) -> list[tuple[str, tuple[int, ...], tuple[Any, ...]]]:
    """Return the final steps of a kind, a combination that random draws produce too rarely."""
    new = len(draft.values)
    if kind == "keys":  # an index or label that changes after its use
        use = draft.pick(
            [
                ("gather", (0, 2), ()),
                ("embedding", (0, 2), ()),
                ("take_along_axis", (1, 2), ()),
                ("cross_entropy", (0, 2), (-100, 0.1)),
                ("cross_entropy", (0, 2), (-100, 0.0)),
                ("nll_loss", (0, 2), (-100, 0.0)),
            ]
        )
        return [use, ("write fill", (2,), (draft.below(3),))]
    if kind == "parts":  # a write through one element of an array of one axis
        part = ("part", (new,), (draft.below(3),))
        return [("times number", (0,), (1.5,)), part, ("write fill", (new + 1,), (3,)), ("tanh", (new,), ())]
    if kind == "layouts":  # three uses whose gradients have different memory layouts, and their sum
        convolved = [("conv2d", (new, 2), (1, 1))]
        turned = [("transpose", (new,), ((0, 2, 3, 1),)), ("multiply", (-1, 3), ())]
        uses = [convolved, turned, [("tanh", (new,), ())]]
        order = [uses[i] for i in draft.rng.permutation(3)]
        steps = [("add", (0, 1), ()), *(step for use in order for step in use)]
        at = [name for name, *_ in steps].index("multiply")
        steps[at] = ("multiply", (new + at - 1, 3), ())
        return steps
    if kind == "shared":  # a leaf large enough for threads to collide in its gradient
        return [("times number", (0,), (1.5,))]
    return []


def _on_memory(value: torch.Tensor) -> int:
    return value.untyped_storage().data_ptr()


def draw_program(seed: int) -> Program:
    """Draw the program of a seed, running it in PyTorch and dropping steps that PyTorch rejects."""
    draft = Draft(seed)
    kind = draft.pick(
        ["plain"] * 6 + ["rows"] * 3 + ["writes"] * 4 + ["images"] * 2 + ["edges"] * 2 + ["threads", "second"]
    )
    kind = "sums" if seed % 100 == 99 else kind
    if seed % 8 == 7:
        kind = ("keys", "parts", "layouts", "shared")[seed // 8 % 4]
    leaves = _leaves(draft, kind)
    draft.values = _their_leaves(leaves)
    draft.leaves = len(leaves)
    names = _PLAIN + (_IMAGES * 5 if kind == "images" else [])
    names += (_WRITES + _ASSIGNS) * 2 if kind in ("writes", "rows") else ["+=", "name"]
    if kind == "sums":
        names = _SUMS
    if kind == "edges":
        names = [name for name in _PLAIN if name not in _NO_EDGES]
    steps: list[Step] = []
    shared: set[int] = set()
    used: set[int] = set()  # memory that an operation has read or created
    overwrites = False
    free = 0 if kind == "shared" else draft.below(8) + 3
    last: list[Any] = []
    for turn in range(free + 8):
        if turn == free:
            last = _last_steps(draft, kind)
        if turn < free:
            name = draft.pick(names)
            drawn = OPS[name].draw(draft)
            if not drawn:
                continue
            step = Step(name, *drawn)
        elif last:
            step = Step(*last.pop(0))
            name = step.op
        else:
            break
        target = draft.values[step.slots[0]]
        try:
            new = _their_step(step, draft.values)
        except (RuntimeError, IndexError, ValueError, TypeError):
            continue
        if OPS[name].effect in CHANGES:
            others = [v for v in draft.values if v is not target and _on_memory(v) == _on_memory(target)]
            if OPS[name].effect == "assign" and others:
                shared.add(len(steps))
            overwrites |= OPS[name].effect == "write" and _on_memory(target) in used
            if OPS[name].effect == "assign":
                used |= {_on_memory(draft.values[slot]) for slot in step.slots}
        elif (
            kind != "edges"
            and new.numel()
            and not bool(new.isfinite().all() & (new.double().abs() < 1e4).all())
        ):
            continue
        else:
            draft.values.append(new)
            used |= {_on_memory(v) for v in (new, *(draft.values[slot] for slot in step.slots))}
        steps.append(step)
    made = range(draft.leaves, len(draft.values))
    newest = made[-4:] if kind == "layouts" else made[-3:]
    outputs = [i for i in newest if draft.values[i].requires_grad] or draft.floats()[:1]
    return Program(seed, kind, leaves, steps, outputs, shared, overwrites)


# --- Running it -------------------------------------------------------------------------------


class Result(NamedTuple):
    """The outputs of a program, and a gradient or None for each leaf."""

    outputs: list[np.ndarray]
    gradients: list[np.ndarray | None]


def _weights(program: Program, number: int, shape: tuple[int, ...]) -> np.ndarray:
    if program.kind == "sums":  # all of one sign, so that a sum that loses small terms is far off
        return np.full(shape, 0.1)
    return np.cos(np.arange(int(np.prod(shape))) + number).reshape(shape)


def _their_leaves(leaves: list[np.ndarray], wide: bool = False) -> list[torch.Tensor]:
    tensors = [torch.tensor(a.astype(np.float64) if wide and a.dtype.kind == "f" else a) for a in leaves]
    return [t.requires_grad_() if t.is_floating_point() else t for t in tensors]


def _their_step(step: Step, values: list[torch.Tensor]) -> Any:
    op = OPS[step.op]
    args = [values[slot] for slot in step.slots]
    if op.effect in ("view", "write", "name", "hook", "refusal"):
        return op.theirs(*args, *step.settings)
    if op.effect == "assign":
        return op.theirs(args[0], args[1].clone())
    return op.theirs(*[a.clone() for a in args], *step.settings).clone()


def run_theirs(program: Program, wide: bool = False) -> Result:
    """Run a program in PyTorch; `wide` replaces float32 by float64."""
    leaves = _their_leaves(program.leaves, wide)
    values = list(leaves)
    for step in program.steps:
        new = _their_step(step, values)
        if OPS[step.op].effect not in CHANGES:
            values.append(new)
    outputs = [values[i] for i in program.outputs]
    loss = sum(
        (out * torch.tensor(_weights(program, n, tuple(out.shape))).to(out.dtype)).sum()
        for n, out in enumerate(outputs)
    )
    if loss.requires_grad and program.kind == "second":
        floats = [t for t in leaves if t.requires_grad]
        grads = torch.autograd.grad(loss, floats, create_graph=True, allow_unused=True)
        terms = [(g * g).sum() for g in grads if g is not None and g.requires_grad]
        if terms:
            sum(terms).backward()
    elif loss.requires_grad:
        loss.backward()
    return Result(
        [out.detach().numpy() for out in outputs],
        [None if t.grad is None else t.grad.numpy(force=True) for t in leaves],
    )


class Refused(Exception):
    """This package refused a step, given by its number, or the backward pass (None)."""

    def __init__(self, step: int | None, error: Exception) -> None:
        super().__init__(f"step {step}: {error}")
        self.step = step


def _our_leaves(program: Program) -> list[tg.Tensor]:
    return [tg.tensor(a, requires_grad=a.dtype.kind == "f") for a in program.leaves]


def _our_loss(program: Program, leaves: list[tg.Tensor]) -> tuple[Any, list[Any]]:
    values: list[Any] = list(leaves)
    for number, step in enumerate(program.steps):
        op = OPS[step.op]
        try:
            new = op.ours(*[values[slot] for slot in step.slots], *step.settings)
        except errors.GraphError as error:
            raise Refused(number, error) from error
        if op.effect not in CHANGES:
            values.append(new)
    outputs = [values[i] for i in program.outputs]
    terms = [
        (out * tg.tensor(_weights(program, n, out.shape).astype(out.dtype))).sum()
        for n, out in enumerate(outputs)
    ]
    loss = terms[0]
    for term in terms[1:]:
        loss = loss + term
    return loss, outputs


def run_ours(program: Program, way: str = "engine") -> Result:
    """Run a program in this package: by the "engine", with "reference" kernels, "recorded" or by "threads".

    Four threads run it with the same leaves, `PASSES` times each; the gradients are then divided by the
    total number of passes.
    """
    leaves = _our_leaves(program)
    kernels = tg.use_kernels("reference") if way == "reference" else contextlib.nullcontext()
    with kernels:
        if way == "recorded":

            def replayed() -> tuple[Any, ...]:
                loss, outputs = _our_loss(program, leaves)
                return (loss, *outputs)

            training_pass = tg.recorded(replayed)
            for _ in range(3):
                for leaf in leaves:
                    leaf.grad = None
                _, *outputs = training_pass()
        elif way == "threads":
            outputs = _by_threads(program, leaves)
        else:
            loss, outputs = _our_loss(program, leaves)
            if loss.requires_grad:
                try:
                    _walk_back(program, loss, leaves)
                except errors.GraphError as error:
                    raise Refused(None, error) from error
    gradients = [None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]
    if way == "threads":
        gradients = [None if g is None else g / g.dtype.type(4 * PASSES) for g in gradients]
    return Result([out.detach().numpy() for out in outputs], gradients)


def _walk_back(program: Program, loss: Any, leaves: list[tg.Tensor]) -> None:
    if program.kind != "second":
        loss.backward()
        return
    loss.backward(create_graph=True)
    grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
    for leaf in leaves:
        leaf.grad = None
    terms = [(g * g).sum() for g in grads if g.requires_grad]
    if terms:
        sum(terms[1:], start=terms[0]).backward()


PASSES = 10


def _by_threads(program: Program, leaves: list[tg.Tensor]) -> list[Any]:
    found: list[Any] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        for _ in range(PASSES):
            loss, outputs = _our_loss(program, leaves)
            if loss.requires_grad:
                loss.backward()
        found.append(outputs)

    threads = [threading.Thread(target=work) for _ in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert len(found) == 4, "a thread failed"
    return found[0]


# --- Comparing --------------------------------------------------------------------------------


def _arrays(result: Result) -> Iterator[tuple[str, np.ndarray | None]]:
    for n, out in enumerate(result.outputs):
        yield f"output {n}", out
    for n, g in enumerate(result.gradients):
        yield f"gradient {n}", g


def _apart(program: Program, got: Result, wanted: Result, exact: Result) -> Iterator[str]:
    """List differences beyond PyTorch's own rounding errors; `exact` is its result in float64."""
    everything = [a for _, a in _arrays(exact) if a is not None and a.size]
    scale = max([1.0, *(float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in everything)])
    for (name, ours), (_, theirs), (_, wide) in zip(
        _arrays(got), _arrays(wanted), _arrays(exact), strict=True
    ):
        if theirs is None or ours is None:
            zero = ours if theirs is None else theirs
            if zero is not None and zero.size and np.any(zero != 0):
                yield f"{name}: only one of the two has it"
            continue
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            yield f"{name}: {ours.dtype}{ours.shape}, PyTorch {theirs.dtype}{theirs.shape}"
            continue
        if program.kind == "edges":
            wide = theirs
        if (
            program.kind == "edges" and theirs.dtype.kind == "f"
        ):  # the last digits decide which values overflow, and how
            most = np.finfo(theirs.dtype).max / 100
            ours, theirs, wide = (np.where(np.abs(a) > most, np.inf, a) for a in (ours, theirs, wide))
        finite = np.isfinite(theirs)
        if name.startswith("gradient"):
            # An infinite gradient times zero is NaN, but zero if a rule selects, and infinite if rounding
            # left no exact zero; and a different order of factors may not overflow.
            if program.kind == "edges":
                theirs = np.where(np.abs(theirs) < 1e10, theirs, ours)
            else:
                theirs = np.where(finite, theirs, ours)
            finite = np.isfinite(theirs)
        clear = finite == np.isfinite(wide)  # float64 overflows at other values
        if not np.array_equal(
            np.where(finite | ~clear, 0, ours), np.where(finite | ~clear, 0, theirs), equal_nan=True
        ):
            yield f"{name}: {ours} PyTorch {theirs}"
            continue
        finite &= np.isfinite(wide)
        if not np.isfinite(ours[finite]).all():
            yield f"{name}: {ours} PyTorch {theirs}"
            continue
        own = np.abs(theirs[finite].astype(np.float64) - wide[finite]).max(initial=0)
        if program.kind == "edges":  # next to numbers of 1e38 any sum is rounded away
            finite &= (np.abs(ours) < 1e10) & (np.abs(theirs) < 1e10)
            own, wide = 0.0, theirs
        with np.errstate(over="ignore"):
            far = np.abs(ours[finite].astype(np.float64) - wide[finite]).max(initial=0)
            single = theirs.dtype == np.float32 or program.kind == "edges"
            near = 1e-5 if program.kind == "sums" else 1e-4 if single else 1e-9
            allowed = 50 * own + scale * near
        if far > allowed:
            yield f"{name}: off by {far:.3g}, PyTorch by {own:.3g}: {ours} PyTorch {theirs}"


def disagreements(seed: int) -> list[str]:
    """Run the program of a seed in every mode; list errors of this package, and differences between modes."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        program = draw_program(seed)
        try:
            wanted, exact = run_theirs(program), run_theirs(program, wide=program.kind != "edges")
        except RuntimeError:  # of PyTorch, such as for a reshape of an empty tensor
            return []
        found: list[str] = []

        def compare(way: str) -> Result | None:
            try:
                got = run_ours(program, way)
            except Refused as refused:
                if refused.step in program.shared or (refused.step is None and program.overwrites):
                    return None
                found.append(f"{way} refuses: {refused}")
                return None
            except errors.ShapeError as error:
                # Results of broadcasting are read-only in NumPy and here; PyTorch may write to some.
                spread = any(step.op == "broadcast_to" for step in program.steps)
                if not (spread and "read-only" in str(error)):
                    found.append(f"{way} raises ShapeError: {error}")
                return None
            except Exception as error:
                found.append(f"{way} raises {type(error).__name__}: {error}")
                return None
            found.extend(f"{way}: {line}" for line in _apart(program, got, wanted, exact))
            return got

        plain = compare("engine")
        compare("reference")
        changed = any(OPS[step.op].effect in ("write", "hook") for step in program.steps)
        differentiable = any(g is not None for g in wanted.gradients)
        if plain is not None and not changed and differentiable and program.kind != "second":
            recorded = compare("recorded")
            for (name, a), (_, b) in zip(_arrays(plain), _arrays(recorded or plain), strict=True):
                if (a is None) != (b is None) or (a is not None and a.tobytes() != b.tobytes()):
                    found.append(f"recorded: {name} has other bits than the engine's: {a} {b}")
            if program.kind in ("threads", "shared"):
                compare("threads")
    return [f"{program}\n  {line}" for line in found]


def main() -> None:
    """Run many programs and print their disagreements."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    wrong = 0
    for seed in range(options.start, options.start + options.count):
        for text in disagreements(seed):
            wrong += 1
            print(text, flush=True)
    print(f"{options.count} programs from {options.start} on, {wrong} disagreements")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
