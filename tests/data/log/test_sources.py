"""Logs given as DataFrames: what their Parquet file gives, whichever library they are of."""

from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from generator.data.build import Options, build
from generator.data.log.importers import read_events
from generator.data.log.sources import sources_of
from generator.data.sessions.splits import Division
from generator.errors import DataError
from generator.shop.simulator import Shop, simulate
from generator.spec.schema import Spec

SPEC = Spec.model_validate(
    {
        "name": "t",
        "net": "combined",
        "pages": 300,
        "items": 300,
        "rnn": {"window": 3, "widths": [2], "history": 2},
        "fnn": {"bought": 3, "widths": [2]},
    }
)


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, Shop(sessions=200, items=60, categories=5, users=40))
    return folder / "events.parquet"


def by_pandas(path: Path) -> pd.DataFrame:
    """As an analyst has it: times of a time zone, a category column, an index with gaps."""
    frame = pd.read_parquet(path)
    frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True).dt.round("ms").dt.tz_convert("Asia/Shanghai")
    frame["page"] = frame["page"].astype("category")
    return frame.set_index(frame.index * 3)


LIBRARIES = {
    "polars": pl.read_parquet,
    "pandas": by_pandas,
    "pandas, numpy's types": lambda path: pd.read_parquet(path).astype({"session": object, "user": object}),
    "Arrow": lambda path: pa.Table.from_pandas(pd.read_parquet(path)),
    "Arrow's stream": lambda path: pa.table(pd.read_parquet(path)).to_reader(),
}


def same_files(one: Path, other: Path) -> None:
    names = sorted(path.name for path in other.iterdir())
    assert sorted(path.name for path in one.iterdir()) == names
    assert "train.h5" in names
    for name in names:
        if name != "meta.json":
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_gives_what_its_file_gives(library: str, log: Path, tmp_path: Path):
    options = Options(division=Division(valid_share=0.1))
    frame = LIBRARIES[library](log)
    if isinstance(frame, pd.DataFrame):  # pandas writes its own types
        log = tmp_path / "events.parquet"
        frame.to_parquet(log, index=False)
    from_file = build(log, tmp_path / "file", SPEC, options)
    meta = build(frame, tmp_path / "frame", SPEC, options)
    assert meta == from_file | {"logs": ["frame"]}
    same_files(tmp_path / "frame", tmp_path / "file")


def test_paths_and_frames_are_one_log(log: Path, tmp_path: Path):
    events = pl.read_parquet(log)
    half = events.height // 2
    events[:half].write_csv(tmp_path / "first.csv")
    build([str(log)], tmp_path / "whole", SPEC, Options())
    meta = build([str(tmp_path / "first.csv"), events[half:].to_arrow()], tmp_path / "halves", SPEC, Options())
    assert meta["logs"] == ["first.csv", "frame 2"]
    same_files(tmp_path / "halves", tmp_path / "whole")


def test_test_sessions_may_be_a_frame(log: Path, tmp_path: Path):
    events = pl.read_parquet(log)
    held_out = pl.col("user").is_in(events["user"].unique().sort()[:8].implode())
    test = events.filter(held_out).to_pandas()
    options = Options(test=[test], division=Division(files=True))
    meta = build(events.filter(~held_out), tmp_path / "out", SPEC, options)
    assert meta["division"]["test_files"] == ["frame"]
    buyers = test[test["event"] == "buy"]
    assert meta["splits"]["test"]["sessions"] == buyers["session"].nunique()


def test_columns_are_named_as_for_a_file(log: Path, tmp_path: Path):
    renamed = pd.read_parquet(log).rename(columns={"page": "url", "user": "visitor"})
    options = Options(columns={"page": "url", "user": "visitor"})
    build(renamed, tmp_path / "out", SPEC, options)
    build(log, tmp_path / "file", SPEC, Options())
    same_files(tmp_path / "out", tmp_path / "file")
    with pytest.raises(DataError, match="frame: no column link for page: the frame has visitor, session"):
        build(renamed, tmp_path / "no", SPEC, Options(columns={"page": "link"}))


def test_malformed_rows_are_told_by_their_place_in_the_frame():
    frame = pd.DataFrame(
        {"session": ["a", "a", None, "b"], "page": ["x", None, "y", "x"], "time": [1.0, 2.0, 3.0, 4.0]}
    )
    events = read_events(sources_of(frame), "events", max_bad=1)
    # Rows 1 and 2 as iloc counts them.
    assert frame["page"].isna().iloc[1]
    assert events.notes == ("frame: row 1: no page: a, , 2.0", "frame: row 2: no session: , y, 3.0")
    with pytest.raises(DataError, match=r"frame: 2 of 4 rows are malformed, more than --max-bad 0.1 allows"):
        read_events(sources_of(frame), "events", max_bad=0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pl.DataFrame({"session": ["a"], "page": ["x"]}).lazy(), "frame: is a polars LazyFrame"),
        ({"session": ["a"]}, r"frame: is a builtins\.dict, but a log is a path, a polars or pandas DataFrame"),
        (pa.array([1, 2]), r"frame: is a pyarrow\.lib\.Int64Array"),
        (pd.Series([1, 2]), r"frame: is a pandas\..*Series"),
        ([Path("a.csv"), 3], r"frame 2: is a builtins\.int"),
        (pd.DataFrame({"page": ["x", 3, b"z"]}), "frame: a column cannot be converted: "),
    ],
)
def test_what_is_no_log_is_refused(given, message: str):
    with pytest.raises(DataError, match=message):
        sources_of(given)


def test_frames_that_do_not_hold():
    frame = pl.DataFrame({"session": ["a"], "page": ["x"]})
    with pytest.raises(DataError, match="a DataFrame is of the format events, whose columns are named, not taobao"):
        read_events(sources_of(frame), "taobao")
    with pytest.raises(DataError, match="frame: has no rows"):
        read_events(sources_of(frame.clear()), "events")
    with pytest.raises(DataError, match="frame: has a column _row"):
        read_events(sources_of(frame.with_columns(_row=1)), "events")
    with pytest.raises(DataError, match="frame: has the columns page, but events need page, and session"):
        read_events(sources_of(frame.drop("session")), "events")
    with pytest.raises(DataError, match=r"frame: cannot be read: .* utf8"):
        read_events(sources_of(frame.with_columns(page=pl.lit(b"\xff"))), "events")
