"""Parameters that are updated whole, joined in one array of weights, one of gradients, one of each history."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from generator.training.engine.exchange import Exchange
from generator.training.engine.row_sums import Rows, RowSums
from generator.training.engine.solver import BLOCK, Array, Rule, squared_norm

__all__ = ["DenseGroup", "UpdateFactors"]

# Elements of an update that are worth a second thread.
WORTH_THREADS = 1 << 18
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
        The parameters whose gradient is not written: it comes as rows alone, or is 0.
    helper
        Makes half of a large update in a second thread; the bits are the same without.

    Attributes
    ----------
    weights, histories
        The trained arrays, parts of the joined ones.
    gradients
        By name: the gradient graph writes a batch's gradients here, but for those in ``sparse``.
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
        helper: Executor | None = None,
    ) -> None:
        self._weight, self.weights = _join(weights)
        joined = [_join(history) for history in histories]
        self._histories, self.histories = [flat for flat, _ in joined], [parts for _, parts in joined]
        self._gradient, self.gradients = _join({name: np.zeros_like(weight) for name, weight in weights.items()})
        self._sum = self._gradient if iter_size == 1 else np.zeros_like(self._gradient)
        self._rule, self._multipliers, self.sparse = rule, multipliers, sparse
        self._sums = defaultdict[str, RowSums](RowSums)
        self._helper = helper if self._weight.size >= WORTH_THREADS else None

    def add(self, rows: Mapping[str, Rows] | None = None, share: float = 1.0) -> None:
        """Take up ``share`` of one batch's gradients: what the graph wrote to ``gradients``, plus ``rows`` by name."""
        for name in self.sparse:
            self.gradients[name].fill(0.0)
        for name, part in (rows or {}).items():
            ids, sums = self._sums[name](*part)
            self.gradients[name].reshape(-1, sums.shape[1])[ids] += sums  # a vector is rows of one number
        if share != 1.0:
            self._gradient *= share
        if self._sum is not self._gradient:
            self._sum += self._gradient

    def all_reduce(self, exchange: Exchange) -> None:
        """Add up the update's gradients with those of other learners."""
        exchange.all_reduce(self._sum)

    def broadcast(self, exchange: Exchange) -> None:
        """Take over the first learner's weights and histories."""
        for array in (self._weight, *self._histories):
            exchange.broadcast(array)

    def squares(self) -> float:
        """Return the sum of the squares of the update's gradients."""
        return squared_norm(self._sum)

    def update(self, iteration: int, rate: float, scale: float) -> None:
        """Apply the rule and forget the gradients; ``rate`` and ``scale`` as in `Rule.apply`, before lr_mult."""
        half = self._weight.size // 2 // BLOCK * BLOCK if self._helper else 0
        begun = self._helper and self._helper.submit(self._update, slice(half), iteration, rate, scale)
        self._update(slice(half, None), iteration, rate, scale)
        if begun:
            begun.result()
        if self._sum is not self._gradient:
            self._sum.fill(0.0)

    def _update(self, part: slice, iteration: int, rate: float, scale: float) -> None:
        self._rule.apply(
            self._weight[part],
            self._sum[part],
            [history[part] for history in self._histories],
            iteration=iteration,
            rate=rate * self._multipliers.lr,
            scale=scale,
            decay=self._multipliers.decay,
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
