"""Rows of an output layer at four bits a number, by which the largest inner products with a query are found."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ItemCodes"]

BITS, SAMPLE, ROUNDS = 4, 65_536, 100  # of a code; rows by which its levels are placed, and how often they are moved
Array = NDArray[np.float32]
Ids = NDArray[np.int64]


class ItemCodes:
    """Every row looked at, but its codes in place of its numbers: faiss sums them 32 rows at a time from registers.

    Each column has 16 levels, where the squared error of a sample is least (Lloyd, "Least squares quantization in
    PCM", 1982); the scan is that of André et al., "Cache locality is not enough" (VLDB 2015). The last column, the
    bias, is by far the widest in a trained net: what its level leaves over has a column of its own.

    Parameters
    ----------
    rows
        The weights of each class, its bias last, (classes, d) float32, finite.

    Attributes
    ----------
    bytes
        Of memory.
    """

    def __init__(self, rows: Array) -> None:
        import faiss

        sample = np.random.default_rng(0).permutation(len(rows))[:SAMPLE]
        levels = [_levels(column) for column in rows[sample].T]
        rest = rows[:, -1] - levels[-1][_nearest(levels[-1], rows[:, -1])]
        levels.append(_levels(rest[sample]))
        codes = np.zeros((len(rows), (len(levels) + 1) // 2), np.uint8)
        for number, (column, marks) in enumerate(zip((*rows.T, rest), levels, strict=True)):
            codes[:, number // 2] |= _nearest(marks, column).astype(np.uint8) << number % 2 * BITS
        # faiss would find the codes by itself, one row at a time, in four times the time.
        plain: Any = faiss.IndexPQ(len(levels), len(levels), BITS, faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(np.concatenate(levels), plain.pq.centroids)
        faiss.copy_array_to_vector(codes.ravel(), plain.codes)
        plain.is_trained, plain.ntotal = True, len(rows)
        self._index: Any = faiss.IndexPQFastScan(plain)
        self._set_threads = faiss.omp_set_num_threads
        self.bytes = codes.nbytes

    def largest(self, queries: Array, count: int) -> Ids:
        """Return the ids of the ``count`` rows of the largest products, nearly, in any order, (B, count).

        Where faiss finds fewer, as among equal rows, the rest are -1. What a query is answered does not depend on the
        others.

        Parameters
        ----------
        queries
            (B, d) float32; the last number is multiplied by the bias.
        """
        self._set_threads(1)  # it is of the thread that asks; the queries of a batch would each take a core
        found: Ids = self._index.search(np.column_stack([queries, queries[:, -1]]), count)[1]
        return found


def _levels(column: Array) -> Array:
    """Return the 16 levels, ascending, to which numbers are rounded with the least squared error, nearly."""
    column = np.sort(column)
    sums = np.concatenate([[0], np.cumsum(column, dtype=np.float64)])
    count = 2**BITS
    levels = (np.quantile(column, (np.arange(count) + 0.5) / count) + np.linspace(column[0], column[-1], count)) / 2
    for _ in range(ROUNDS):
        edges = np.concatenate([[0], np.searchsorted(column, (levels[1:] + levels[:-1]) / 2), [len(column)]])
        held = np.diff(edges)
        levels = np.where(held, np.diff(sums[edges]) / np.maximum(held, 1), levels)
    return np.asarray(levels, np.float32)


def _nearest(levels: Array, column: Array) -> Ids:
    """Return for each number of ``column`` which of the ascending ``levels`` is nearest."""
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, column)
