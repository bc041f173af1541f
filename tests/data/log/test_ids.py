"""What identifies something is the same whatever the type of its column, and can be visited or is refused."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from data.test_build import spec
from pydantic import ValidationError

from generator.data.build import Options, build
from generator.data.log.bounds import LONGEST_LABEL
from generator.data.log.importers import read_events
from generator.data.log.sources import Frame
from generator.data.sessions.splits import Division
from generator.errors import DataError
from generator.serving.http.bodies import label


def frame(**columns) -> Frame:
    base = {"user": [1, 1, 1], "time": [1700000000, 1700000001, 1700000002], "page": [101, 102, 102]}
    return Frame("frame", pl.DataFrame(base | columns))


TYPES = [pl.Int8, pl.Int64, pl.UInt32, pl.Float32, pl.Float64, pl.Decimal(12, 0), pl.String]


@pytest.mark.parametrize("kind", TYPES)
def test_the_type_of_a_column_is_no_part_of_an_id(kind):
    for source in (frame(page=pl.Series([101, 102, 102]).cast(kind)), frame(user=pl.Series([1, 1, 1]).cast(kind))):
        events = read_events([source], "events").frame
        assert events["page"].to_list() == ["101", "102", "102"]
        assert events["user"].to_list() == ["1", "1", "1"]


def test_the_item_bought_is_the_page_viewed_though_its_column_has_gaps(tmp_path: Path):
    items = pl.Series([None, float("nan"), 102.0])
    events = read_events([frame(item=items, event=["view", "view", "buy"])], "events").frame
    assert events["item"].to_list() == ["101", "102", "102"]


def test_files_of_other_types_are_one_log(tmp_path: Path):
    a = pl.DataFrame({"user": [0, 0, 1, 1], "time": [1700000000 + 60 * i for i in range(4)], "page": list("abab")})
    a.write_parquet(tmp_path / "a.parquet")
    b = a.with_columns(pl.col("user").cast(pl.Float64), time=pl.col("time") + 600)
    b.write_parquet(tmp_path / "b.parquet")
    files, options = [tmp_path / "a.parquet", tmp_path / "b.parquet"], Options(division=Division(share=0.5))
    meta = build(files, tmp_path / "o", spec(data={"target": "next"}), options)
    assert meta["sessions"]["all"] == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.5, "a fraction in page"),
        (2.0**53 + 2, "a double beyond 2^53 in page"),
        (float("inf"), "a double beyond 2^53 in page"),
    ],
)
def test_doubles_that_are_no_ids_are_refused_by_name(tmp_path: Path, value: float, reason: str):
    with pytest.raises(DataError) as error:
        read_events([frame(page=[101.0, value, 102.0])], "events")
    assert f"frame: row 1: {reason}: 1, 1700000001, {value}" in str(error.value)
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps({"user": 1, "time": 1700000000.5, "page": page}) + "\n" for page in (101.0, 102, value))
    )
    events = read_events([tmp_path / "log.jsonl"], "events", max_bad=0.5)
    assert events.frame["page"].to_list() == ["101", "102"]
    assert events.skipped == {reason: 1}


def test_nested_values_are_malformed_where_they_should_identify_something(tmp_path: Path):
    lines = [{"user": 1, "time": 1, "page": "a", "more": {"b": [1]}}, {"user": 1, "time": 2, "page": {"b": 1}}]
    deep = '{"user": 1, "time": 3, "page": "a", "more": ' + "[" * 100_000 + "}"
    (tmp_path / "log.jsonl").write_text("\n".join([*map(json.dumps, lines), deep]) + "\n")
    events = read_events([tmp_path / "log.jsonl"], "events", max_bad=1)
    assert events.frame["page"].to_list() == ["a"]
    assert events.skipped == {"nested value in page": 1, "not a JSON object": 1}
    assert events.notes[0].startswith('log.jsonl: row 2: nested value in page: {"user": 1')
    with pytest.raises(DataError, match=r"frame: column page is of type List.*, but an id is text or a whole number"):
        read_events([frame(page=[[1], [2], [3]])], "events")


@pytest.mark.parametrize("broken", [r'"page": "\ud800"', r'"page": "b", "\udfff": 1'])
def test_half_of_a_character_is_malformed(tmp_path: Path, broken: str):
    whole = r'{"user": 1, "time": 1, "page": "\ud83d\ude00"}'
    (tmp_path / "log.jsonl").write_text(whole + "\n" + r'{"user": 1, "time": 2, ' + broken + "}\n")
    events = read_events([tmp_path / "log.jsonl"], "events", max_bad=1)
    assert events.frame["page"].to_list() == ["\U0001f600"]
    assert "half of a character" in events.notes[0]


@pytest.mark.parametrize("name", ["_row", "_malformed", "_line"])
def test_a_field_under_a_name_of_drns_own_is_malformed(tmp_path: Path, name: str):
    lines = [{"user": 1, "time": 1, "page": "a"}, {"user": 1, "time": 2, "page": "b", name: "x"}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = read_events([tmp_path / "log.jsonl"], "events", max_bad=1)
    assert events.frame["page"].to_list() == ["a"]
    assert f"a field {name}" in events.notes[0]


@pytest.mark.parametrize("name", ["_row", "_malformed", "_line"])
def test_a_column_under_a_name_of_drns_own_is_refused(tmp_path: Path, name: str):
    table = pl.DataFrame({"user": ["u"], "session": ["s"], "time": [1], "page": ["p"], "event": ["view"], name: ["x"]})
    table.write_csv(tmp_path / "log.csv")
    table.write_parquet(tmp_path / "log.parquet")
    for file in ("log.csv", "log.parquet"):
        with pytest.raises(DataError, match=f"{file}: has a column {name}, a name that drn needs"):
            read_events([tmp_path / file], "events")


@pytest.mark.parametrize("name", ["*", "^p.*$"])
def test_a_column_named_like_a_pattern_is_refused(tmp_path: Path, name: str):
    """polars would take it for several columns."""
    table = pl.DataFrame({"user": ["u"], "session": ["s"], "time": [1], "page": ["p"], "event": ["view"], name: ["x"]})
    table.write_csv(tmp_path / "log.csv")
    table.write_ndjson(tmp_path / "log.jsonl")
    table.write_parquet(tmp_path / "log.parquet")
    for source in (tmp_path / "log.csv", tmp_path / "log.jsonl", tmp_path / "log.parquet", Frame("table", table)):
        with pytest.raises(DataError, match="which reads as a pattern of names: rename it"):
            read_events([source], "events")


def test_half_of_a_character_is_malformed_whether_escaped_or_not(tmp_path: Path):
    rows = [b'{"user": 1, "time": 1, "page": "a"}', b'{"user": 1, "time": 2, "page": "\\ud800"}']
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([*rows, b'{"user": 1, "time": 3, "p\xed\xa0\x80": "b"}', b""]))
    events = read_events([tmp_path / "log.jsonl"], "events", max_bad=1)
    assert events.frame["page"].to_list() == ["a"]
    assert sum(events.skipped.values()) == 2


def test_a_json_array_is_named(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([{"user": 1, "time": 1, "page": "a"}]))
    with pytest.raises(DataError, match=r"a\.json: is a JSON array, but a log is JSON lines"):
        read_events([tmp_path / "a.json"], "events")


@pytest.mark.parametrize(
    "name",
    [
        "https://shop.example/list?" + "filter=value&" * 35,
        "ein Bär",
        "a/b",
        "x" * LONGEST_LABEL,
        "x" * (LONGEST_LABEL + 1),
        "a\tb",
        "a\x00b",
        "a\u2028b",
        "Fu\ufffd",
    ],
)
def test_a_label_of_a_log_can_be_visited_or_is_refused(name: str):
    events = read_events([frame(page=["a", name, "b"])], "events", max_bad=1)
    try:
        label(name)
    except ValidationError:
        assert events.frame["page"].to_list() == ["a", "b"]
        assert events.notes[0].startswith("frame: row 1: ")
    else:
        assert events.frame["page"].to_list() == ["a", name, "b"]


def test_files_with_and_without_session_ids_are_refused(tmp_path: Path):
    rows = {"user": [1, 1], "time": [1700000000, 1700000001], "page": ["a", "b"]}
    pl.DataFrame(rows | {"session": ["s", "s"]}).write_csv(tmp_path / "with.csv")
    pl.DataFrame(rows).write_csv(tmp_path / "without.csv")
    files = [tmp_path / "with.csv", tmp_path / "without.csv"]
    for logs, tests in ((files, ()), (files[:1], files[1:])):
        with pytest.raises(DataError, match=r"with\.csv has session ids and .*without\.csv has none"):
            build(
                logs,
                tmp_path / "o",
                spec(data={"target": "next"}),
                Options(test=tests, division=Division(files=bool(tests))),
            )


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("without", ["", "user", "time"])
@pytest.mark.parametrize("kind", [pl.Int64, pl.Int16, pl.UInt64])
def test_session_ids_that_are_numbers_make_the_files_that_their_texts_make(kind, without: str, mixed: bool, tmp_path):
    random = np.random.default_rng(1)
    session = np.sort(random.integers(1, 60, 400))
    if mixed:
        random.shuffle(session)  # events of a session do not lie together
    table = pl.DataFrame(
        {
            "user": pl.Series(session % 13, dtype=pl.Int32),
            "session": pl.Series(session).cast(kind),
            "time": np.arange(400) + 1700000000,
            "page": random.integers(1, 20, 400),
        }
    ).drop(without or [])
    half = [table[:200], table[200:]]
    texts = [part.with_columns(pl.col("session").cast(pl.String)) for part in half]
    several = {"text": texts, "numbers": half, "first": [half[0], texts[1]], "second": [texts[0], half[1]]}
    found = {}
    for name, frames in several.items():
        options = Options(division=Division(share=0.3))
        build(frames, tmp_path / name, spec(data={"target": "next"}), options)
        found[name] = {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
    assert len(found["text"]) == 5
    assert found["numbers"] == found["first"] == found["second"] == found["text"]
