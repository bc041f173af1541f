"""What a journal is of: the data with every part of a split that is too large for one file."""

import shutil

import pytest

from generator.errors import DataError
from generator.tuning.identity import identity_of


def test_the_parts_of_a_large_split_are_of_the_data(data, make_plan, tmp_path):
    large, plan = tmp_path / "large", make_plan()
    shutil.copytree(data, large)
    assert identity_of(plan, large) == identity_of(plan, data)
    for part in (0, 1):
        (large / f"train-{part}.h5").write_bytes(b"rows of part %d" % part)
    before = identity_of(plan, large)
    assert before["data"] != identity_of(plan, data)["data"]
    (large / "train-1.h5").write_bytes(b"other rows")
    after = identity_of(plan, large)
    assert {name for name in before if before[name] != after[name]} == {"data"}


def test_a_folder_that_lacks_a_file_is_refused_by_its_name(data, make_plan, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy/items.txt").unlink()
    with pytest.raises(DataError, match=r"items\.txt: there is none; is .*copy a folder of drn sessions"):
        identity_of(make_plan(), tmp_path / "copy")
