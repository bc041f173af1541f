"""Batches of a split: which rows, in which order, as the arrays the graph wants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from generator.onnxgraph.rewrites.label_count import LABEL_COUNT
from generator.spec.blobs import INPUTS
from generator.training.engine.candidates import SampledItems
from generator.training.engine.row_sums import distinct_ids

__all__ = ["READERS", "Batch", "Batches", "Dropout", "Hiding", "Order", "shard_of"]

Order = Literal["shuffle", "file"]

# The blobs that all rows of a batch share.
SHARED = ("candidate", "candidate_correction", LABEL_COUNT)

# The blobs whose ids are rows of a parameter that is read by rows: the output's only where the softmax is sampled.
READERS = {
    "page_embedding": tuple(blob.name for blob in INPUTS.values() if blob.ids == "pages" and blob.trained),
    "bought_embedding": tuple(blob.name for blob in INPUTS.values() if blob.ids == "items"),
    "output_rnn_weight": ("candidate",),
    "output_fnn_weight": ("candidate",),
    "output_bias": ("candidate",),
}


@dataclass(frozen=True)
class Batch:
    """One batch: its blobs (ids int64, weights float32), and by table the distinct ids they hold, ascending."""

    blobs: dict[str, npt.NDArray[Any]]
    ids: dict[str, npt.NDArray[np.int64]]


def shard_of(blobs: Mapping[str, npt.NDArray[Any]], place: int, count: int) -> dict[str, npt.NDArray[Any]]:
    """Return the rows from place · B / count on, B / count of them, of a batch's blobs, and whole what all rows share.

    A dropout mask has a row for each state of a row.
    """
    rows = len(blobs["label"])
    part = slice(place * rows // count, (place + 1) * rows // count)
    return {name: blob if name in SHARED else _rows_of(blob, rows, part) for name, blob in blobs.items()}


def _rows_of(blob: npt.NDArray[Any], rows: int, part: slice) -> npt.NDArray[Any]:
    if len(blob) == rows:
        return blob[part]
    return blob.reshape(rows, -1, *blob.shape[1:])[part].reshape(-1, *blob.shape[1:])


@dataclass(frozen=True)
class Dropout:
    """The masks of dropout, as Caffe's Dropout layer draws them: 0 with probability ``ratio``, else 1 / (1 - ratio).

    Batch k's masks depend on (seed, k) alone, so that a resumed run draws what an unbroken one does.

    Attributes
    ----------
    ratio
        Share dropped, below 1; 0 draws nothing.
    shapes
        Shape of each mask by the name of the gradient graph's input.
    seed
        0 or more.
    """

    ratio: float = 0.0
    shapes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seed: int = 0

    def masks(self, number: int) -> dict[str, npt.NDArray[np.float32]]:
        """Return the float32 masks of batch ``number``."""
        if not self.shapes:
            return {}
        rng = np.random.default_rng([self.seed, number, 1])  # the 1 keeps them apart from the permutations
        kept = np.float32(1 / (1 - self.ratio))
        return {name: (rng.random(shape, np.float32) >= self.ratio) * kept for name, shape in self.shapes.items()}


NO_DROPOUT = Dropout()


@dataclass(frozen=True)
class Hiding:
    """Some visits made those of a page that the vocabulary lacks: what trains the row of the table for such pages.

    Batch k's visits depend on (seed, k) alone, as dropout's masks do.

    Attributes
    ----------
    row
        The row of the table that they read in place of their own.
    seed
        0 or more.
    share
        Of the visits.
    """

    row: int
    seed: int = 0
    share: float = 0.05

    def hidden(self, blobs: Mapping[str, npt.NDArray[Any]], number: int) -> dict[str, npt.NDArray[np.int64]]:
        """Return the pages of batch ``number`` with some of them hidden, by blob."""
        rng = np.random.default_rng([self.seed, number, 4])  # the 4 keeps them apart from all else that is drawn
        found = {}
        for name in READERS["page_embedding"]:
            if name in blobs:
                page = blobs[name]
                found[name] = np.where((rng.random(page.shape, np.float32) < self.share) & (page > 0), self.row, page)
        return found


class Batches:
    """The rows of a split, cut into batches without end.

    Batch k is rows k·B .. k·B+B-1 of the row sequence that repeats the split over and over, so the batch that ends
    an epoch is completed from the next one, as Caffe's HDF5Data layer does. In order ``file`` every epoch is the
    file's; in order ``shuffle`` epoch e is a permutation that depends on (seed, e) alone, or with ``worth`` as many
    rows, of which each comes as often as it is worth, rounded up or down at random.

    Parameters
    ----------
    arrays
        The blobs by name, each (R, ...): ids int32, weights float32.
    batch_size
        B.
    order
        ``shuffle`` or ``file``.
    seed
        Of the permutations, 0 or more.
    tables
        The embedding tables whose ids each batch lists.
    tied
        Whether the output's table is ``page_embedding``.
    dropout
        The masks that go with each batch.
    candidates
        The items of a sampled softmax, among which the labels are places then; None: the softmax is over all.
    worth
        How often each row comes beside the others, (R,), above 0; None: all alike.
    hiding
        Which visits are hidden; None: none are.
    """

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        batch_size: int,
        *,
        order: Order = "shuffle",
        seed: int = 0,
        tables: Sequence[str] = (),
        tied: bool = False,
        dropout: Dropout = NO_DROPOUT,
        candidates: SampledItems | None = None,
        worth: npt.NDArray[np.float64] | None = None,
        hiding: Hiding | None = None,
    ) -> None:
        self._arrays, self._size, self._dropout, self._candidates = arrays, batch_size, dropout, candidates
        self._hiding = hiding
        self._readers = {
            table: (*READERS[table], *(("candidate",) if tied and table == "page_embedding" else ()))
            for table in tables
        }
        self.rows = len(next(iter(arrays.values())))

        @lru_cache(maxsize=2)  # the two epochs a batch can lie across
        def permutation(epoch: int) -> npt.NDArray[np.int64]:
            rng = np.random.default_rng([seed, epoch])
            if worth is None:
                return rng.permutation(self.rows)
            return rng.permutation(_drawn(worth, rng))

        self._permutation = permutation if order == "shuffle" else None

    def some(self, number: int, count: int) -> list[Batch]:
        """Return batches ``number`` .. ``number + count - 1``, counted from 0 at the start of training."""
        places = np.arange(number * self._size, (number + count) * self._size)
        epochs, rows = np.divmod(places, self.rows)
        if self._permutation is not None:
            for epoch in np.unique(epochs):
                here = epochs == epoch
                rows[here] = self._permutation(int(epoch))[rows[here]]
        return [self._batch(blobs, place) for place, blobs in enumerate(self._cut(rows), number)]

    def once(self, limit: int) -> list[Batch]:
        """Return the split in file order, each row once: at most ``limit`` batches, the last one perhaps short."""
        return [Batch(blobs, {}) for blobs in self._cut(np.arange(min(self.rows, limit * self._size)))]

    def _cut(self, rows: npt.NDArray[np.int64]) -> list[dict[str, npt.NDArray[Any]]]:
        """Return the blobs of the rows, gathered at once, a batch each."""
        blobs = {name: _wide(array[rows]) for name, array in self._arrays.items()}
        return [
            {name: array[start : start + self._size] for name, array in blobs.items()}
            for start in range(0, len(rows), self._size)
        ]

    def _batch(self, blobs: dict[str, npt.NDArray[Any]], number: int) -> Batch:
        """Return batch ``number`` of training: its blobs, what is drawn for it, and the ids of both."""
        blobs |= self._dropout.masks(number)
        if self._hiding:
            blobs |= self._hiding.hidden(blobs, number)
        if self._candidates:
            blobs |= self._candidates.blobs(number, blobs)
        ids = {
            table: distinct_ids(np.concatenate([blobs[name].reshape(-1) for name in names if name in blobs]))
            for table, names in self._readers.items()
        }
        return Batch(blobs, ids)


def _drawn(worth: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return R rows, ascending, each as often as its share of ``worth``, rounded at random: systematic sampling."""
    ends = np.cumsum(worth)
    places = (np.arange(len(worth)) + rng.random()) * (ends[-1] / len(worth))
    drawn: npt.NDArray[np.int64] = np.minimum(np.searchsorted(ends, places, side="right"), len(worth) - 1)
    return drawn


def _wide(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ids as the graphs want them, int64; weights as they are."""
    return array if array.dtype == np.float32 else array.astype(np.int64)
