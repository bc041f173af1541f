"""Blobs too large for Caffe lie in parts, and are read as if they were whole."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from data.test_build import log, spec  # noqa: F401 - a fixture

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.data.stages.write import rewindow
from generator.data.store import parts
from generator.data.store.parts import parts_of
from generator.data.store.split import Split
from generator.errors import DataError


@pytest.mark.parametrize("limit", [1, 5, 5 * 7, 5 * 40])
def test_parts_are_read_as_one(tmp_path: Path, log: Path, limit: int, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """The widest blob has five numbers a row."""
    options = Options(division=Division(share=0.2, valid_share=0.1))
    whole, divided = tmp_path / "whole", tmp_path / "divided"
    build([log], whole, spec(), options)
    monkeypatch.setattr(parts, "LIMIT", limit)
    build([log], divided, spec(), options)
    step = max(1, limit // 5)
    for name, rows in (("train", 72), ("valid", 8), ("test", 20)):
        several = parts_of(divided / f"{name}.h5")
        assert len(several) == -(-rows // step)
        assert parts_of(whole / f"{name}.h5") == [whole / f"{name}.h5"]
        monkeypatch.chdir(tmp_path)
        with Split(whole / f"{name}.h5") as one, Split(Path("divided") / f"{name}.h5") as other:
            assert one.blobs == other.blobs
            rows_at = np.random.default_rng(1).integers(0, rows, 30)
            for read in (lambda split: split.load(), lambda split: split.gather(rows_at)):  # noqa: B023 - called at once
                for blob, values in read(one).items():
                    np.testing.assert_array_equal(read(other)[blob], values)
            if len(several) > 1:
                for part in several:
                    with h5py.File(part) as file:
                        assert all(file[blob].size <= limit or len(file[blob]) == 1 for blob in one.blobs)
    narrow = spec(rnn={"window": 2, "widths": [2], "history": 3})
    assert rewindow(divided / "test.h5", tmp_path / "again.h5", narrow) == 20
    # What has no parts any more is whole again.
    monkeypatch.undo()
    build([log], divided, spec(), options)
    assert sorted(path.name for path in divided.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_a_part_that_is_missing_is_named(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setattr(parts, "LIMIT", 50)
    build([log], tmp_path / "out", spec(), Options())
    (tmp_path / "out/train-2.h5").unlink()
    with pytest.raises(DataError, match=r"train\.h5: its part train-2\.h5 is missing"):
        Split(tmp_path / "out/train.h5")
