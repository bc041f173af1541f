"""What a method recommends, right or wrong: how much of the catalogue, and how popular."""

import numpy as np
from numpy.typing import NDArray

from generator.evaluation.ranking import CUTOFF

__all__ = ["COVERAGE", "POPULARITY", "Coverage"]

COVERAGE, POPULARITY = f"coverage@{CUTOFF}", f"popularity@{CUTOFF}"


class Coverage:
    """Coverage and popularity bias of one method over a stream of rows, in O(N) memory.

    Coverage@20 is the share of the N items that were recommended to some row at least: RecBole's ItemCoverage,
    session-rec's Coverage. Popularity@20 is how often the items recommended are the label in the training split, over
    the count of the most frequent, a mean over the items of a list and over the rows: session-rec's Popularity, and
    RecBole's AveragePopularity, which does not divide. 1 is a method that always names the most frequent item.

    Parameters
    ----------
    counts : int (N+1,), how often each item is the label in the training split
    """

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self._share = counts / max(1, counts.max(initial=0))
        self._recommended = np.zeros(len(counts), np.bool_)
        self._sum, self._rows = 0.0, 0

    def add(self, top: NDArray[np.int32]) -> None:
        """Count rows to which the items ``top`` (B, K) are recommended; slots, above N, are no items of training."""
        top = np.where(top < len(self._share), top, 0)
        self._recommended[top] = True
        self._sum += float(self._share[top].mean(axis=1).sum()) if top.size else 0.0
        self._rows += len(top)

    def figures(self) -> dict[str, float]:
        """Return `COVERAGE` and `POPULARITY` of the rows so far, each within 0..1."""
        items = len(self._recommended) - 1
        return {
            COVERAGE: float(np.count_nonzero(self._recommended[1:]) / max(1, items)),
            POPULARITY: self._sum / max(1, self._rows),
        }
