"""Which of the items seen is the label: a conditional logit over them, by what the session says of each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEATURES", "Seen", "fit_coefficients", "probability_of_seen"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEATURES = ("log count", "log lag", "log dwell time", "share", "newest")
RIDGE = 1e-3  # of a row, so that a feature that never differs has no coefficient
NEWTON, HALVINGS = 50, 30  # steps at most, and how often one is halved that overshoots


@dataclass(frozen=True)
class Seen:
    """The items among the newest S pages of R sessions.

    Attributes
    ----------
    page, item
        int64 (R, S): the pages, right-aligned, 0 for none, and their items, 0 for none.
    feature
        float64 (R, S, 5), `FEATURES` of the item of each page; all visits of an item have the same.
    distinct
        bool (R, S): true at the newest visit of each item.
    length
        int64 (R,): pages.
    """

    page: Ints
    item: Ints
    feature: Floats
    distinct: NDArray[np.bool_]
    length: Ints

    @classmethod
    def of(cls, page: NDArray[np.integer], dwell: NDArray[np.float32], item: Ints) -> "Seen":
        """Return what is seen by the blobs ``seen_page`` and ``seen_dwell``, (R, S), and the items of all pages."""
        found = item[page]
        size = page.shape[1]
        same = (found[:, :, None] == found[:, None, :]) & (found > 0)[:, None, :]
        visits = same.sum(2)
        newest = np.where(same, np.arange(1, size + 1), 0).max(2)
        seconds = np.where(same, np.exp(dwell.astype(np.float64))[:, None, :], 0).sum(2)
        length = (page > 0).sum(1)
        lag = size + 1 - newest
        logarithms = [np.log(np.maximum(values, 1)) for values in (visits, lag, seconds)]
        feature = np.stack([*logarithms, visits / np.maximum(length, 1)[:, None], lag == 1], axis=2)
        present = found > 0
        distinct = present & (newest == np.arange(1, size + 1))
        return cls(page.astype(np.int64), found, feature * present[:, :, None], distinct, length)

    def __len__(self) -> int:
        return len(self.page)

    def __getitem__(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Seen":
        return Seen(self.page[rows], self.item[rows], self.feature[rows], self.distinct[rows], self.length[rows])

    def at(self, label: Ints) -> NDArray[np.bool_]:
        """Return where the label of each row is, once, (R, S); nowhere in a row that has not seen it."""
        where: NDArray[np.bool_] = self.distinct & (self.item == label[:, None])
        return where


def probability_of_seen(seen: Seen, coefficient: Floats) -> Floats:
    """Return the probability of each distinct item of a row to be the label, (R, S), 0 elsewhere."""
    score = np.where(seen.distinct, seen.feature @ coefficient, -np.inf)
    top = score.max(axis=1, keepdims=True, initial=-1e300)
    worth = np.exp(score - top)
    found: Floats = worth / np.maximum(worth.sum(axis=1, keepdims=True), 1e-300)
    return found


def fit_coefficients(seen: Seen, label: Ints) -> Floats:
    """Return the coefficients of greatest likelihood, (5,), by the rows whose label was seen; by damped Newton steps.

    Source: McFadden, Conditional logit analysis of qualitative choice behavior, 1974.
    """
    coefficient = np.zeros(len(FEATURES))
    where = seen.at(label)
    rows = np.flatnonzero(where.any(axis=1))
    seen, where = seen[rows], where[rows]
    ridge = RIDGE * len(seen) + 1e-6
    chosen = (where[:, :, None] * seen.feature).sum(axis=(0, 1))

    def worth(tried: Floats) -> float:
        likely = probability_of_seen(seen, tried)[where]
        return float(np.log(np.maximum(likely, 1e-300)).sum() - ridge / 2 * (tried @ tried))

    best = worth(coefficient)
    for _ in range(NEWTON):
        probability = probability_of_seen(seen, coefficient)
        mean = np.einsum("rs,rsf->rf", probability, seen.feature)
        spread = np.einsum("rs,rsf,rsg->fg", probability, seen.feature, seen.feature) - mean.T @ mean
        slope = chosen - mean.sum(axis=0) - ridge * coefficient
        step = np.linalg.solve(spread + ridge * np.eye(len(FEATURES)), slope)
        # Far from the greatest likelihood a whole step may pass it, and where all is certain there is no way back.
        for _ in range(HALVINGS):
            if (found := worth(coefficient + step)) >= best:
                break
            step /= 2
        if np.abs(step).max() < 1e-9 or found < best:
            break
        coefficient, best = coefficient + step, found
    return coefficient
