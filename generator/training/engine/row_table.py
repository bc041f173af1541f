"""Tables whose gradients come by rows, and what is common to the ways to update them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager

import numpy as np

from generator.training.engine.dense_group import UpdateFactors
from generator.training.engine.exchange import Exchange
from generator.training.engine.halves import in_halves
from generator.training.engine.row_sums import Ids, Rows, RowSums
from generator.training.engine.solver import BLOCK, Array, Rule, squared_norm

__all__ = ["DenseRows", "RowTable"]


class RowTable:
    """A table, and the gradient of the update to come: the ids of rows, ascending, and a row for each.

    Parameters
    ----------
    weight
        Float32 (rows, width), updated in place.
    histories
        As many arrays of the weight's shape as the rule has.
    rule
        The update rule.
    multipliers
        lr_mult, and the decay.
    iter_size
        Batches of an update; above 1 their gradients are summed in an array of the weight's shape.
    helper
        Makes half of a large update in a second thread; the bits are the same without.
    """

    def __init__(
        self,
        weight: Array,
        histories: Sequence[Array],
        rule: Rule,
        multipliers: UpdateFactors,
        *,
        iter_size: int = 1,
        helper: Executor | None = None,
    ) -> None:
        self.weight, self.histories = weight, histories
        self._rule, self._multipliers, self._helper = rule, multipliers, helper
        self._sum = np.zeros_like(weight) if iter_size > 1 else None
        self._sums = RowSums()
        self._pending: list[Ids] = []
        self._ids = np.empty(0, np.int64)
        self._gradient = np.empty((0, weight.shape[1]), np.float32)
        self._rows = max(1, BLOCK // weight.shape[1])

    def add(self, rows: Rows, ids: Ids | None = None) -> None:
        """Take up one batch's gradient; ``ids``: distinct, ascending, all of its rows and perhaps more."""
        distinct, sums = self._sums(*rows, ids)
        self._pending.append(distinct)
        if self._sum is None:
            self._gradient = sums
        else:
            self._sum[distinct] += sums

    def broadcast(self, exchange: Exchange) -> None:
        """Take over the first learner's rows and histories."""
        for array in (self.weight, *self.histories):
            exchange.broadcast(array)

    def squares(self) -> float:
        """Return the sum of the squares of the update's gradient: of the rows after their sums."""
        self._collect()
        return squared_norm(self._gradient)

    def _collect(self) -> None:
        """Gather the ids and the summed rows of the update's batches, once."""
        if not self._pending:
            return
        self._ids = self._pending[0] if len(self._pending) == 1 else np.unique(np.concatenate(self._pending))
        if self._sum is not None:
            self._gradient = self._sum[self._ids]
            self._sum[self._ids] = 0.0
        self._pending = []

    @contextmanager
    def _taken(self, ids: Ids) -> Iterator[list[Array]]:
        """Yield copies of rows of the weight and the histories, and put them back as they are then."""
        arrays = (self.weight, *self.histories)
        rows = [array.take(ids, axis=0) for array in arrays]
        yield rows
        for array, moved in zip(arrays, rows, strict=True):
            array[ids] = moved

    def _blocks(self, places: slice) -> Iterator[slice]:
        for start in range(places.start, places.stop, self._rows):
            yield slice(start, min(start + self._rows, places.stop))


class DenseRows(RowTable):
    """A table of which every row moves at every update, with a gradient or without: under decay, and Caffe's Adam."""

    def all_reduce(self, exchange: Exchange) -> None:
        """Add up the update's gradient with those of other learners, whose batches had rows of their own."""
        self._collect()
        whole = np.zeros_like(self.weight)
        whole[self._ids] = self._gradient
        exchange.all_reduce(whole)
        self._ids, self._gradient = np.arange(len(whole)), whole

    def update(self, iteration: int, rate: float, scale: float) -> None:
        """Apply the rule to all rows and forget the gradient; ``rate`` and ``scale`` as in `Rule.apply`."""
        self._collect()
        rate *= self._multipliers.lr
        decay = self._multipliers.decay

        def skip(rows: slice) -> None:
            histories = [history[rows] for history in self.histories]
            self._rule.skip_step(self.weight[rows], histories, iteration=iteration, rate=rate, decay=decay)

        with self._taken(self._ids) as (weight, *histories):  # as they were; in the end as their gradient moves them
            in_halves(skip, *self.weight.shape, step=self._rows, helper=self._helper)
            self._rule.apply(
                weight, self._gradient, histories, iteration=iteration, rate=rate, scale=scale, decay=decay
            )
