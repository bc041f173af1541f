"""The items of a sampled softmax: the labels of a batch, and others drawn by how often they are bought."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.training.engine.row_sums import Ids, distinct_ids

__all__ = ["SampledItems"]

# Added to the score of a place without an item: its probability is then exactly 0.
PADDING = np.float32(-1e30)
CERTAIN = 1 - 1e-12  # the share of an only item, of whose absence there is no logarithm, is kept off 1
# Draws for a place, at most: where nearly all items have one, the rarest would take long.
DRAWS = 16


class SampledItems:
    """The candidates of every batch, shared by its rows: each item once, however often it is a label or drawn.

    The labels of a batch come first; draws with replacement, with chances q proportional to (count + 1)^alpha, fill the
    other places, at the times of a Poisson process. Where the first item without a place comes at the time t, an item
    has come before with the chance 1 - exp(-q·t), and by the r - 1 other labels of a row's batch or so with the chance
    π = 1 - (1 - p)ʳ⁻¹·exp(-q·t), where p is its share of the training labels. With log π taken from their scores, the
    candidates beside the row's label sum up to what all items would, on average (Cohen, Kaplan: "Summarizing Data
    using Bottom-k Sketches", 2007); the label, which is certain to come, is taken as it is (Khrylchenko et al.,
    "Correcting the LogQ Correction", RecSys 2025; for labels in batches Yi et al., "Sampling-Bias-Corrected Neural
    Modeling for Large Corpus Item Recommendations", 2019). Where all items have a place, the loss is the softmax over
    all. "None", column 0 of the softmax, is always a candidate.

    The candidates of batch k depend on (seed, k) and its labels alone, so that a resumed run has the same.

    Parameters
    ----------
    label
        The labels of the training rows, 0..N; 0 is none.
    items
        N.
    size
        Places of a batch, more than it has labels: one for "none", the others for items.
    alpha
        The power of the counts, 0..1.
    seed
        0 or more.
    """

    def __init__(self, label: npt.NDArray[Any], items: int, *, size: int, alpha: float, seed: int) -> None:
        self._size, self._alpha, self._seed = size, alpha, seed
        self._count = np.bincount(label.reshape(-1), minlength=items + 1)
        self._count[0] = 0
        self._labels = max(1, int(self._count.sum()))
        self._heights = np.cumsum((self._count[1:] + 1.0) ** alpha)

    def blobs(self, number: int, batch: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Return ``candidate`` and ``candidate_correction`` (size), and ``label`` as places among them.

        Parameters
        ----------
        number
            Of the batch, from 0 at the start of training.
        batch
            Its blobs: ``label``, int64 0..N.
        """
        label = batch["label"]
        present = label[label > 0]
        if self._size > len(self._heights):
            items = np.arange(1, len(self._heights) + 1)
            chance = np.ones(items.size)
        else:
            rng = np.random.default_rng([self._seed, number, 2])  # the 2 keeps them apart from permutations and masks
            items, time = self._filled(distinct_ids(present), rng)
            chance = self._chance(items, max(0, present.size - 1), time)
        candidate = np.zeros(self._size, np.int64)
        candidate[1 : 1 + items.size] = items
        correction = np.full(self._size, PADDING)
        correction[0] = 0.0
        correction[1 : 1 + items.size] = -np.log(chance)
        place = np.where(label > 0, 1 + np.searchsorted(items, label), 0)
        return {"candidate": candidate, "candidate_correction": correction, "label": place}

    def _filled(self, labels: Ids, rng: np.random.Generator) -> tuple[Ids, float]:
        """Return the labels and as many others as there is room for, ascending, and when the first had none."""
        room = self._size - 1 - labels.size
        drawn = first = np.empty(0, np.int64)
        while first.size <= room and drawn.size < DRAWS * self._size:
            drawn = np.concatenate([drawn, self._drawn(2 * room + 2, rng)])
            items, first = np.unique(drawn, return_index=True)
            first = np.sort(first[~np.isin(items, labels, assume_unique=True)])
        draws = int(first[room]) + 1 if first.size > room else drawn.size
        return distinct_ids(np.concatenate([labels, drawn[first[:room]]])), rng.standard_gamma(draws)

    def _drawn(self, count: int, rng: np.random.Generator) -> Ids:
        heights = rng.random(count) * self._heights[-1]
        order = np.argsort(heights)  # in order, neighbouring draws look at neighbouring memory
        drawn = np.empty(count, np.int64)
        drawn[order] = 1 + np.searchsorted(self._heights, heights[order], side="right")
        return drawn

    def _chance(self, items: Ids, labels: int, time: float) -> npt.NDArray[np.float64]:
        """Return the chance of each of ``items`` to come by so many labels, or by draws until ``time``."""
        count = self._count[items]
        bought = np.minimum(count / self._labels, CERTAIN)
        drawn = (count + 1.0) ** self._alpha / self._heights[-1]
        chance: npt.NDArray[np.float64] = -np.expm1(labels * np.log1p(-bought) - drawn * time)
        return chance
