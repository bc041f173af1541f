"""Sessions as people and programs write them."""

import pytest

from generator.errors import DataError
from generator.model.query import Answer, Query
from generator.model.text import answer_record, bars, query_of_json, query_of_text


def test_text_and_json_mean_the_same():
    expected = Query([("p1", 12.0), ("p2", 1.0), ("p3", 0.5)], ["i1", "i2"])
    assert query_of_text("p1:12, p2,p3:.5", "i1, i2") == expected
    assert query_of_json('{"session": [["p1", 12], "p2", ["p3", 0.5]], "bought": ["i1", "i2"]}') == expected


def test_json_takes_ids_that_text_cannot_and_numbers():
    assert query_of_json('{"session": ["a,b:c", 7, [8, 2]]}') == Query([("a,b:c", 1.0), ("7", 1.0), ("8", 2.0)], [])
    assert query_of_json(b'{"bought": ["\xc3\xa9"]}') == Query([], ["é"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        (b"\xff{}", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("{}", "expected"),
        ('{"sesion": []}', "expected"),
        ("[1]", "expected"),
        ('{"session": "p1"}', "session is a list"),
        ('{"session": null}', "session is a list"),
        ('{"session": [["p1", 1, 2]]}', r"session\[0\]"),
        ('{"session": ["p1", ["p1", "x"]]}', r"session\[1\].*number of seconds"),
        ('{"session": [["p1", -1]]}', "number of seconds"),
        ('{"session": [["p1", NaN]]}', "number of seconds"),
        ('{"session": [["p1", true]]}', "number of seconds"),
        ('{"session": [["p1", 1' + "0" * 400 + "]]}", "number of seconds"),
        ('{"session": [1.5]}', r"session\[0\]: an id is"),
        ('{"bought": [["i1"]]}', r"bought\[0\]: an id is"),
        ('{"bought": [""]}', r"bought\[0\]: an id is"),
    ],
)
def test_json_that_does_not_hold_says_where(line, words):
    with pytest.raises(DataError, match=words):
        query_of_json(line)


@pytest.mark.parametrize("text", ["p1:x", "p1:1:2", "p1:", ":3", "p1,,p2", "p1:-1", "p1:nan", "p1:inf"])
def test_text_that_does_not_hold_is_named(text):
    with pytest.raises(DataError, match="session '"):
        query_of_text(text)


def test_bars_are_in_proportion_to_the_best():
    answer = Answer((("a", 0.5), ("b", 0.25), ("c", 0.0)), 1, 0)
    assert bars(answer, width=4, blocks="#.") == [
        ("1", "a", "0.5000", "####"),
        ("2", "b", "0.2500", "##.."),
        ("3", "c", "0.0000", "...."),
    ]
    assert answer_record(answer)["items"][1] == {"item": "b", "probability": 0.25}
    assert bars(Answer((), 0, 0)) == []
