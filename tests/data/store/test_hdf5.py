"""HDF5 files on a disk that fills up."""

import errno
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from generator.hdf5 import Disk, creating


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


WRITERS = {
    "mixture": """
from generator.mixture.mixture import Fitted, Mixture
from generator.mixture.tables import Tables
from dataclasses import fields
tables = Tables(**{field.name: np.ones((400, 30), np.float32) for field in fields(Tables)})
Mixture(tables, Fitted(np.ones(5), 1.0, 1.0, np.ones((4, 4)))).write(path)
""",
    "state": """
from generator.caffe.hdf5 import write_state_hdf5
write_state_hdf5(path, 3, "net", [np.ones((300, 100), np.float32)] * 3, 0)
""",
    "weights": """
from generator.caffe.hdf5 import write_weights_hdf5
from generator.codegen.artefacts import generate_text
from generator.caffe.prototxt import parse_net
from generator.spec import parse_spec
spec = parse_spec("name: tiny\\nnet: rnn\\npages: 999\\nitems: 9\\nrnn: {window: 2, widths: [99]}\\n", "tiny.yaml")
net = parse_net(generate_text(spec, ["caffe"])["train_val.prototxt"], "train_val.prototxt")
from generator.caffe.prototxt import learnable
write_weights_hdf5(path, [net], {each.name: np.ones((300, 100), np.float32) for each in learnable(net, "TRAIN")})
""",
}


@pytest.mark.parametrize("room", [0, 3000, 60000])
@pytest.mark.parametrize("writer", WRITERS)
def test_whatever_is_hdf5_finds_no_room(tmp_path: Path, writer: str, room: int):
    """A file that may not grow is as a full disk; a process that crashed would end by a signal."""
    script = f"""
import resource
import numpy as np
from pathlib import Path
path = Path("a.h5")
from generator.errors import in_words
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    {textwrap.indent(WRITERS[writer], "    ").strip()}
except OSError as error:
    print(in_words(error))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"a.h5: {os.strerror(errno.EFBIG)}\n"), done.stderr
    assert not any(tmp_path.iterdir())
