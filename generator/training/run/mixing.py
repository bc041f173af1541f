"""The mixture of a run: counted in its sessions of training, and fitted to sessions that the net has not seen."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import Sessions
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.store.split import read_sessions
from generator.data.windows import Blobs, Rows, blobs, rows_of
from generator.errors import DataError, TrainingError
from generator.mixture.mixture import Fitted, Mixture, fit
from generator.mixture.seen import Seen
from generator.mixture.tables import Counting, Tables, count
from generator.spec.schema import Spec
from generator.training.engine.graph import Graph
from generator.training.engine.solver import Array
from generator.training.run.generated import Generated
from generator.training.run.rows import newest_sessions, rows_at_a_time

__all__ = ["FILE", "fitted_of", "mixture_of"]

FILE = "mixture.h5"
ROWS = 10_000  # held-out rows to fit to, at most
TRAINED_ROWS = 5_000  # rows of training that the coefficients are fitted to as well, at most


def fitted_of(given: str | Path | Fitted, spec: Spec) -> Fitted:
    """Return what another run has fitted, for ``spec``.

    Parameters
    ----------
    given
        The run, or its mixture.h5, or what that holds.
    spec
        Has a mixture.

    Raises
    ------
    ModelError
        There is no such file, or it does not hold.
    TrainingError
        The spec has no mixture, or one of another number of newest pages.
    """
    if spec.head.mix is None:
        raise TrainingError(f"a mixture was given, but {spec.name} has none; set head.mix, or leave it out")
    if isinstance(given, Fitted):
        found, source = given, "the mixture given"
    else:
        path = Path(given)
        found, source = Fitted.read(path / FILE if path.is_dir() else path), str(given)
    if found.newest != spec.head.mix.newest:
        raise TrainingError(
            f"{source}: was fitted with the followers of {found.newest} newest pages, but the spec has "
            f"head.mix.newest: {spec.head.mix.newest}; give the same number"
        )
    return found


def mixture_of(
    made: Generated, weights: Mapping[str, Array], data: Path, fitted: Fitted | None, threads: int
) -> Mixture:
    """Return the mixture of a trained net: counted in train.h5, and fitted unless ``fitted`` is given.

    It is fitted to valid.h5, or without one to the newest sessions of train.h5, which the net was not trained on;
    they are counted all the same once it is fitted.

    Raises
    ------
    DataError
        The data do not hold, or no held-out row has a label of the vocabulary.
    """
    spec = made.spec
    sessions, item = read_sessions(data / "train.h5"), _items(data, spec)
    counted = None
    if fitted is None:
        fitted, counted = _fit(made, weights, data, sessions, item, threads)
    return Mixture(counted or _counted(sessions, item, spec), fitted)


def _fit(
    made: Generated,
    weights: Mapping[str, Array],
    data: Path,
    sessions: Sessions,
    item: NDArray[np.int64],
    threads: int,
) -> tuple[Fitted, Tables | None]:
    """Return the mixture fitted to held-out rows, and the tables if they are of all ``sessions`` of training.

    What is counted here is gone before all sessions are counted: of a large log both are much of the memory.
    """
    spec = made.spec
    assert spec.head.mix is not None  # noqa: S101  # for mypy: the caller asks for specs with one alone
    trained = sessions
    if (data / "valid.h5").exists():
        held_out = read_sessions(data / "valid.h5")
    else:
        newest = newest_sessions(sessions.start)
        held_out, trained = sessions.take(np.flatnonzero(newest)), sessions.take(np.flatnonzero(~newest), training=True)
    tables = _counted(trained, item, spec)
    rows = _rows(held_out, spec, ROWS)
    if not len(rows):
        raise DataError(
            f"{data}: no held-out row has a label of the vocabulary, so head.mix cannot be fitted: hold out more"
        )
    found = fit(
        tables,
        spec.head.mix.newest,
        (_seen(held_out, rows, item, spec), rows.label.astype(np.int64)),
        _softmax(made, weights, held_out, rows, threads),
        _labelled(trained, item, spec),
    )
    return found, tables if trained is sessions else None


def _counted(sessions: Sessions, item: NDArray[np.int64], spec: Spec) -> Tables:
    mix = spec.head.mix
    assert mix is not None  # noqa: S101  # for mypy: the caller asks for specs with one alone
    return count(
        sessions, item, spec.items + spec.slots, Counting(mix.followers, mix.aging, mix.trend, mix.decay, mix.viewed)
    )


def _items(data: Path, spec: Spec) -> NDArray[np.int64]:
    """Return the item of each page of the spec, int64 (M+1,), 0 for none: the one of the same original id.

    Slots follow, each with an item of its own.
    """
    pages, items = (Vocabulary.read(data / name) for name in ("pages.txt", "items.txt"))
    found = np.zeros(spec.pages + 1 + spec.slots, np.int64)
    found[1 : len(pages) + 1] = items.ids(pages.labels)
    found[spec.pages + 1 :] = spec.items + 1 + np.arange(spec.slots)
    return found


def _rows(sessions: Sessions, spec: Spec, most: int) -> Rows:
    """Return the rows whose labels are known, ``most`` of them, in order; drawn by the spec's random_seed."""
    rows = rows_of(replace(sessions, training=False), spec.window, "last")
    known = np.flatnonzero(rows.label > 0)
    if len(known) > most:
        known = np.sort(np.random.default_rng([spec.solver.random_seed, 3]).choice(known, most, replace=False))
    return rows[known]


def _blobs(sessions: Sessions, rows: Rows, spec: Spec) -> Iterator[Blobs]:
    at_last = spec.model_copy(update={"loss": "last"})
    step = rows_at_a_time(spec)
    for start in range(0, len(rows), step):
        yield from blobs(replace(sessions, training=False), rows[start : start + step], at_last)


def _seen(sessions: Sessions, rows: Rows, item: NDArray[np.int64], spec: Spec) -> Seen:
    found = [(each["seen_page"], each["seen_dwell"]) for each in _blobs(sessions, rows, spec)]
    page, dwell = (np.concatenate(each) for each in zip(*found, strict=True))
    return Seen.of(page, dwell, item)


def _labelled(sessions: Sessions, item: NDArray[np.int64], spec: Spec) -> tuple[Seen, NDArray[np.int64]]:
    rows = _rows(sessions, spec, TRAINED_ROWS)
    return _seen(sessions, rows, item, spec), rows.label.astype(np.int64)


def _softmax(
    made: Generated, weights: Mapping[str, Array], sessions: Sessions, rows: Rows, threads: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the probabilities of the net alone, (r, N+1) at a time; what the next ones may overwrite."""
    graph = Graph(made.unmixed, weights, threads)
    for each in _blobs(sessions, rows, made.spec):
        wide = {
            name: values if values.dtype == np.float32 else values.astype(np.int64) for name, values in each.items()
        }
        probability = graph.run(wide)["probability"]
        yield np.pad(probability, ((0, 0), (0, made.spec.slots))) if made.spec.slots else probability
