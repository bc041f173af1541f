"""What a spec that does not hold is told, to the letter.

Each case is two files: errors/<case>.yaml, the spec, and errors/<case>.txt, what stderr shows. A line `# --set a.b=c`
in the spec is an override given with it.
"""

from pathlib import Path

import pytest

from generator.errors import SpecError
from generator.spec import load_spec, parse_spec

CASES = sorted((Path(__file__).parent / "errors").glob("*.yaml"))
GOOD = "name: shop\nnet: rnn\npages: 100\nitems: 50\nrnn:\n  window: 4\n  widths: [16]\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_broken_spec_is_told_what_and_where(case, monkeypatch):
    monkeypatch.chdir(case.parent)
    lines = case.read_text(encoding="utf-8", errors="replace").splitlines()
    overrides = [line.removeprefix("# --set ") for line in lines if line.startswith("# --set ")]
    with pytest.raises(SpecError) as caught:
        load_spec(case.name, overrides)
    assert f"{caught.value}\n" == case.with_suffix(".txt").read_text(encoding="utf-8")


def test_every_case_is_a_pair():
    folder = Path(__file__).parent / "errors"
    assert {path.stem for path in folder.glob("*.txt")} == {case.stem for case in CASES}


def _told(path, overrides=()):
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    return str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "absent.yaml"
    assert _told(path) == f"{path}: no such file"


def test_a_folder(tmp_path):
    assert _told(tmp_path) == f"{tmp_path}: a folder: a spec is a YAML file"


def test_a_file_below_a_file(tmp_path):
    (tmp_path / "shop.yaml").write_text(GOOD)
    path = tmp_path / "shop.yaml" / "rnn.yaml"
    assert _told(path) == f"{path}: cannot be read: Not a directory"


def test_a_path_no_system_takes():
    assert _told("a\0b.yaml") == "a\\x00b.yaml: cannot be read: embedded null byte"


def test_a_file_too_large_is_measured_not_read(tmp_path):
    path = tmp_path / "spec.yaml"
    with path.open("wb") as stream:
        stream.truncate(10 * 2**20)
    assert _told(path) == f"{path}: 10,485,760 bytes; a spec has at most 1,048,576"


def test_an_endless_file():
    assert _told("/dev/zero").startswith("/dev/zero: 1,048,577 bytes; ")


def test_a_thousand_findings_are_cut_at_a_hundred():
    with pytest.raises(SpecError) as caught:
        parse_spec(GOOD + "".join(f"key{i}: 1\n" for i in range(1000)), "x.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("x.yaml:8:1: key0: unknown key")
    assert len(lines) == 101
    assert lines[-1] == "... and more"


def test_columns_count_characters_and_lines_end_as_they_like():
    with pytest.raises(SpecError) as caught:
        parse_spec("\ufeff" + GOOD.replace("\n", "\r\n") + "data: {é: 1, page: ö}\r\n", "x.yaml")
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["x.yaml:8:8", "data.é"],
        ["x.yaml:8:20", "data.page"],
    ]
