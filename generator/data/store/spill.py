"""Arrays spilled to files, where memory must not grow with the log."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Spill", "SpilledColumn"]


@dataclass(frozen=True)
class SpilledColumn:
    """A flat array in a file, of which a slice is read at a time.

    Not a memory map: the pages of a map count as the process's memory until the system wants them back.
    """

    path: Path
    dtype: np.dtype[Any]
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, values: slice) -> NDArray[Any]:
        begin, end, _ = values.indices(self.size)
        size = self.dtype.itemsize
        found = np.empty(max(end - begin, 0), self.dtype)
        if len(found):
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(begin * size)
                read = stream.readinto(memoryview(found).cast("B"))  # type: ignore[arg-type]  # a buffer it is
            if read != found.nbytes:
                raise OSError(f"{self.path} is cut short: {read} of {found.nbytes} bytes at {begin * size}")
        return found


Column = NDArray[Any] | SpilledColumn


class Spill:
    """Where arrays are kept until they are dropped.

    Parameters
    ----------
    folder
        The folder of their files; None: they stay in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._names = count()

    @property
    def on_disk(self) -> bool:
        """Whether the arrays are in files."""
        return self._folder is not None

    def keep(self, values: NDArray[Any]) -> Column:
        """Keep ``values``; a slice of what comes back is the array again."""
        if self._folder is None:
            return values
        path = self._folder / f"{next(self._names)}.column"
        values.tofile(path)
        return SpilledColumn(path, values.dtype, len(values))

    def drop(self, *columns: Column | None) -> None:
        """Remove the files of ``columns``."""
        for column in columns:
            if isinstance(column, SpilledColumn):
                column.path.unlink()
