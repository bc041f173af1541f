"""docs/python.md, line by line, as a reader would type it."""

import doctest
import shutil


def test_the_page_runs(root, tmp_path, monkeypatch):
    shutil.copytree(root / "arch_specs", tmp_path / "arch_specs")
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(root / "docs" / "python.md"), module_relative=False, optionflags=flags)
    assert tried > 15
    assert failed == 0
