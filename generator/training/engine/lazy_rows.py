"""Embedding tables that are updated only where a batch reads them, and are dense SGD all the same."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.training.engine.dense_group import UpdateFactors
from generator.training.engine.exchange import Exchange
from generator.training.engine.row_sums import Ids, Rows, RowSums
from generator.training.engine.solver import BLOCK, Array, Rule, squared_norm

__all__ = ["LazyRows"]


class LazyRows:
    """A table whose rows move when a batch touches them; what they missed is applied in closed form before.

    Dense Caffe SGD moves every row at every update: without a gradient by its momentum alone. Here a row remembers
    how many updates it has seen, and `catch_up` applies the missed ones at once (`Rule.skip_steps`). AdaGrad leaves
    such rows alone, so nothing is missed. Weight decay and Adam move them in no closed form: use `DenseGroup` there
    (`LazyRows.fits` says so), or have Adam leave them alone too, moments and all, which is not Caffe's Adam but
    PyTorch's SparseAdam and TensorFlow's LazyAdam. A rule that is ``drifting`` comes near to Caffe's Adam.

    Parameters
    ----------
    weight
        Float32 (rows, width), updated in place. A row is up to date only after `catch_up`.
    histories
        One array of the weight's shape.
    rule
        The update rule.
    multipliers
        lr_mult; no decay.
    iteration
        Updates already made: every row has seen them.
    iter_size
        Batches of an update; above 1 their gradients are summed in an array of the weight's shape.
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
    ) -> None:
        self.weight, self.histories = weight, histories
        self._rule, self._multipliers = rule, multipliers
        self.seen = np.full(weight.shape[0], iteration, np.int64)
        self._sum = np.zeros_like(weight) if iter_size > 1 else None
        self._sums = RowSums()
        self._pending: list[Ids] = []
        self._ids = np.empty(0, np.int64)
        self._gradient = np.empty((0, weight.shape[1]), np.float32)
        self._rows = max(1, BLOCK // weight.shape[1])

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
        for block in self._blocks(ids):
            weight, *histories = (array.take(block, axis=0) for array in (self.weight, *self.histories))
            self._skip(weight, histories, iteration - self.seen[block], iteration, rate)
            self.weight[block] = weight
            for history, faded in zip(self.histories, histories, strict=True):
                history[block] = faded
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

    def add(self, rows: Rows, ids: Ids | None = None) -> None:
        """Take up one batch's gradient; ``ids``: distinct, ascending, all of its rows and perhaps more."""
        distinct, sums = self._sums(*rows, ids)
        self._pending.append(distinct)
        if self._sum is None:
            self._gradient = sums
        else:
            self._sum[distinct] += sums

    def all_reduce(self, exchange: Exchange) -> None:
        """Add up the update's gradient with those of other learners, which were given the same ids."""
        self._collect()
        exchange.all_reduce(self._gradient)

    def broadcast(self, exchange: Exchange) -> None:
        """Take over the first learner's rows, histories and what they have seen."""
        exchange.broadcast(self.seen)
        for array in (self.weight, *self.histories):
            exchange.broadcast(array)

    def squares(self) -> float:
        """Return the sum of the squares of the update's gradient: of the rows after their sums."""
        self._collect()
        return squared_norm(self._gradient)

    def update(self, iteration: int, rate: float, scale: float) -> None:
        """Apply the rule to the rows touched since the last update, all up to date, and forget the gradient."""
        self._collect()
        for start, block in enumerate(self._blocks(self._ids)):
            gradient = self._gradient[start * self._rows :][: block.size]
            weight, *histories = (array.take(block, axis=0) for array in (self.weight, *self.histories))
            self._rule.apply(
                weight, gradient, histories, iteration=iteration, rate=rate * self._multipliers.lr, scale=scale
            )
            self.weight[block] = weight
            for history, moved in zip(self.histories, histories, strict=True):
                history[block] = moved
        self.seen[self._ids] = iteration + 1

    def _collect(self) -> None:
        """Gather the ids and the summed rows of the update's batches, once."""
        if not self._pending:
            return
        self._ids = self._pending[0] if len(self._pending) == 1 else np.unique(np.concatenate(self._pending))
        if self._sum is not None:
            self._gradient = self._sum[self._ids]
            self._sum[self._ids] = 0.0
        self._pending = []

    def _blocks(self, ids: Ids) -> Iterator[Ids]:
        for start in range(0, ids.size, self._rows):
            yield ids[start : start + self._rows]
