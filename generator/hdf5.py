"""HDF5 files written so that a full disk is an error, not a crash."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["Disk", "create", "creating", "fill"]


class Disk(io.RawIOBase):
    """A file for h5py that never fails a write: HDF5 cannot close a file whose writes fail, and crashes the process.

    What could not be written is kept in ``lost`` for HDF5 to read back while it closes; ``check`` raises the error.
    """

    def __init__(self, stream: io.FileIO) -> None:
        self._stream = stream
        self._lost: dict[int, bytes] = {}
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if one did."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write ``data`` at the current place, or keep it once the disk has failed."""
        place, left = self._stream.tell(), memoryview(data).cast("B")
        size = len(left)
        try:
            self.check()
            while left:
                left = left[self._stream.write(left) :]
        except OSError as error:
            self._error = self._error or error
            self._lost[place] = bytes(data)
        return size

    def readinto(self, buffer: Any) -> int:
        """Read into ``buffer`` from the current place what was written there; zeros past the end."""
        view = memoryview(buffer).cast("B")
        place, size = self._stream.tell(), len(view)
        kept = self._lost.get(place, b"")[:size] or self._stream.read(size)
        view[:] = kept.ljust(size, b"\0")
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place of the file."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the current place."""
        return self._stream.tell()

    def truncate(self, size: int | None = None) -> int:
        """Give the file its length."""
        try:
            return self._stream.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0


@contextmanager
def creating(path: Path, *, track_order: bool = False) -> Iterator[tuple[h5py.File, Disk]]:
    """Yield a new HDF5 file at ``path`` and its disk; raise OSError if the disk failed before the file was closed."""
    with path.open("w+b", buffering=0) as stream:
        disk = Disk(stream)
        with h5py.File(disk, "w", track_order=track_order) as file:
            yield file, disk
        disk.check()


def create(group: h5py.Group, name: str, rows: int, example: NDArray[Any]) -> h5py.Dataset:
    """Create a dataset of ``rows`` rows like those of ``example``, in chunks of about 256 KiB."""
    width = int(np.prod(example.shape[1:]))
    chunk = min(rows, max(1, 2**16 // max(width, 1)))
    return group.create_dataset(
        name,
        shape=(rows, *example.shape[1:]),
        dtype=example.dtype,
        chunks=(max(chunk, 1), *example.shape[1:]) if rows else None,
    )


def fill(group: h5py.Group, count: int, chunks: Iterable[Mapping[str, NDArray[Any]]], disk: Disk) -> None:
    """Write datasets of ``count`` rows, a chunk at a time; raise OSError once the disk has failed."""
    done = 0
    for chunk in chunks:
        for name, values in chunk.items():
            dataset = group[name] if name in group else create(group, name, count, values)
            dataset[done : done + len(values)] = values
        done += len(values)
        disk.check()
