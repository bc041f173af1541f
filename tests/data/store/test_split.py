"""Reading split files back, and refusing what is none."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from generator.data.store.split import Split
from generator.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["page"] = np.arange(20, dtype=np.int32).reshape(10, 2)
        file["label"] = np.arange(10, dtype=np.int32)
        for name in ("session", "position", "unknown"):
            file[f"rows/{name}"] = np.arange(10, dtype=np.int32)
    return tmp_path / "train.h5"


def test_rows_are_read_by_range_by_index_and_whole(path: Path):
    with Split(path) as split:
        assert split.rows == 10
        assert split.blobs == ("page", "label")
        assert split.shape("page") == (10, 2)
        assert split.read(3, 5)["page"].tolist() == [[6, 7], [8, 9]]
        assert split.gather(np.array([7, 2, 7]))["label"].tolist() == [7, 2, 7]
        assert split.load()["label"].tolist() == list(range(10))
        assert split.load(["rows/session"])["rows/session"].tolist() == list(range(10))
        with pytest.raises(DataError, match="no dataset bought"):
            split.shape("bought")


def test_a_file_cut_short_is_named(path: Path):
    whole = path.read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"train\.h5"):
            Split(path)


def test_an_absent_file_and_a_text_file_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere\.h5: there is no such file; drn sessions writes it$"):
        Split(tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("page,label\n")
    with pytest.raises(DataError, match=r"text\.h5"):
        Split(tmp_path / "text.h5")
    with pytest.raises(DataError, match=r"text\.h5/train\.h5: there is no such file"):
        Split(tmp_path / "text.h5/train.h5")


def test_a_dataset_that_does_not_hold_is_named(path: Path):
    with h5py.File(path, "a") as file:
        del file["page"]
        file["page"] = np.zeros((9, 2), np.int32)
    with pytest.raises(DataError, match=r"page is of shape \(9, 2\) but label has 10 rows"):
        Split(path)
    with h5py.File(path, "a") as file:
        del file["page"]
        file["page"] = np.array([b"a"] * 10)
    with pytest.raises(DataError, match="page is not a dataset of numbers"):
        Split(path)
    with h5py.File(path, "a") as file:
        del file["rows/session"]
    with pytest.raises(DataError, match="no dataset rows/session"):
        Split(path)
