"""Embedding tables that are updated only where a batch reads them, and are dense SGD all the same."""

from collections.abc import Iterator, Sequence

import numpy as np

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
    PyTorch's SparseAdam and TensorFlow's LazyAdam.

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

    def catch_up(self, ids: Ids, iteration: int) -> None:
        """Bring the rows ``ids`` (distinct) to where dense training has them after ``iteration`` updates."""
        if not self._rule.drifts:
            return
        ids = ids[self.seen[ids] < iteration]
        for block in self._blocks(ids):
            weight, history = self.weight.take(block, axis=0), self.histories[0].take(block, axis=0)
            self._rule.skip_steps(weight, history, iteration - self.seen[block])
            self.weight[block], self.histories[0][block] = weight, history
        self.seen[ids] = iteration

    def behind(self, iteration: int) -> bool:
        """Whether a row has missed updates."""
        return self._rule.drifts and bool((self.seen < iteration).any())

    def flush(self, iteration: int) -> None:
        """Bring every row up to date: before weights are read as a whole."""
        self.catch_up(np.arange(self.seen.size), iteration)

    def restore(self, weight: Array, history: Array, seen: Ids) -> None:
        """Put rows back to where `flush` brought them from; leave the table alone if it did not come from there."""
        caught_up, faded = weight.copy(), history.copy()
        self._rule.skip_steps(caught_up, faded, self.seen - seen)
        if np.array_equal(caught_up, self.weight) and np.array_equal(faded, self.histories[0]):
            self.weight[:], self.histories[0][:], self.seen[:] = weight, history, seen

    def add(self, rows: Rows, ids: Ids | None = None, share: float = 1.0) -> None:
        """Take up ``share`` of one batch's gradient; ``ids``: distinct, ascending, all of its rows and perhaps more."""
        distinct, sums = self._sums(*rows, ids)
        if share != 1.0:
            sums *= share
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
