"""Split files read back: the blobs of a data folder, by rows."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError
from generator.spec.blobs import BLOBS

__all__ = ["Split"]

INDEX = ("rows/session", "rows/position", "rows/unknown")


class Split:
    """One HDF5 file of `drn sessions`, opened read-only; close it or use it in ``with``.

    Raises
    ------
    DataError
        The file is absent, cut short, or not one of `drn sessions`; the text names it and the dataset at fault.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise DataError(f"cannot read {path}: {error}") from error
        try:
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
        rows = found["label"].shape[0] if isinstance(found["label"], h5py.Dataset) else 0
        for name, dataset in found.items():
            if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
                raise DataError(f"{self.path}: {name} is not a dataset of numbers")
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

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of dataset ``name``, rows first; DataError if there is none."""
        return tuple(self._dataset(name).shape)

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._datasets:
            raise DataError(f"{self.path} has no dataset {name}: it holds {', '.join(self._datasets)}")
        return self._datasets[name]

    def _get(self, name: str, key: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._dataset(name)[key])
        except (OSError, RuntimeError) as error:
            raise DataError(f"cannot read {name} of {self.path}: {error}") from error

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
