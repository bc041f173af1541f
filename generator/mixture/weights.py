"""How much each part of the mixture weighs: the greatest likelihood of held-out labels, by a rising bound of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUCKETS", "Parts", "Weights", "bucket_of", "fit_weights"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Pages seen, at least: rows of like length share their weights.
BUCKETS = (0, 1, 2, 3, 5, 9, 17)
PRIOR = 20.0  # rows like those of all lengths that count in each bucket
ROUNDS = 200
CLOSE = 1e-7  # of the mean log likelihood: less gained in a round ends it
REPEAT = (1e-4, 1e4)


def bucket_of(length: NDArray[np.integer]) -> Ints:
    """Return the bucket of each length, int64."""
    return np.searchsorted(BUCKETS, length, side="right") - 1


@dataclass(frozen=True)
class Parts:
    """What C parts of a mixture give to the labels of R held-out rows; the last part is that of the items seen.

    Attributes
    ----------
    label
        float64 (R, C): what each part gives to the label.
    mass
        float64 (R, C): what it gives to all items, at most 1.
    seen
        float64 (R, C): what it gives to the items seen; 0 for the last part, which `Weights.repeat` leaves alone.
    was_seen
        bool (R,): whether the label was seen.
    bucket
        int64 (R,).
    """

    label: Floats
    mass: Floats
    seen: Floats
    was_seen: NDArray[np.bool_]
    bucket: Ints


@dataclass(frozen=True)
class Weights:
    """The weights of greatest likelihood.

    Attributes
    ----------
    weight
        float64 (buckets, C), each row with sum 1.
    repeat
        What the probability of an item already seen is multiplied by, in all parts but the last.
    likelihood
        Mean log likelihood of the rows.
    """

    weight: Floats
    repeat: float
    likelihood: float


def fit_weights(parts: Parts) -> Weights:
    """Return the weights that give the labels the greatest likelihood.

    p(label) = Σ_c w_c·label_c·repeat^[seen] / Σ_c w_c·(mass_c - (1 - repeat)·seen_c), with w by bucket. Each round
    maximises a bound that touches the likelihood: the logarithm of the first sum from below, as EM does, that of the
    second by its tangent. Where every mass is 1 and repeat is 1, it is EM of a mixture of known distributions.

    Source: Hunter, Lange: A tutorial on MM algorithms, 2004.
    """
    rows, count = parts.label.shape
    weight, repeat, before = np.full((len(BUCKETS), count), 1 / count), 1.0, -np.inf
    tilted = np.arange(count) < count - 1
    for _ in range(ROUNDS):
        factor = np.where(tilted & parts.was_seen[:, None], repeat, 1.0)
        given = weight[parts.bucket] * parts.label * factor
        mass = parts.mass - (1 - repeat) * parts.seen
        total = (weight[parts.bucket] * mass).sum(axis=1)
        label = given.sum(axis=1)
        good = (label > 0) & (total > 0)
        likelihood = float(np.log(label[good] / total[good]).sum() / max(rows, 1))
        if likelihood - before < CLOSE and np.isfinite(before):
            break
        before = likelihood
        blame = np.where(good[:, None], given / np.maximum(label, 1e-300)[:, None], 0)
        worth = np.where(good, 1 / np.maximum(total, 1e-300), 0)[:, None]
        held = worth * mass
        repeated = (blame * tilted).sum(axis=1)[parts.was_seen].sum()
        weight = _shared(blame, parts.bucket) / np.maximum(_shared(held, parts.bucket), 1e-12)
        expected = (worth * weight[parts.bucket] * parts.seen).sum()
        repeat = float(np.clip((repeated + 1e-3) / (expected + 1e-3), *REPEAT))
        weight = np.maximum(weight / weight.sum(axis=1, keepdims=True), 1e-9)
    return Weights(weight, repeat, before)


def _shared(values: Floats, bucket: Ints) -> Floats:
    """Return the sums of rows by bucket, (buckets, C), each with PRIOR rows of the mean of all."""
    sums = np.stack([np.bincount(bucket, column, minlength=len(BUCKETS)) for column in values.T], axis=1)
    found: Floats = sums + PRIOR * values.mean(axis=0)
    return found
