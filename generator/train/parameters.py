"""Parameters that are updated whole: weight, gradient and histories as float32 arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.train.rows import Rows, sum_rows
from generator.train.solver import Array, Rule, squared_norm

__all__ = ["Dense", "Multipliers"]


@dataclass(frozen=True)
class Multipliers:
    """What the solver's rate and the weight are multiplied by: lr_mult, and weight_decay · decay_mult."""

    lr: float = 1.0
    decay: float = 0.0


class Dense:
    """A parameter whose every element moves at every update.

    Parameters
    ----------
    weight
        Float32, contiguous; updated in place.
    histories
        As many arrays of the weight's shape as the rule has; updated in place.
    rule
        The update rule.
    multipliers
        lr_mult and decay.
    iter_size
        Batches of an update; above 1 their gradients are summed in a second array.
    written
        Whether the gradient graph writes ``gradient``; if not, the parameter is a table whose gradient comes as rows.

    Attributes
    ----------
    gradient
        The weight's shape: the gradient graph writes a batch's gradient here.
    """

    def __init__(
        self,
        weight: Array,
        histories: Sequence[Array],
        rule: Rule,
        multipliers: Multipliers,
        *,
        iter_size: int = 1,
        written: bool = True,
    ) -> None:
        self.weight, self.histories = weight, histories
        self._rule, self._multipliers = rule, multipliers
        self.gradient = np.zeros_like(weight)
        self._written = written
        self._sum = self.gradient if iter_size == 1 else np.zeros_like(weight)

    def add(self, rows: Rows | None = None) -> None:
        """Take up one batch's gradient: what the graph wrote to ``gradient``, plus ``rows``."""
        if not self._written:
            self.gradient.fill(0.0)
        if rows is not None:
            ids, sums = sum_rows(*rows)
            self.gradient[ids] += sums
        if self._sum is not self.gradient:
            self._sum += self.gradient

    def squares(self) -> float:
        """Return the sum of the squares of the update's gradient."""
        return squared_norm(self._sum)

    def update(self, iteration: int, rate: float, scale: float) -> None:
        """Apply the rule and forget the gradient; ``rate`` and ``scale`` as in `Rule.apply`, before lr_mult."""
        self._rule.apply(
            self.weight,
            self._sum,
            self.histories,
            iteration=iteration,
            rate=rate * self._multipliers.lr,
            scale=scale,
            decay=self._multipliers.decay,
        )
        if self._sum is not self.gradient:
            self._sum.fill(0.0)
