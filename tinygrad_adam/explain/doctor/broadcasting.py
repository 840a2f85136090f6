"""A loss that compares every prediction with every target, because their shapes were broadcast."""

from __future__ import annotations

from ...engine.graph import Variable
from .answers import below, is_constant, raw
from .check import Check

MEETING = ("subtract", "multiply", "add", "divide", "maximum", "minimum", "where")
"""Operations in which a prediction meets a target or its weight."""

ADDED_AXIS = ("slice", "reshape", "expand_dims")
"""Operations that give values an axis more. Where a prediction got its second axis from one, all pairs may be
wanted, as in a kernel or a distance between samples."""


class Broadcast(Check):
    """Finds predictions (n, 1) and targets (n,), which meet as (n, n)."""

    def backward_begins(self, root: Variable) -> None:
        for node, made in below(self.doctor.made, root):
            if made.name not in MEETING:
                continue
            predictions = [arg for arg in made.args if isinstance(arg, Variable) and arg.node is not None]
            for prediction in predictions:
                for target in (raw(arg) for arg in made.args if is_constant(arg)):
                    shapes = prediction._data.shape, target.shape
                    if _crossed(*shapes) and not self._added(prediction):
                        self._words(node.number, made.name, *shapes)

    def _added(self, prediction: Variable) -> bool:
        """Return whether the program itself gave the prediction its axis of size one."""
        assert prediction.node is not None  # it is a prediction
        maker = self.doctor.made.get(prediction.node.number)
        return (
            prediction._data.ndim == 2
            and maker is not None
            and maker.name in ADDED_AXIS
            and raw(maker.args[0]).ndim == 1
        )

    def _words(self, number: int, name: str, output: tuple[int, ...], target: tuple[int, ...]) -> None:
        n = output[0]
        place = self.doctor.place_of(number)
        self.find(
            ("broadcast", place),
            kind="loss-broadcast",
            what=f"{name} of the prediction {output} and the target {target} gives ({n}, {n}): every "
            f"prediction is compared with all {n} targets of the batch, so the best answer to each input is "
            "the mean of all.",
            where=self.doctor.where(place),
            remedy="give both one shape: y.reshape(-1, 1) for the target, or squeeze(1) for the "
            "prediction. mse_loss and the other losses here refuse shapes that differ.",
            evidence=f"{output} against {target}; reported at once",
        )


def _crossed(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Return whether the shapes are (n, 1) and (n,), in either order, of more than one example."""
    flat, column = sorted((one, other), key=len)
    return len(flat) == 1 and len(column) == 2 and column[1] == 1 and flat[0] == column[0] > 1
