"""HDF5 files on a disk that fills up."""

import errno
import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from generator.data.store.hdf5 import Disk, creating


def test_a_file_is_what_h5py_reads(tmp_path: Path):
    values = np.arange(300000, dtype=np.int32).reshape(-1, 3)
    with creating(tmp_path / "a.h5") as (file, _):
        dataset = file.create_dataset("x", shape=values.shape, dtype=values.dtype, chunks=(1000, 3))
        for start in range(0, len(values), 777):
            dataset[start : start + 777] = values[start : start + 777]
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][:], values)


class Small(io.FileIO):
    """A disk with room for ``room`` bytes."""

    room = 0

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 500, 5000, 100000])
def test_hdf5_closes_a_file_that_found_no_room(tmp_path: Path, room: int):
    with Small(tmp_path / "a.h5", "w+b") as stream:
        stream.room = room
        disk = Disk(stream)
        with h5py.File(disk, "w") as file:
            for name in range(40):
                file.create_dataset(f"{name}", data=np.ones((200, 30)), chunks=(7, 30))
        with pytest.raises(OSError, match="No space left"):
            disk.check()
