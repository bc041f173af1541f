"""A large log is read in parts, in memory or by way of files: to the bytes that it gives when it is read whole."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from generator.data import build as building
from generator.data.build import Options, build
from generator.data.log import tables
from generator.data.sessions import partition
from generator.data.sessions.splits import Division
from generator.data.stages import read as reading
from generator.data.store import runs
from generator.errors import DataError
from generator.shop.simulator import Shop, simulate
from generator.spec.schema import Spec

BASE = {
    "name": "t",
    "net": "combined",
    "pages": 300,
    "items": 300,
    "rnn": {"window": 3, "widths": [2], "history": 2},
    "fnn": {"bought": 3, "widths": [2]},
}
NEXT = {"data": {"target": "next"}, "loss": "every"}
BARE = {"net": "rnn", "fnn": None, "rnn": {"window": 3, "widths": [2], "history": 0}}


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> pl.DataFrame:
    """A shop's events out of order, some at the same moment."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, Shop(sessions=300, items=60, categories=5, users=50))
    found = pl.read_parquet(folder / "events.parquet").sample(fraction=1, shuffle=True, seed=3)
    return found.with_columns((pl.col("time") // 600 * 600).cast(pl.Float64))


def without(*names: str):
    return lambda events: events.drop(*names)


def where(condition: pl.Expr, **values: pl.Expr):
    return lambda events: events.with_columns(
        pl.when(condition).then(value).otherwise(name).alias(name) for name, value in values.items()
    )


ROW = pl.int_range(pl.len())
LOGS = {
    "shop": (lambda events: events, {}, Options(division=Division(valid_share=0.1))),
    "in order": (lambda events: events.sort("user", "session", "time"), NEXT, Options(vocabulary="all")),
    "no sessions": (without("session"), {}, Options(gap=20, division=Division(users=0.3, seed=4))),
    "no users": (without("user"), NEXT | BARE, Options(min_support=2, division=Division(folds=3, fold=1))),
    "no times": (without("time"), BARE, Options(division=Division(valid_share=0.2))),
    "no times, no users": (without("time", "user"), {}, Options(division=Division(users=0.3, valid_share=0.2))),
    "users of some events": (where(ROW % 3 == 0, user=pl.lit(None)), {}, Options(division=Division(users=0.3))),
    "users of some sessions": (
        where(pl.col("user").str.ends_with("3"), user=pl.lit("")),
        NEXT,
        Options(division=Division(users=0.3)),
    ),
    "categories": (
        where(ROW % 5 == 0, category=pl.lit(None)),
        {"data": {"page": "category"}},
        Options(division=Division(days=3)),
    ),
}


@pytest.fixture(params=["memory", "files"])
def in_parts(request) -> Iterator[pytest.MonkeyPatch]:
    """Parts of few events, kept in memory or put by in files, and small blocks; to be undone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PARTITION_EVENTS", 500)
        patch.setattr(partition, "BUFFERED", 700)
        patch.setattr(tables, "PIECE", 300)
        patch.setattr(runs, "BLOCK", 100)
        patch.setattr(building, "IN_MEMORY", 1000 if request.param == "memory" else 1)
        yield patch


@pytest.mark.parametrize("kind", LOGS)
def test_parts_give_what_the_whole_gives(kind: str, events: pl.DataFrame, tmp_path: Path, in_parts: pytest.MonkeyPatch):
    change, changes, options = LOGS[kind]
    log = change(events)
    log.write_csv(tmp_path / "log.csv")
    third = log.height // 3
    paths = [tmp_path / f"{place}.parquet" for place in range(3)]
    for place, path in enumerate(paths):
        log[place * third : (place + 1) * third if place < 2 else None].write_parquet(path)
    spec = Spec.model_validate({name: value for name, value in (BASE | changes).items() if value is not None})
    assert reading.partitions_for(paths, options.form) > 3
    assert reading.partitions_for([tmp_path / "log.csv"], options.form) > 3
    parts = build(paths, tmp_path / "parts", spec, options)
    text = build([tmp_path / "log.csv"], tmp_path / "text", spec, options)
    in_parts.undo()
    assert reading.partitions_for([tmp_path / "log.csv"], options.form) == 1
    whole = build([tmp_path / "log.csv"], tmp_path / "whole", spec, options)
    assert parts | {"logs": ["log.csv"]} == text == whole
    same_files(tmp_path / "parts", tmp_path / "whole")
    same_files(tmp_path / "text", tmp_path / "whole")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def same_files(one: Path, other: Path) -> None:
    names = sorted(path.name for path in other.iterdir())
    assert sorted(path.name for path in one.iterdir()) == names
    assert "train.h5" in names
    for name in names:
        if name != "meta.json":
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_what_cannot_be_taken_is_counted_alike(events: pl.DataFrame, tmp_path: Path, in_parts: pytest.MonkeyPatch):
    bad = events
    for place, change in enumerate(
        (
            {"page": pl.lit("a\nb")},
            {"page": pl.lit("")},
            {"item": pl.lit("x\ry")},
            {"item": pl.lit("")},
            {"category": pl.lit("c\n")},
            {"time": pl.lit(None)},
            {"session": pl.lit("")},
        )
    ):
        bad = where(place == ROW % 97, **change)(bad)
    bad.write_ndjson(tmp_path / "log.jsonl")
    bad.write_parquet(tmp_path / "log.parquet")
    spec, options = Spec.model_validate(BASE), Options(max_bad=0.2)
    parts = build([tmp_path / "log.parquet"], tmp_path / "parts", spec, options)
    with pytest.raises(DataError, match=r"log\.parquet: .* rows are malformed"):
        build([tmp_path / "log.parquet"], tmp_path / "refused", spec, Options())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "refused"))]
    in_parts.undo()
    whole = build([tmp_path / "log.jsonl"], tmp_path / "whole", spec, options)
    assert len(parts["skipped"]) >= 6
    for name in ("events", "skipped", "sessions", "vocabulary", "splits"):
        assert parts[name] == whole[name]
    same_files(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.usefixtures("in_parts")
def test_files_with_times_and_without_do_not_go_together(events: pl.DataFrame, tmp_path: Path):
    events.write_parquet(tmp_path / "a.parquet")
    events.drop("time").write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="some of the files have times and some have none"):
        build([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out", Spec.model_validate(BASE), Options())


LIMITED = """
import resource, sys
from pathlib import Path
from generator.data import build as building
from generator.data.sessions import partition
from generator.data.stages import read as reading
from generator.errors import DataError
from generator.spec.schema import Spec

reading.PARTITION_EVENTS, partition.BUFFERED, building.IN_MEMORY = 500, 700, 1
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
try:
    building.build([Path(sys.argv[1])], Path(sys.argv[2]), Spec.model_validate_json(sys.argv[3]), building.Options())
except DataError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits on the size of files are POSIX")
@pytest.mark.parametrize("limit", [500, 6000])
def test_a_disk_that_fills_up_with_parts_leaves_nothing(limit: int, events: pl.DataFrame, tmp_path: Path, root: Path):
    events.write_parquet(tmp_path / "log.parquet")
    spec = Spec.model_validate(BASE).model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "log.parquet"), str(tmp_path / "out"), spec, str(limit)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_the_summary_of_parts_is_plain_json(events: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "PARTITION_EVENTS", 500)
    events.write_parquet(tmp_path / "log.parquet")
    told = build([tmp_path / "log.parquet"], tmp_path / "out", Spec.model_validate(BASE), Options())
    assert json.loads((tmp_path / "out" / "meta.json").read_text()) == told
    assert told["events"]["view"] == np.count_nonzero(events["event"] == "view")
