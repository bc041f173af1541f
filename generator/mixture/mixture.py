"""A fitted mixture: its tables and numbers, as the inputs of the graph, as those of Caffe's net, and as a file."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from generator.errors import ModelError
from generator.files import replacing
from generator.hdf5 import creating
from generator.mixture.caffe import caffe_inputs, newest_pages
from generator.mixture.seen import FEATURES, Seen, fit_coefficients, probability_of_seen
from generator.mixture.tables import Tables
from generator.mixture.weights import BUCKETS, Parts, Weights, bucket_of, fit_weights

__all__ = ["Fitted", "Mixture", "fit"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Powers of the trend that are tried: an item twice as popular lately as ever counts 2 ** power times.
POWERS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

LEAST = 1e-12  # weight of the net, beside which the others are given


@dataclass(frozen=True)
class Fitted:
    """The numbers of a mixture, which the data of another run may share.

    Attributes
    ----------
    coefficient
        float64 (5,): of `seen.FEATURES`.
    repeat
        What the probability of an item already seen is multiplied by, in all parts but that of the items seen.
    power
        Of the trend.
    weight
        float64 (buckets, 3 + m): of the net, of the followers of the m newest pages, newest first, of what is popular,
        and of the items seen, by `weights.BUCKETS`.
    """

    coefficient: Floats
    repeat: float
    power: float
    weight: Floats

    @property
    def newest(self) -> int:
        """Pages whose followers count, m."""
        return int(self.weight.shape[1]) - 3

    @classmethod
    def read(cls, path: Path) -> "Fitted":
        """Read the numbers of what `Mixture.write` wrote.

        Raises
        ------
        ModelError
            The file is absent, or is none of a mixture.
        """
        found = {name: values.astype(np.float64) for name, values in _read(path, "fitted", cls).items()}
        weight = found["weight"]
        shapes = {"coefficient": (len(FEATURES),), "repeat": (), "power": ()}
        right = all(found[name].shape == shape for name, shape in shapes.items())
        if not right or weight.ndim != 2 or len(weight) != len(BUCKETS) or weight.shape[1] < 4:
            raise ModelError(f"{path}: its numbers are of other shapes than a mixture's; fit it again by drn train")
        if not all(np.isfinite(values).all() for values in found.values()) or weight.min() < 0:
            raise ModelError(f"{path}: holds numbers that are no weights; fit it again by drn train")
        return cls(found["coefficient"], float(found["repeat"]), float(found["power"]), weight)


@dataclass(frozen=True)
class Mixture:
    """A mixture: what was counted and what was fitted."""

    tables: Tables
    fitted: Fitted

    def write(self, path: Path) -> None:
        """Write tables and numbers to an HDF5 file, whole or not at all."""
        with replacing(path) as beside, creating(beside, track_order=True) as (file, _):
            for group, part in (("fitted", self.fitted), ("tables", self.tables)):
                for field in fields(part):
                    file[f"{group}/{field.name}"] = getattr(part, field.name)
            file["fitted/pages"] = np.array(BUCKETS)

    @classmethod
    def read(cls, path: Path) -> "Mixture":
        """Read what `write` wrote; ModelError as `Fitted.read`."""
        return cls(Tables(**_read(path, "tables", Tables)), Fitted.read(path))

    def parameters(self, pages: int, scores: int | None = None) -> dict[str, NDArray[Any]]:
        """Return the tables and weights by the names of the inference graph, for S = ``pages`` pages seen.

        The weights there are relative to the net's, by the number of pages, (S+1, 2+m). ``scores`` says how many the
        net's tables give, where that is not as many as the tables of the mixture: these have the slots after the items.
        """
        weight = self.fitted.weight
        relative = (weight[:, 1:] / np.maximum(weight[:, :1], LEAST))[bucket_of(np.arange(pages + 1))]
        tables = self.tables
        return {
            "mix_trend": (self.fitted.power * tables.trend[:scores]).astype(np.float32),
            "mix_follower": tables.follower,
            "mix_share": tables.share,
            "mix_item": tables.item,
            "mix_coefficient": self.fitted.coefficient[None].astype(np.float32),
            "mix_repeat": np.array([self.fitted.repeat], np.float32),
            "mix_weight": relative.astype(np.float32),
        }

    def caffe_inputs(
        self, page: NDArray[np.integer], dwell: NDArray[np.float32], slots: int = 0
    ) -> dict[str, NDArray[np.float32]]:
        """Return what deploy.prototxt reads beside the net's blobs, float32 (B, N+1) each.

        Parameters
        ----------
        page, dwell
            The blobs ``seen_page`` and ``seen_dwell``, (B, S).
        slots
            Of the net.

        Returns
        -------
        dict
            ``mix_trend``, to add to the logits; ``mix_factor``, to multiply the softmax by; ``mix_rest``, to add then.
            With slots, ``mix_slot`` too, (B, slots): what these have.
        """
        items = len(self.tables.trend) - 1 - slots
        trend = (self.fitted.power * self.tables.trend[: items + 1]).astype(np.float32)
        given = caffe_inputs(self.parameters(page.shape[1]), page, dwell, items, slots)
        return {"mix_trend": np.broadcast_to(trend, given["mix_rest"].shape), **given}


def _read(path: Path, group: str, kind: type[Any]) -> dict[str, NDArray[Any]]:
    try:
        with h5py.File(path, "r") as file:
            return {field.name: np.asarray(file[f"{group}/{field.name}"][()]) for field in fields(kind)}
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{path}: holds no mixture ({error}); drn train of a spec with head.mix writes RUN/mixture.h5"
        ) from error


def fit(
    tables: Tables,
    newest: int,
    held_out: tuple[Seen, Ints],
    probabilities: Iterable[NDArray[np.float32]],
    trained: tuple[Seen, Ints],
) -> Fitted:
    """Fit a mixture to held-out rows.

    Parameters
    ----------
    tables
        Counted in the sessions of training, none of them held out.
    newest
        Pages whose followers count, m.
    held_out
        What R rows have seen, and their labels, int64 (R,), 1..N.
    probabilities
        The softmax of the net for these rows, (r, N+1) at a time, in order.
    trained
        The same as ``held_out`` of rows of training: the coefficients, which no table enters, are fitted to both.
    """
    seen, label = held_out
    both = _joined(seen, trained[0])
    coefficient = fit_coefficients(both, np.concatenate([label, trained[1]]))
    likely = probability_of_seen(seen, coefficient)
    others = _others(tables, newest, seen, label)
    last = (likely * seen.at(label)).sum(axis=1), seen.distinct.any(axis=1).astype(np.float64), np.zeros(len(label))
    was_seen, bucket = np.asarray(seen.at(label).any(axis=1)), bucket_of(seen.length)
    best: tuple[float, Weights] | None = None
    for power, net in zip(POWERS, _net(tables, seen, label, probabilities), strict=True):
        columns = zip(net, *others, last, strict=True)
        given, mass, of_seen = (np.stack(values, axis=1) for values in columns)
        found = fit_weights(Parts(given, mass, of_seen, was_seen, bucket))
        if best is None or found.likelihood > best[1].likelihood:
            best = power, found
    assert best is not None  # noqa: S101  # for mypy: there are powers
    return Fitted(coefficient, best[1].repeat, best[0], best[1].weight)


def _joined(one: Seen, other: Seen) -> Seen:
    return Seen(*(np.concatenate([getattr(each, field.name) for each in (one, other)]) for field in fields(Seen)))


def _net(
    tables: Tables, seen: Seen, label: Ints, probabilities: Iterable[NDArray[np.float32]]
) -> list[tuple[Floats, Floats, Floats]]:
    """Return for each power of the trend what the net gives to the labels, to all items, and to those seen, (R,)."""
    factor = np.exp(np.outer(tables.trend, POWERS)).astype(np.float32)
    parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
    start = 0
    for chunk in probabilities:
        rows = np.arange(len(chunk))
        place = slice(start, start + len(chunk))
        item, distinct = seen.item[place], seen.distinct[place]
        total = chunk @ factor
        of_label = chunk[rows, label[place], None] * factor[label[place]] / total
        of_seen = (chunk[rows[:, None], item] * distinct)[:, :, None] * factor[item]
        parts.append((of_label, of_seen.sum(axis=1) / total))
        start += len(chunk)
    given, held = (np.concatenate(each).astype(np.float64) for each in zip(*parts, strict=True))
    return [(given[:, k], np.ones(len(given)), held[:, k]) for k in range(len(POWERS))]


def _others(tables: Tables, newest: int, seen: Seen, label: Ints) -> list[tuple[Floats, Floats, Floats]]:
    """Return the same of the followers of each of the newest pages, and of what is popular."""
    found = []
    for page in newest_pages(seen, newest):
        follower, share = tables.follower[page], tables.share[page].astype(np.float64)
        of_label = np.where(follower == label[:, None], share, 0).sum(axis=1)
        of_seen = np.zeros(len(label))
        for column in range(seen.item.shape[1]):
            same = follower == np.where(seen.distinct[:, column], seen.item[:, column], -1)[:, None]
            of_seen += np.where(same, share, 0).sum(axis=1)
        found.append((of_label, share.sum(axis=1), of_seen))
    return found
