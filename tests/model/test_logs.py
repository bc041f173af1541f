"""Recommendations for every session of a log: those of `Model.recommend` for sessions cut by hand."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
from itertools import groupby

import polars as pl
import pytest
from click.testing import CliRunner
from trained_run import write_run

import generator as drn
from generator.cli import drn as group
from generator.data.stages import read
from generator.errors import DataError, ModelError
from generator.model import answers_file, logs
from generator.model.model import Model
from generator.model.query import Query


def events(seed=1, sessions=40):
    """Rows of a log in order of time, sessions of some users interleaved; now and then an unknown page, or a buy."""
    rng, rows = random.Random(seed), []
    for number in range(sessions):
        time, user = rng.randrange(10_000), f"u{number % 7}"
        for _ in range(rng.randint(1, 9)):
            time += rng.choice((0.25, 3, 40))
            if rng.random() < 0.2:
                rows.append((user, f"s{number}", time, None, "buy", f"item-{rng.randint(1, 12)}"))
            else:
                rows.append((user, f"s{number}", time, f"page-{rng.randint(1, 14)}", "view", None))
    rows.sort(key=lambda row: row[2])
    return pl.DataFrame(rows, ["user", "session", "time", "page", "event", "item"], orient="row")


def cut(frame):
    """Session, user, start and query of each session with a view: pages with seconds until the next view."""
    rows = frame.rows(named=True)
    found = {}
    for name, several in groupby(sorted(rows, key=lambda row: row["session"]), lambda row: row["session"]):
        own = sorted(several, key=lambda row: row["time"])
        views = [row for row in own if row["event"] == "view"]
        if not views:
            continue
        ends = [row["time"] for row in views[1:]]
        pages = [(row["page"], max(end - row["time"], 1.0)) for row, end in zip(views, ends, strict=False)]
        start, user = own[0]["time"], own[0]["user"]
        before = [row["item"] for row in rows if row["event"] == "buy" and row["user"] == user and row["time"] < start]
        found[name] = user, start, Query([*pages, (views[-1]["page"], 1.0)], before)
    return found


def read_parquet(path):
    return pl.read_parquet(path).rows(named=True)


def read_csv(path):
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row | {name: json.loads(row[name]) for name in ("start", "items", "probabilities")} for row in rows]


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("reader", [read_parquet, read_csv, read_jsonl])
def test_each_session_gets_what_the_model_recommends_after_it(run, tmp_path, reader):
    frame, model = events(), Model(run)
    done = drn.recommend_log(model, frame, path := tmp_path / f"out.{reader.__name__[5:]}", 3)
    rows, wanted = reader(path), cut(frame)
    assert {row["session"] for row in rows} == wanted.keys()
    for row in rows:
        user, start, query = wanted[row["session"]]
        (answer,) = model.recommend([query], 3)
        assert (row["user"], row["start"]) == (user, start)
        assert tuple(zip(row["items"], row["probabilities"], strict=True)) == answer.items
    assert [row["start"] for row in rows] == sorted(row["start"] for row in rows)
    assert (done.sessions, done.pages) == (len(wanted), sum(len(query.pages) for *_, query in wanted.values()))
    unknown = sum(page in ("page-13", "page-14") for *_, query in wanted.values() for page, _ in query.pages)
    assert done.unknown_pages == unknown > 0
    assert done.unknown_bought == sum(
        item in ("item-11", "item-12") for *_, query in wanted.values() for item in query.bought
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_partitions_on_disk_and_pieces_of_a_file_change_nothing(run, tmp_path, monkeypatch):
    frame = events(sessions=300)
    frame.write_parquet(tmp_path / "log.parquet")
    whole = drn.recommend_log(run, tmp_path / "log.parquet", tmp_path / "whole.parquet")
    for module, name, value in (
        (read, "PARTITION_EVENTS", 50),
        (answers_file, "PIECE", 7),
        (logs, "TOGETHER", 3),
    ):
        monkeypatch.setattr(module, name, value)
    some = drn.recommend_log(run, tmp_path / "log.parquet", tmp_path / "some.parquet")
    ours, theirs = (pl.read_parquet(each.file).sort("session") for each in (some, whole))
    assert ours.equals(theirs)
    assert some.sessions == whole.sessions == len(ours)


def test_slots_are_recommended_by_the_label_of_their_page(tmp_path):
    head = {"tied": True, "projection": True, "mix": {}, "slots": 2}
    write_run(tmp_path / "run", net="rnn", pages=10, items=10, head=head, data={"target": "next"})
    frame = pl.DataFrame({"session": ["a", "a"], "time": [1, 2], "page": ["new", "item-1"]})
    drn.recommend_log(tmp_path / "run", frame, tmp_path / "out.jsonl", 12)
    (row,) = read_jsonl(tmp_path / "out.jsonl")
    (answer,) = Model(tmp_path / "run").recommend([Query([("new", 1.0), ("item-1", 1.0)])], 12)
    assert tuple(row["items"]) == tuple(item for item, _ in answer.items)
    assert row["user"] is None


def test_a_log_in_another_format_and_without_session_ids(run, tmp_path):
    (tmp_path / "log.csv").write_text("who,when,what\nu,0,page-1\nu,60,page-2\nu,99999,page-3\n")
    columns = {"user": "who", "time": "when", "page": "what"}
    drn.recommend_log(run, tmp_path / "log.csv", tmp_path / "out.jsonl", 1, columns=columns)
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [(row["session"], row["user"], row["start"]) for row in rows] == [(None, "u", 0.0), (None, "u", 99999.0)]


def test_what_does_not_hold_leaves_nothing(run, tmp_path):
    views = pl.DataFrame({"session": ["a"], "time": [1], "page": ["page-1"], "event": ["buy"], "item": ["item-1"]})
    with pytest.raises(DataError, match="no session of the log views a page"):
        drn.recommend_log(run, views, tmp_path / "out.parquet")
    with pytest.raises(
        DataError, match=r"out\.txt: the end of its name says its form: \.parquet, \.pq, \.csv, \.jsonl"
    ):
        drn.recommend_log(run, views, tmp_path / "out.txt")
    (run / "spec.yaml").unlink()
    with pytest.raises(ModelError, match=r"is in no run with a spec\.yaml; give the folder of a drn train run"):
        drn.recommend_log(run, events(), tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_a_killed_run_left_goes(run, tmp_path):
    """While the answers are written, which takes long; the kill is as sure as the file that is waited for."""
    log, out = tmp_path / "log.parquet", tmp_path / "out"
    events(sessions=4000).write_parquet(log)
    command = [sys.executable, "-m", "generator", "recommend", str(run), "--batch", str(log), "-o", "out/a.jsonl"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(out.rglob(".a.jsonl.*.jsonl")):
        os.sched_yield()
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert [path.name for path in out.iterdir()] != ["a.jsonl"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert [path.name for path in out.iterdir()] == ["a.jsonl"]


def test_the_command(run, tmp_path):
    events().write_csv(tmp_path / "log.csv")
    arguments = [
        "recommend",
        str(run),
        "--batch",
        str(tmp_path / "log.csv"),
        "-o",
        str(tmp_path / "out.csv"),
        "-k",
        "2",
    ]
    done = CliRunner().invoke(group, [*arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["sessions"] == len(read_csv(tmp_path / "out.csv")) == len(cut(events()))
    assert "views the model does not know" in CliRunner().invoke(group, arguments).stdout
    refused = CliRunner().invoke(group, arguments[:4])
    assert refused.exit_code == 2
    assert "--batch LOG and -o FILE belong together" in refused.output
    refused = CliRunner().invoke(group, [*arguments, "--session", "page-1"])
    assert "leave --session and --bought out" in refused.output
    refused = CliRunner().invoke(group, [*arguments, "--log-format", "nothing"])
    assert isinstance(refused.exception, DataError)
    assert "unknown format 'nothing'" in str(refused.exception)
