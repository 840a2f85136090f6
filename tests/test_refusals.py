"""Wrong calls are refused by the same errors, which name what they named; `refusals/` holds the calls."""

from __future__ import annotations

import pytest
import refusals


@pytest.mark.parametrize("room", refusals.ROOMS)
def test_wrong_calls_are_refused_as_before(room):
    if absent := refusals.missing(room):
        pytest.skip(f"needs {', '.join(absent)}")
    kept, calls = refusals.answers(room), refusals.room(room)
    assert list(calls) == list(kept), "run: python tests/test_refusals.py"
    changed = []
    for name, call in calls.items():
        kind, text = refusals.refusal(call)
        lost = [item for item in kept[name]["names"] if not refusals.is_named(item, text)]
        if kind != kept[name]["kind"] or lost:
            before = f"{kept[name]['kind']}: {kept[name]['text']}"
            changed.append(f"{name}: no longer names {lost}\n--- before\n{before}\n--- now\n{kind}: {text}")
    assert not changed, "\n\n".join(changed)


def test_there_are_many():
    assert sum(len(refusals.answers(room)) for room in refusals.ROOMS) >= 900


def test_what_is_lost_is_noticed():
    text = "conv2d: stride must be one or two integers >= 1\n  stride  (1, 2, 1)\n  x       float32"
    found = refusals.named("OptionError", text)
    assert {"conv2d", "1", "(1, 2, 1)", "stride", "float32", "x"} <= {*found}
    assert all(refusals.is_named(item, text) for item in found)
    for other in ("conv1d: (1, 2, 1) stride x float32", "conv2d: 1 (1, 2) stride x float32"):
        assert not all(refusals.is_named(item, other) for item in found)
    assert refusals.is_named("0.123456789", "loss 0.1234")
    assert not refusals.is_named("0.123456789", "loss 0.1244")


if __name__ == "__main__":
    refusals.write()
