"""Parameters that are updated whole, joined in one array of weights, one of gradients, one of each history."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from generator.training.engine.exchange import Exchange
from generator.training.engine.halves import in_halves
from generator.training.engine.row_sums import Rows, RowSums
from generator.training.engine.solver import BLOCK, Array, Rule, squared_norm

__all__ = ["DenseGroup", "UpdateFactors"]

# Floats of a cache line: each parameter begins at one.
LINE = 16


@dataclass(frozen=True)
class UpdateFactors:
    """What the solver's rate and the weight are multiplied by: lr_mult, and weight_decay · decay_mult."""

    lr: float = 1.0
    decay: float = 0.0


class DenseGroup:
    """Parameters of the same multipliers whose every element moves at every update.

    Parameters
    ----------
    weights
        Float32, by name; copied.
    histories
        As many mappings of that kind as the rule has histories; copied.
    rule, multipliers
        The update rule, lr_mult and decay.
    iter_size
        Batches of an update; above 1 their gradients are summed in a second array.
    sparse
        The parameters whose gradient is not written: it comes as rows, or is 0.
    shards
        Parts of a batch, each with gradients of its own, which the update adds up.
    helper
        Makes half of a large update in a second thread; the bits are the same without.

    Attributes
    ----------
    weights, histories
        The trained arrays, parts of the joined ones.
    gradients
        Of each shard by name: the gradient graph writes them here, but for those in ``sparse``.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        histories: Sequence[Mapping[str, Array]],
        rule: Rule,
        multipliers: UpdateFactors,
        *,
        iter_size: int = 1,
        sparse: AbstractSet[str] = frozenset(),
        shards: int = 1,
        helper: Executor | None = None,
    ) -> None:
        self._weight, self.weights = _join(weights)
        joined = [_join(history) for history in histories]
        self._histories, self.histories = [flat for flat, _ in joined], [parts for _, parts in joined]
        zeros = {name: np.zeros_like(weight) for name, weight in weights.items()}
        joined = [_join(zeros) for _ in range(shards)]
        self._gradients, self.gradients = [flat for flat, _ in joined], [parts for _, parts in joined]
        self._sum = None if iter_size == 1 else np.zeros_like(self._weight)
        self._pending: list[Array] = []
        self._rule, self._multipliers, self.sparse = rule, multipliers, sparse
        self._sums = defaultdict[str, RowSums](RowSums)
        self._helper = helper

    def add(self, rows: Mapping[str, Rows] | None = None) -> None:
        """Take up one batch's gradients: what the graph wrote to ``gradients``, plus ``rows`` by name."""
        for name in self.sparse:
            self.gradients[0][name].fill(0.0)  # those of other shards are not used up
        for name, part in (rows or {}).items():
            ids, sums = self._sums[name](*part)
            self.gradients[0][name].reshape(-1, sums.shape[1])[ids] += sums  # a vector is rows of one number
        self._pending = self._gradients
        if self._sum is not None:
            for gradient in self._gradients:
                self._sum += gradient
            self._pending = [self._sum]

    def _collect(self) -> Array:
        """Return the update's gradients in one array, where the shards' are added up."""
        first, *others = self._pending
        for gradient in others:
            first += gradient
        self._pending = [first]
        return first

    def all_reduce(self, exchange: Exchange) -> None:
        """Add up the update's gradients with those of other learners."""
        exchange.all_reduce(self._collect())

    def broadcast(self, exchange: Exchange) -> None:
        """Take over the first learner's weights and histories."""
        for array in (self._weight, *self._histories):
            exchange.broadcast(array)

    def squares(self) -> float:
        """Return the sum of the squares of the update's gradients."""
        return squared_norm(self._collect())

    def update(self, iteration: int, rate: float, scale: float) -> None:
        """Apply the rule and forget the gradients; ``rate`` and ``scale`` as in `Rule.apply`, before lr_mult."""
        in_halves(
            partial(self._update, iteration=iteration, rate=rate, scale=scale),
            self._weight.size,
            step=BLOCK,
            helper=self._helper,
        )
        if self._sum is not None:
            self._sum.fill(0.0)

    def _update(self, part: slice, iteration: int, rate: float, scale: float) -> None:
        gradient, *others = (each[part] for each in self._pending)
        self._rule.apply(
            self._weight[part],
            gradient,
            [history[part] for history in self._histories],
            iteration=iteration,
            rate=rate * self._multipliers.lr,
            scale=scale,
            decay=self._multipliers.decay,
            others=others,
        )


def _join(arrays: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Return copies of the arrays in one, and each as a part of it; between them lie zeros."""
    starts = np.cumsum([0, *(-(-array.size // LINE) * LINE for array in arrays.values())])
    joined = np.zeros(starts[-1], np.float32)
    parts = {}
    for start, (name, array) in zip(starts[:-1], arrays.items(), strict=True):
        parts[name] = joined[start : start + array.size].reshape(array.shape)
        parts[name][...] = array
    return joined, parts
