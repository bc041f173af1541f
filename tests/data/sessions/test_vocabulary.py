"""Vocabularies: numbering, files, refusals."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import DataError

LABELS = st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1), unique=True)


@given(LABELS)
def test_ids_are_line_numbers_and_survive_the_file(tmp_path_factory: pytest.TempPathFactory, labels: list[str]):
    path = tmp_path_factory.mktemp("v") / "pages.txt"
    Vocabulary(labels).write(path)
    again = Vocabulary.read(path)
    assert again.labels == tuple(labels)
    assert path.read_bytes().decode().split("\n")[:-1] == labels
    assert again.ids(labels).tolist() == list(range(1, len(labels) + 1))
    assert [again.label(identity) for identity in range(1, len(labels) + 1)] == labels


def test_unknown_labels_are_0_and_unknown_ids_are_refused():
    vocabulary = Vocabulary(["a", "b"])
    assert vocabulary.ids(["b", "x", "a"]).tolist() == [2, 0, 1]
    assert len(vocabulary) == 2
    for identity in (0, 3, -1):
        with pytest.raises(DataError, match="runs from 1 to 2"):
            vocabulary.label(identity)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b\nc"], "line break"),
        (["a\r"], "line break"),
        (["a", "b", "a"], "line 3 repeats 'a' of line 1"),
        ([""], "line 1 is empty"),
    ],
)
def test_labels_that_a_line_cannot_hold_are_refused(labels: list[str], message: str):
    with pytest.raises(DataError, match=message):
        Vocabulary(labels)


def test_a_file_that_does_not_hold_is_named(tmp_path: Path):
    path = tmp_path / "pages.txt"
    with pytest.raises(DataError, match="cannot read"):
        Vocabulary.read(path)
    path.write_bytes(b"a\nb")
    with pytest.raises(DataError, match=r"pages\.txt: line 2 has no line end"):
        Vocabulary.read(path)
    path.write_bytes(b"a\na\n")
    with pytest.raises(DataError, match=r"pages\.txt: line 2 repeats"):
        Vocabulary.read(path)
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"pages\.txt"):
        Vocabulary.read(path)
