"""The items of a sampled softmax: the labels of a batch, and others drawn by how often they are bought."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SHARED", "SampledItems"]

# Added to the score of a place without an item: its probability is then exactly 0.
PADDING = np.float32(-1e30)
CERTAIN = 1 - 1e-12
# The blobs that all rows of a batch share.
SHARED = ("candidate", "candidate_correction")


class SampledItems:
    """The candidates of every batch, shared by its rows: each item once, however often it is a label or drawn.

    To a row of a batch of r labels, the r - 1 other labels and K draws bring an item with the chance
    π = 1 - (1 - p)ʳ⁻¹·(1 - q)ᴷ: labels come with their share p of the training labels, and draws with q, which is
    proportional to (count + 1)^alpha. With log π taken from the score of every candidate, the softmax over them tells
    which of them is the label, and is right where the softmax over all items is (Jean et al., "On Using Very Large
    Target Vocabulary for Neural Machine Translation", 2015; for labels in batches Yi et al., "Sampling-Bias-Corrected
    Neural Modeling for Large Corpus Item Recommendations", 2019). Where all items are certain to come, the two are
    the same. "None", column 0 of the softmax, is always a candidate.

    The candidates of batch k depend on (seed, k) and its labels alone, so that a resumed run has the same.

    Parameters
    ----------
    label
        The labels of the training rows, 0..N; 0 is none.
    items
        N.
    size
        Places of a batch: one for "none", its labels and ``negatives``, and one that stays empty.
    negatives
        K, draws for a batch.
    alpha
        The power of the counts, 0..1.
    seed
        0 or more.
    """

    def __init__(
        self,
        label: npt.NDArray[Any],
        items: int,
        *,
        size: int,
        negatives: int,
        alpha: float,
        seed: int,
    ) -> None:
        self._size, self._negatives, self._alpha, self._seed = size, negatives, alpha, seed
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
        rng = np.random.default_rng([self._seed, number, 2])  # the 2 keeps them apart from permutations and masks
        # In order, neighbouring draws look at neighbouring memory.
        heights = np.sort(rng.random(self._negatives)) * self._heights[-1]
        drawn = 1 + np.searchsorted(self._heights, heights, side="right")
        present = label[label > 0]
        items = np.unique(np.concatenate([drawn, present]))
        candidate = np.zeros(self._size, np.int64)
        candidate[1 : 1 + items.size] = items
        correction = np.full(self._size, PADDING)
        correction[0] = 0.0
        correction[1 : 1 + items.size] = -np.log(self._chance(items, max(0, present.size - 1)))
        place = np.where(label > 0, 1 + np.searchsorted(items, label), 0)
        return {"candidate": candidate, "candidate_correction": correction, "label": place}

    def _chance(self, items: npt.NDArray[np.int64], labels: int) -> npt.NDArray[np.float64]:
        """Return the chance of each of ``items`` to come by so many labels and the draws."""
        count = self._count[items]
        # Kept off 1, the share of an only item, of whose absence there is no logarithm.
        bought = np.minimum(count / self._labels, CERTAIN)
        drawn = np.minimum((count + 1.0) ** self._alpha / self._heights[-1], CERTAIN)
        chance: npt.NDArray[np.float64] = -np.expm1(labels * np.log1p(-bought) + self._negatives * np.log1p(-drawn))
        return chance
