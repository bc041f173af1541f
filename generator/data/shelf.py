"""Arrays put by: in memory, or in files where memory must not grow with the log."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Filed", "Shelf"]


@dataclass(frozen=True)
class Filed:
    """A flat array in a file, of which a slice is read at a time.

    Not a memory map: the pages of a map count as the process's memory until the system wants them back.
    """

    path: Path
    dtype: np.dtype[Any]
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> NDArray[Any]:
        begin, end, _ = part.indices(self.size)
        size = self.dtype.itemsize
        found = np.empty(max(end - begin, 0), self.dtype)
        if len(found):
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(begin * size)
                read = stream.readinto(memoryview(found).cast("B"))  # type: ignore[arg-type]  # a buffer it is
            if read != found.nbytes:
                raise OSError(f"{self.path} is cut short: {read} of {found.nbytes} bytes at {begin * size}")
        return found


Column = NDArray[Any] | Filed


class Shelf:
    """Where arrays are put by.

    Parameters
    ----------
    folder
        The folder of their files; None: they stay in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._names = count()

    @property
    def filed(self) -> bool:
        """Whether what is put by is in files."""
        return self._folder is not None

    def put(self, values: NDArray[Any]) -> Column:
        """Put ``values`` by; of what comes back, a slice is the array again."""
        if self._folder is None:
            return values
        path = self._folder / f"{next(self._names)}.column"
        values.tofile(path)
        return Filed(path, values.dtype, len(values))

    def drop(self, *columns: Column | None) -> None:
        """Remove the files of ``columns``."""
        for column in columns:
            if isinstance(column, Filed):
                column.path.unlink()
