"""Sessions cut on Ray: from many Parquet files, file by file what one machine makes of the same events."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.errors import DataError
from generator.scale.sessions import listed, local_copy, read_on_ray
from generator.spec import load_spec

pytestmark = pytest.mark.oracle

# What a log may lack, and how it may be asked for.
LOGS = {
    "shop": ({}, Options(division=Division(valid_share=0.1))),
    "next page": ({"data.target": "next", "net": "rnn"}, Options(vocabulary="all")),
    "no sessions": ({}, Options(gap=20, division=Division(users=0.3, seed=4))),
    "no users": ({}, Options(min_support=2)),
    "no times": ({}, Options(division=Division(valid_share=0.2))),
    "categories": ({"data.page": "category"}, Options(division=Division(days=3))),
}


@pytest.fixture(scope="module")
def files(shop, tmp_path_factory):
    """The factory of logs in three files, one in a folder below; some events at the same moment, most out of order."""

    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("log")
        events = pl.read_parquet(shop).sample(fraction=1, shuffle=True, seed=3)
        times = (pl.col("time") // 600 * 600).cast(pl.Float64)
        events = events.with_columns(times)
        gone = {"no sessions": "session", "no users": "user", "no times": "time"}
        if kind in gone:
            events = events.drop(gone[kind])
        (folder / "b").mkdir()
        third = events.height // 3
        for place, name in enumerate(("a.parquet", "b/c.pq", "d.parquet")):
            events[place * third : (place + 1) * third].write_parquet(folder / name)
        (folder / "notes.txt").write_text("no log\n")
        return folder

    return make


@pytest.mark.parametrize("kind", LOGS)
def test_it_is_what_one_machine_makes(cluster, kind, files, spec_file, tmp_path):
    changes, options = LOGS[kind]
    spec = load_spec(spec_file, [f"{key}={value}" for key, value in changes.items()])
    folder = files(kind)
    paths = [folder / name for name in ("a.parquet", "b/c.pq", "d.parquet")]
    build(paths, tmp_path / "here", spec, options)
    urls = listed(folder.as_uri())
    assert [Path(url).name for url in urls] == [path.name for path in paths]
    build(paths, tmp_path / "ray", spec, options, reader=lambda: read_on_ray(urls, [], options, spec))
    same_files(tmp_path / "ray", tmp_path / "here")


def same_files(one, other):
    names = sorted(path.name for path in other.iterdir())
    assert sorted(path.name for path in one.iterdir()) == names
    assert "train.h5" in names
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_the_command_reads_a_folder_and_test_files(cluster, files, spec_file, tmp_path):
    folder = files("shop")
    command = [sys.executable, "-m", "generator", "sessions", "--spec", spec_file]
    environment = os.environ | {"RAY_ADDRESS": cluster, "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(*arguments):
        done = subprocess.run(
            [*map(str, command), *map(str, arguments), "--format", "json"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    told = run(folder / "b", folder / "d.parquet", "--test", folder / "a.parquet", "-o", tmp_path / "here")
    assert told["logs"] == ["c.pq", "d.parquet"]
    url = (folder / "d.parquet").as_uri()
    again = run(folder / "b", url, "--test", folder / "a.parquet", "-o", tmp_path / "ray", "--engine", "ray")
    assert again == told
    same_files(tmp_path / "ray", tmp_path / "here")


def test_a_log_that_does_not_hold_is_refused_by_name(cluster, files, spec, tmp_path):
    folder = files("shop")
    events = pl.read_parquet(folder / "d.parquet")
    (folder / "e.parquet").write_bytes(b"not Parquet")
    urls = listed(str(folder))
    with pytest.raises(DataError, match=r"e\.parquet: cannot be read as Parquet"):
        read_on_ray(urls, [], Options(), spec)
    events.with_columns(user=pl.when(pl.col("user") != pl.col("user").first()).then("user")).write_parquet(
        folder / "e.parquet"
    )
    with pytest.raises(DataError, match="events have no user: with --engine ray all have one, or none"):
        read_on_ray(urls, [], Options(), spec)
    with pytest.raises(DataError, match=r"no Parquet file"):
        listed(str(folder / "notes.txt"))
    with pytest.raises(DataError, match=r"nowhere: no such file"):
        listed(str(folder / "nowhere"))


def test_a_file_of_another_file_system_is_copied(shop):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/log/day/events.parquet", shop.read_bytes())
    (url,) = listed("memory://log")
    with local_copy(url) as copy:
        assert copy.name == "events.parquet"
        assert copy.read_bytes() == shop.read_bytes()
    assert not copy.exists()
    with pytest.raises(DataError, match="nosuch://log: cannot be read"):
        listed("nosuch://log")
