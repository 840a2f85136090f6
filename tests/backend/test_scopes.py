"""``with`` blocks as decorators: they hold for the whole body of what they decorate, or are refused."""

from __future__ import annotations

import asyncio
import inspect
import tempfile

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim


def mode() -> bool:
    return (tg.ones(1, requires_grad=True) * 2).requires_grad


SPELLINGS = [
    (tg.no_grad, False), (tg.no_grad(), False), (tg.enable_grad, True), (tg.enable_grad(), True),
]  # fmt: skip


@pytest.fixture(params=SPELLINGS, ids=["no_grad", "no_grad()", "enable_grad", "enable_grad()"])
def decorator(request):
    """Give a decorator and the mode that it sets, where the other one holds around it."""
    decorate, inside = request.param
    with tg.enable_grad() if not inside else tg.no_grad():
        yield decorate, inside
        assert mode() is not inside


def test_functions_methods_and_lambdas(decorator):
    decorate, inside = decorator

    @decorate
    def function(depth=2):
        """Explain."""
        return mode() is inside and (depth == 0 or function(depth - 1))

    class Thing:
        @decorate
        def method(self, argument, *, keyword):
            return mode(), argument, keyword

        @decorate
        @staticmethod
        def static():
            return mode()

        @staticmethod
        @decorate
        def generator():
            yield mode()

    assert function()
    assert (function.__name__, function.__doc__) == ("function", "Explain.")
    assert Thing().method(1, keyword=2) == (inside, 1, 2)
    assert Thing.static() is inside
    assert list(Thing.generator()) == [inside]
    assert decorate(lambda: mode())() is inside


def test_a_generator_runs_in_the_mode_and_its_caller_does_not(decorator):
    decorate, inside = decorator
    seen = []

    @decorate
    def generator(first):
        try:
            seen.append(mode())
            received = yield first
            seen.append(mode())
            try:
                yield received
            except KeyError:
                seen.append(mode())
                yield from (mode() for _ in range(2))
            return "end"
        finally:
            seen.append(mode())

    assert inspect.isgeneratorfunction(generator)
    steps = generator("a")
    assert next(steps) == "a"
    assert mode() is not inside
    assert steps.send("b") == "b"
    assert steps.throw(KeyError) is inside
    assert mode() is not inside
    assert next(steps) is inside
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "end"

    for leave in ("close", "drop", "error"):
        steps = generator("a")
        next(steps)
        if leave == "close":
            steps.close()
        elif leave == "error":
            with pytest.raises(ValueError, match="mine"):
                steps.throw(ValueError("mine"))
        del steps
    assert len(seen) == 4 + 3 * 2
    assert set(seen) == {inside}


def test_a_coroutine_runs_in_the_mode_and_other_tasks_do_not(decorator):
    decorate, inside = decorator

    @decorate
    async def coroutine(result):
        modes = [mode()]
        for _ in range(2):
            await asyncio.sleep(0)
            modes.append(mode())
        try:
            await failing()
        except KeyError:
            modes.append(mode())
        return modes, result

    async def failing():
        await asyncio.sleep(0)
        raise KeyError(mode())

    async def other():
        modes = []
        for _ in range(4):
            modes.append(mode())
            await asyncio.sleep(0)
        return modes

    async def both():
        return await asyncio.gather(coroutine("r"), other())

    assert inspect.iscoroutinefunction(coroutine)
    (modes, result), others = asyncio.run(both())
    assert (modes, result) == ([inside] * 4, "r")
    assert others == [not inside] * 4
    by_hand = coroutine("r")  # in one context: nothing may leak between the steps
    by_hand.send(None)
    assert mode() is not inside
    by_hand.close()


def test_what_cannot_be_decorated_is_refused(decorator):
    decorate, _ = decorator

    async def async_generator():
        yield 1

    for wrong in (async_generator, 3, "name"):
        with pytest.raises(errors.DTypeError, match="decorates functions"):
            decorate(wrong)


def everything():
    model = nn.Linear(2, 1)
    opt = optim.Adam(model.parameters())
    average = optim.PolyakAverage(model)
    average.update()
    return {
        "default_dtype": lambda: tg.default_dtype("float64"),
        "use_kernels": lambda: tg.use_kernels("reference"),
        "fork_rng": lambda: tg.fork_rng(0),
        "tracing": tg.tracing,
        "film": lambda: tg.film(f"{tempfile.gettempdir()}/never.html"),
        "ledger": opt.ledger,
        "applied": average.applied,
        "allow_tf32": lambda: tg.cuda.allow_tf32("cuda"),
    }


@pytest.mark.parametrize("name", everything())
def test_other_blocks_refuse_bodies_that_run_later(name):
    def generator():
        yield 1

    async def coroutine():
        return 1

    async def async_generator():
        yield 1

    for function in (generator, coroutine, async_generator, staticmethod(generator)):
        with pytest.raises(errors.DTypeError, match=rf"^{name}: .*inside the body"):
            everything()[name]()(function)


def test_other_blocks_decorate_functions():
    @tg.fork_rng(0)
    def draw():
        return tg.rand(3).numpy()

    @tg.default_dtype("float64")
    def dtype(depth=1):
        return dtype(depth - 1) if depth else tg.tensor(1.0).dtype

    np.testing.assert_array_equal(draw(), draw())
    assert dtype() == "float64"
    assert tg.tensor(1.0).dtype == "float32"


def test_every_public_block_is_covered():
    """Find context managers by what their modules say, so that a new one joins the table."""
    blocks = set()
    for name in dir(tg):
        made = getattr(tg, name)
        if inspect.isgeneratorfunction(inspect.unwrap(made)) and hasattr(made, "__wrapped__"):
            blocks.add(name)
    assert {"default_dtype", "use_kernels", "fork_rng"} <= blocks <= set(everything())
