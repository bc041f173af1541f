"""Embedding tables that are updated only where a batch reads them, and are dense SGD all the same."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.training.engine.dense_group import UpdateFactors
from generator.training.engine.exchange import Exchange
from generator.training.engine.halves import in_halves
from generator.training.engine.row_sums import Ids
from generator.training.engine.row_table import RowTable
from generator.training.engine.solver import Array, Rule

__all__ = ["LazyRows"]


class LazyRows(RowTable):
    """A table of which rows move when a batch touches them; what they missed is applied in closed form before.

    Dense Caffe SGD moves every row at every update: without a gradient by its momentum alone. Here a row remembers
    how many updates it has seen, and `catch_up` applies the missed ones at once (`Rule.skip_steps`). AdaGrad leaves
    such rows alone, so nothing is missed. Weight decay and Adam move them in no closed form: use `DenseRows` there
    (`LazyRows.fits` says so), or have Adam leave them alone too, moments and all, which is not Caffe's Adam but
    PyTorch's SparseAdam and TensorFlow's LazyAdam. A rule that is ``drifting`` comes near to Caffe's Adam.

    Parameters
    ----------
    weight, histories, rule, multipliers, iter_size, helper
        As of `RowTable`; no decay. A row is up to date only after `catch_up`.
    iteration
        Updates already made: every row has seen them.
    """

    def __init__(
        self,
        weight: Array,
        histories: Sequence[Array],
        rule: Rule,
        multipliers: UpdateFactors,
        *,
        iteration: int = 0,
        iter_size: int = 1,
        helper: Executor | None = None,
    ) -> None:
        super().__init__(weight, histories, rule, multipliers, iter_size=iter_size, helper=helper)
        self.seen = np.full(weight.shape[0], iteration, np.int64)

    @staticmethod
    def fits(rule: Rule, multipliers: UpdateFactors, *, lazy: bool = False) -> bool:
        """Whether rows without a gradient move in a closed form here, or under a ``lazy`` rule not at all."""
        return (rule.has_closed_form or lazy) and multipliers.decay == 0.0

    def catch_up(self, ids: Ids, iteration: int, rate: float = 0.0) -> None:
        """Bring the rows ``ids`` (distinct) to where dense training has them after ``iteration`` updates.

        ``rate`` is the learning rate of those updates, for a drifting Adam; other rules do without.
        """
        if not self._rule.drifts:
            return
        ids = ids[self.seen[ids] < iteration]

        def move(places: slice) -> None:
            for block in self._blocks(places):
                with self._taken(ids[block]) as (weight, *histories):
                    self._skip(weight, histories, iteration - self.seen[ids[block]], iteration, rate)

        in_halves(move, ids.size, self.weight.shape[1], step=self._rows, helper=self._helper)
        self.seen[ids] = iteration

    def _skip(self, weight: Array, histories: Sequence[Array], steps: Ids, iteration: int, rate: float) -> None:
        self._rule.skip_steps(weight, histories, steps, iteration=iteration, rate=rate * self._multipliers.lr)

    def behind(self, iteration: int) -> bool:
        """Whether a row has missed updates."""
        return self._rule.drifts and bool((self.seen < iteration).any())

    def flush(self, iteration: int, rate: float = 0.0) -> None:
        """Bring every row up to date: before weights are read as a whole; ``rate`` as in `catch_up`."""
        self.catch_up(np.arange(self.seen.size), iteration, rate)

    @property
    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """What the table holds: ``weight``, ``history``, for Adam ``history2``, and ``seen``."""
        histories = dict(zip(("history", "history2"), self.histories, strict=False))
        return {"weight": self.weight, **histories, "seen": self.seen}

    def restore(self, parts: Mapping[str, npt.NDArray[Any]], iteration: int, rate: float = 0.0) -> None:
        """Put rows back to where `flush` brought them from; leave the table alone if it did not come from there."""
        weight, *histories, seen = (parts[name].copy() for name in self.parts)
        self._skip(weight, histories, self.seen - seen, iteration, rate)
        if all(map(np.array_equal, (self.weight, *self.histories), (weight, *histories))):
            for name, array in self.parts.items():
                array[...] = parts[name]

    def all_reduce(self, exchange: Exchange) -> None:
        """Add up the update's gradient with those of other learners, which were given the same ids."""
        self._collect()
        exchange.all_reduce(self._gradient)

    def broadcast(self, exchange: Exchange) -> None:
        """Take over the first learner's rows, histories and what they have seen."""
        exchange.broadcast(self.seen)
        super().broadcast(exchange)

    def update(self, iteration: int, rate: float, scale: float) -> None:
        """Apply the rule to the rows touched since the last update, all up to date, and forget the gradient."""
        self._collect()
        rate *= self._multipliers.lr

        def move(places: slice) -> None:
            for block in self._blocks(places):
                with self._taken(self._ids[block]) as (weight, *histories):
                    gradient = self._gradient[block]
                    self._rule.apply(weight, gradient, histories, iteration=iteration, rate=rate, scale=scale)

        in_halves(move, self._ids.size, self.weight.shape[1], step=self._rows, helper=self._helper)
        self.seen[self._ids] = iteration + 1
