"""A solver's state to a file and back. Real Caffe's side: tests/oracles/test_caffe_files.py."""

from pathlib import Path

import numpy as np
import pytest

from generator.caffe.solverstate import read_solverstate, write_solverstate
from generator.errors import ModelError

HISTORY = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([0.5, -1e-20], np.float32)]
SHAPES = [(2, 3), (2,)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_solverstate(tmp_path / "s.solverstate", 7, "w.caffemodel", HISTORY, current_step=2)
    return tmp_path / "s.solverstate"


def refusal(path: Path, shapes: list[tuple[int, ...]] = SHAPES) -> str:
    with pytest.raises(ModelError) as caught:
        read_solverstate(path, shapes)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read_bit_for_bit(path: Path) -> None:
    state = read_solverstate(path, SHAPES)
    assert (state.iteration, state.learned_net, state.current_step) == (7, "w.caffemodel", 2)
    for got, values in zip(state.history, HISTORY, strict=True):
        np.testing.assert_array_equal(got, values)


def test_no_learned_net_and_iteration_0(path: Path) -> None:
    write_solverstate(path, 0, "", HISTORY)
    state = read_solverstate(path, SHAPES)
    assert (state.iteration, state.learned_net, state.current_step) == (0, "", 0)


def test_every_file_cut_short_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refusal(path)


def test_files_of_others_are_refused(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(50))
    refusal(path)
    path.write_bytes(b"\x12\x03abc")
    assert "lacks its iteration" in refusal(path)


def test_histories_of_another_net_are_refused(path: Path) -> None:
    assert "holds 2 history blobs, not 4. Is it of another net or solver type?" in refusal(path, SHAPES * 2)
    assert "history blob 1 has shape 2, not 3" in refusal(path, [(2, 3), (3,)])
