"""The HDF5 file of a split: its only reader and its only writer.

At the root lie the blobs for Caffe's HDF5Data layer, in ``rows`` which session each row is of, how many states it has
seen, whether its true label is unknown, and where sessions have slots which of them it is; in ``sessions`` the ragged
sessions themselves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import KEPT_BOUGHT, Sessions, offsets
from generator.data.sessions.slots import Slots
from generator.data.store.parts import check_parts, fill_blobs
from generator.data.store.runs import MergedSessions, blocks
from generator.errors import DataError
from generator.files import check_whole, replacing
from generator.hdf5 import Disk, create, creating, fill
from generator.spec.blobs import BLOBS

__all__ = ["Split", "read_kept", "read_sessions", "write_file"]

INDEX = ("rows/session", "rows/position", "rows/unknown")
SLOT = "rows/slot"  # where the sessions have slots
VIEWS = ("page", "dwell")  # of the group sessions: ragged, divided by offset
FIXED = ("start", "user")  # one a session; label too, where it is an item


class Split:
    """One HDF5 file of `drn sessions`, opened read-only; close it or use it in ``with``.

    Raises
    ------
    DataError
        The file is absent, cut short, or not one of `drn sessions`; the text names it and the dataset at fault.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_whole(path.parent)
        with _damage(path):
            self._file = h5py.File(path, "r")
        try:
            with _damage(path):
                self._datasets = self._checked()
        except BaseException:
            self._file.close()
            raise

    def _checked(self) -> dict[str, h5py.Dataset]:
        found = {name: self._file[name] for name in BLOBS if name in self._file}
        for name in ("label", *INDEX):
            if name not in self._file:
                raise DataError(f"{self.path} has no dataset {name}: is it a file of drn sessions?")
            found[name] = self._file[name]
        if SLOT in self._file:
            found[SLOT] = self._file[SLOT]
        rows = found["label"].shape[0] if isinstance(found["label"], h5py.Dataset) else 0
        for name, dataset in found.items():
            if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
                raise DataError(f"{self.path}: {name} is not a dataset of numbers")
            check_parts(dataset, self.path)
            if dataset.shape[:1] != (rows,):
                raise DataError(f"{self.path}: {name} is of shape {dataset.shape} but label has {rows} rows")
        return found

    @property
    def rows(self) -> int:
        """Number of rows, R."""
        return int(self._datasets["label"].shape[0])

    @property
    def blobs(self) -> tuple[str, ...]:
        """Names of the blobs the file holds, ``label`` last."""
        return tuple(name for name in BLOBS if name in self._datasets)

    @property
    def has_sessions(self) -> bool:
        """Whether the file holds the sessions of its rows, as `drn sessions` writes them."""
        return "sessions" in self._file

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of dataset ``name``, rows first; DataError if there is none."""
        return tuple(self._dataset(name).shape)

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._datasets:
            raise DataError(f"{self.path} has no dataset {name}: it holds {', '.join(self._datasets)}")
        return self._datasets[name]

    def _get(self, name: str, key: Any) -> NDArray[Any]:
        return _read(self._dataset(name), key, self.path)

    def __len__(self) -> int:
        """Return the number of sessions, S."""
        with _damage(self.path):
            return len(self._stored)

    def sessions(self, start: int = 0, stop: int | None = None) -> Sessions:
        """Return the sessions ``start`` to ``stop - 1``, all of them by default; DataError if they do not hold."""
        with _damage(self.path):
            return self._stored.read(start, stop)

    @cached_property
    def _stored(self) -> "_StoredSessions":
        return _StoredSessions(self._file, self.path)

    @property
    def slots(self) -> Slots | None:
        """Which ids are pages that the vocabulary lacks; None: none are."""
        with _damage(self.path):
            return self._stored.slots

    def labels(self, chunk: int) -> Iterator[NDArray[Any]]:
        """Yield labels, ``chunk`` at a time: one a session where it is an item bought, else those of the rows."""
        with _damage(self.path):
            dataset = self._stored.datasets.get("label", self._datasets["label"])
            rows = len(dataset)
        for start in range(0, rows, chunk):
            yield _read(dataset, slice(start, start + chunk), self.path)

    def index(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return ``session``, ``position``, ``unknown`` or ``slot`` of the rows ``start`` to ``stop - 1``."""
        return self._get(f"rows/{name}", slice(start, stop))

    def read(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return every blob's rows ``start`` to ``stop - 1``."""
        return {name: self._get(name, slice(start, stop)) for name in self.blobs}

    def gather(self, indices: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        """Return every blob's rows at ``indices``, in that order; repeats are allowed."""
        unique, inverse = np.unique(indices, return_inverse=True)
        return {name: self._get(name, unique)[inverse] for name in self.blobs}

    def load(self, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Return whole datasets by name: the blobs, or ``names``, which may be those of ``rows`` too (rows/session)."""
        return {name: self._get(name, ()) for name in (self.blobs if names is None else names)}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Split":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _damage(path: Path, part: str = "") -> Iterator[None]:
    """Turn what h5py raises over a damaged file, which is an error of any of these kinds, into a DataError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path}: there is no such file; drn sessions writes it") from error
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise DataError(f"cannot read {part}{path}: {error}") from error
    except MemoryError as error:
        raise DataError(f"cannot read {part}{path}: it is damaged, or larger than the memory") from error


def _read(dataset: h5py.Dataset, key: Any, path: Path) -> NDArray[Any]:
    with _damage(path, f"{(dataset.name or '?').lstrip('/')} of "):
        return np.asarray(dataset[key])


def read_sessions(path: Path) -> Sessions:
    """Read the ragged sessions of a split file; DataError names the file and what is missing or out of step."""
    check_whole(path.parent)
    with _damage(path), h5py.File(path, "r") as file:
        return _StoredSessions(file, path).read(0, None)


def read_kept(path: Path) -> int:
    """Return how many purchases before each session a split file holds at most."""
    with _damage(path), h5py.File(path, "r") as file:
        return _StoredSessions(file, path).kept


class _StoredSessions:
    """The group ``sessions`` of a file, whose datasets are looked up once: h5py takes as long as to read a few of each.

    Attributes
    ----------
    datasets
        By name.
    training, slots
        As in ``Sessions``.
    kept
        How many purchases before each session there are at most.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        if "sessions" not in file:
            raise DataError(f"{path} has no group sessions: is it a file of drn sessions?")
        group = file["sessions"]
        self.path, self.datasets = path, dict(group)
        for name in ("offset", *VIEWS, "bought_offset", "bought", *FIXED):
            if name not in self.datasets:
                raise DataError(f"{path} has no dataset sessions/{name}: is it a file of drn sessions?")
        self.training = bool(group.attrs.get("training", False))
        self.slots = Slots(*map(int, group.attrs["slots"])) if "slots" in group.attrs else None
        self.kept = int(group.attrs.get("bought_kept", KEPT_BOUGHT))
        self._sizes = {name: len(dataset) for name, dataset in self.datasets.items()}

    def __len__(self) -> int:
        return self._sizes["offset"] - 1

    def read(self, start: int, stop: int | None) -> Sessions:
        """Return the sessions ``start`` to ``stop - 1``; DataError if they do not hold."""
        stop = len(self) if stop is None else stop
        found: dict[str, Any] = {}
        for offset, names in (("offset", VIEWS), ("bought_offset", ("bought",))):
            ends = self._offsets(offset, names, start, stop)
            for name in names:
                found[name] = _read(self.datasets[name], slice(ends[0], ends[-1]), self.path)
            found[offset] = ends - ends[0]
        for name in (*FIXED, *(["label"] if "label" in self.datasets else [])):
            found[name] = _read(self.datasets[name], slice(start, stop), self.path)
        return Sessions(**found, training=self.training, slots=self.slots)

    def _offsets(self, name: str, values: Sequence[str], start: int, stop: int) -> NDArray[np.int64]:
        """Return where the sessions ``start`` to ``stop - 1`` begin and end among ``values``, checked."""
        ends: NDArray[np.int64] = _read(self.datasets[name], slice(start, stop + 1), self.path).astype(np.int64)
        last = stop == self._sizes[name] - 1
        for value in values:
            held = self._sizes[value]
            if (
                len(ends) != stop - start + 1
                or (np.diff(ends) < 0).any()
                or not (ends[0] == 0 if start == 0 else ends[0] >= 0)
                or not (ends[-1] == held if last else ends[-1] <= held)
            ):
                raise DataError(
                    f"{self.path}: sessions/{name} does not divide the {held} values of sessions/{value} into the "
                    f"sessions {start}..{stop - 1}; write the file again by drn sessions"
                )
        return ends


def write_file(
    path: Path,
    sessions: Sessions | MergedSessions,
    kept: int,
    count: int,
    index: Iterable[Iterable[Mapping[str, NDArray[Any]]]],
    blobs: Iterable[Mapping[str, NDArray[Any]]],
) -> None:
    """Write a split file, whole or not at all, in chunks, so that memory does not grow with the rows.

    Parameters
    ----------
    sessions
        The group ``sessions``.
    kept
        How many purchases before each session they hold at most.
    count
        The number of rows, R.
    index
        The datasets of the group ``rows``, one after another, each in chunks of its rows.
    blobs
        The blobs by name, in chunks of their rows.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    try:
        with replacing(path) as beside, creating(beside) as (file, disk):
            _write_sessions(file, sessions, disk)
            if kept > KEPT_BOUGHT:
                file["sessions"].attrs["bought_kept"] = kept
            group = file.create_group("rows")
            for chunks in index:
                fill(group, count, chunks, disk)
            fill_blobs(file, path, count, iter(blobs), disk)
    except OSError as error:
        raise DataError(f"cannot write {path.name}: {error.strerror or error}") from error


def _write_sessions(file: h5py.File, sessions: Sessions | MergedSessions, disk: Disk) -> None:
    group = file.create_group("sessions")
    group.attrs["training"] = sessions.training
    if sessions.slots:
        group.attrs["slots"] = [sessions.slots.after, sessions.slots.count]
    _write_ragged(group, sessions, "offset", sessions.lengths, VIEWS, disk)
    _write_ragged(group, sessions, "bought_offset", sessions.bought_lengths, ("bought",), disk)
    for name in (*FIXED, "label"):
        values = getattr(sessions, name)
        if values is not None:
            create(group, name, len(values), values)[...] = values


def _write_ragged(
    group: h5py.Group,
    sessions: Sessions | MergedSessions,
    offset: str,
    lengths: NDArray[Any],
    names: Sequence[str],
    disk: Disk,
) -> None:
    ends = offsets(lengths)
    create(group, offset, len(ends), ends)[...] = ends
    for name in names:
        chunks = ({name: sessions.column(name, begin, end)} for begin, end in blocks(lengths))
        fill(group, int(ends[-1]), chunks, disk)
