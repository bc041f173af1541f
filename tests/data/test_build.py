"""`drn sessions` from log to data folder: real logs, refusals, and no half-written folder."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import yaml
from click.testing import CliRunner

from generator.api.logs import DataFolder
from generator.cli import drn
from generator.commands.sessions import command
from generator.data.build import Options, build
from generator.data.log.formats import FORMAT_NAMES
from generator.data.sessions.splits import Division
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.stages.write import rewindow
from generator.data.store.split import Split, read_sessions
from generator.errors import DataError
from generator.spec.schema import Spec

BASE = {
    "name": "t",
    "net": "combined",
    "pages": 50000,
    "items": 50000,
    "rnn": {"window": 4, "widths": [2], "history": 3},
    "fnn": {"bought": 5, "widths": [2]},
}


def spec(**changes) -> Spec:
    return Spec.model_validate(BASE | changes)


def log_of(path: Path, rows: list[tuple]) -> Path:
    """Write events (user, session, time, page, event)."""
    pl.DataFrame(rows, schema=["user", "session", "time", "page", "event"], orient="row").write_csv(path)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Ten users, a session a day for ten days; each ends in the purchase of its last page."""
    rows = []
    for user in range(10):
        for day in range(10):
            pages = [f"p{(user + day + step) % 7}" for step in range(3)]
            times = [86400.0 * day + user * 100 + 10 * step for step in range(4)]
            events = [*((page, "view") for page in pages), (pages[-1], "buy")]
            rows += [(f"u{user}", f"{user}-{day}", t, p, e) for t, (p, e) in zip(times, events, strict=True)]
    return log_of(tmp_path / "log.csv", rows)


def test_a_data_folder_is_whole(tmp_path: Path, log: Path):
    meta = build([log], tmp_path / "out", spec(), Options(division=Division(days=2, valid_share=0.25)))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "train.h5",
        "valid.h5",
        "test.h5",
        "pages.txt",
        "items.txt",
        "meta.json",
    }
    assert json.loads((tmp_path / "out/meta.json").read_text()) == meta
    assert {name: part["rows"] for name, part in meta["splits"].items()} == {"train": 60, "valid": 20, "test": 20}
    pages = Vocabulary.read(tmp_path / "out/pages.txt")
    assert (tmp_path / "out/items.txt").read_bytes() == (tmp_path / "out/pages.txt").read_bytes()
    assert meta["shared_vocabulary"]
    ends = {}
    for name in ("train", "valid", "test"):
        sessions = read_sessions(tmp_path / f"out/{name}.h5")
        ends[name] = (sessions.start.min(), sessions.start.max())
        first = sessions.page[sessions.offset[0] : sessions.offset[1]]
        steps = [int(pages.label(page)[1:]) for page in first]
        assert [(step - steps[0]) % 7 for step in steps] == [0, 1, 2]
        assert (np.diff(sessions.start) >= 0).all()
    assert ends["train"][1] < ends["valid"][0] < ends["valid"][1] < ends["test"][0]
    with Split(tmp_path / "out/test.h5") as split:
        blobs = split.load()
        # Each user bought once a day before: on the ninth day eight items, of which the newest five are kept.
        assert (blobs["bought_weight"] == 1).all()
        assert blobs["page"][:, 0].tolist() == [0] * 20
        assert blobs["label"].tolist() == blobs["page"][:, -1].tolist()


def test_an_earlier_run_leaves_nothing_behind(tmp_path: Path, log: Path):
    build([log], tmp_path / "out", spec(), Options(division=Division(valid_share=0.25)))
    build([log], tmp_path / "out", spec(), Options())
    assert not (tmp_path / "out/valid.h5").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "out"]


def test_ids_go_by_frequency_in_the_training_part_then_by_label(tmp_path: Path):
    rows = [("u", "1", 1.0 + i, page, "view") for i, page in enumerate(["b", "a", "c", "c", "b"])]
    rows += [("u", "2", 100.0 + i, page, "view") for i, page in enumerate(["z", "a", "y", "c"])]
    meta = build(
        [log_of(tmp_path / "l.csv", rows)],
        tmp_path / "o",
        spec(data={"target": "next"}),
        Options(division=Division(share=0.5)),
    )
    assert (tmp_path / "o/pages.txt").read_text().split() == ["b", "c", "a"]
    assert meta["vocabulary"] == {"pages": 3, "items": 3}
    with h5py.File(tmp_path / "o/test.h5") as file:
        # z, a, y, c: z and y have no id. Every later page is a row; what was seen counts the known pages only.
        assert file["sessions/page"][:].tolist() == [0, 3, 0, 2]
        assert file["label"][:].tolist() == [3, 0, 2]
        assert file["rows/unknown"][:].tolist() == [0, 1, 0]
        assert file["rows/position"][:].tolist() == [0, 1, 1]
        assert file["page"][:].tolist() == [[0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 3]]


@pytest.mark.parametrize(
    ("division", "known"),
    [
        (Division(share=0.5), {"a", "b", "seen"}),  # session 4 begins after session 2, the first one held out
        (Division(folds=2, fold=1, seed=4), {"a", "b", "seen"}),  # tests on w; the other fold on u
        (Division(folds=2, fold=0, seed=4), {"b", "later"}),
    ],
    ids=["by time", "not w's", "not u's"],
)
def test_pages_of_training_sessions_without_a_purchase_are_known(tmp_path: Path, division: Division, known):
    rows = [("u", "1", 1.0, "a", "view"), ("u", "1", 2.0, "b", "view"), ("u", "1", 3.0, "b", "buy")]
    rows += [("w", "2", 1e6, "b", "view"), ("w", "2", 1e6 + 1, "b", "buy")]
    rows += [("u", "3", 50.0, "seen", "view"), ("w", "4", 2e6, "later", "view")]
    build([log_of(tmp_path / "l.csv", rows)], tmp_path / "o", spec(), Options(division=division))
    assert set((tmp_path / "o/pages.txt").read_text().split()) == known


def test_min_support_drops_rare_pages_of_the_training_part(tmp_path: Path):
    rows = [("u", "1", 1.0 + i, page, "view") for i, page in enumerate("abcab")]
    rows += [("u", "2", 100.0 + i, page, "view") for i, page in enumerate("xy")]
    rows += [("u", "3", 200.0 + i, page, "view") for i, page in enumerate("ab")]
    options = Options(division=Division(share=1 / 3), min_support=2)
    meta = build([log_of(tmp_path / "l.csv", rows)], tmp_path / "o", spec(data={"target": "next"}), options)
    assert (tmp_path / "o/pages.txt").read_text().split() == ["a", "b"]
    sessions = read_sessions(tmp_path / "o/train.h5")
    assert sessions.page.tolist() == [1, 2, 1, 2]
    assert sessions.dwell.tolist() == [1, 1, 1, 1]
    assert meta["splits"]["train"] == {"sessions": 1, "rows": 3}


def lines(path: Path) -> list[str]:
    return path.read_text().split()


# Trains on session 1 and tests on session 2; session 3 begins after it and gives no row.
CATALOGUE = [("u", "1", 1.0 + i, page, "view") for i, page in enumerate(["b", "a", "b", "c"])]
CATALOGUE += [("u", "1", 9.0, "a", "buy")]
CATALOGUE += [("w", "2", 100.0, "z", "view"), ("w", "2", 101.0, "b", "view"), ("w", "2", 102.0, "y", "buy")]
CATALOGUE += [("v", "3", 200.0, "x", "view"), ("v", "3", 201.0, "cart", "other")]


@pytest.mark.parametrize("target", ["purchase", "next"])
def test_the_whole_logs_catalogue_follows_the_training_parts_ids(tmp_path: Path, target: str):
    log, of = log_of(tmp_path / "l.csv", CATALOGUE), spec(data={"target": target})
    meta = build([log], tmp_path / "o", of, Options(division=Division(share=0.5), vocabulary="all"))
    # Of the purchase's training part: a and b twice, c once; of next's: b twice. The rest by label, and no cart.
    first = ["a", "b", "c"] if target == "purchase" else ["b", "a", "c"]
    assert lines(tmp_path / "o/pages.txt") == lines(tmp_path / "o/items.txt") == [*first, "x", "y", "z"]
    assert meta["ids"] == {"from": "all"}
    with h5py.File(tmp_path / "o/test.h5") as file:
        assert file["sessions/page"][:].tolist() == [6, first.index("b") + 1]
        assert file["label"][:].tolist() == ([5] if target == "purchase" else [1])
        assert file["rows/unknown"][:].tolist() == [0]


def test_held_out_sessions_tell_the_catalogue_nothing_but_labels(tmp_path: Path):
    """However often, in what order and by whom they are seen, the ids are the same."""
    options = Options(division=Division(share=0.5), vocabulary="all")
    build([log_of(tmp_path / "l.csv", CATALOGUE)], tmp_path / "o", spec(), options)
    again = [("w", "2", 100.5 + i / 100, page, "view") for i, page in enumerate(["x", "x", "c", "c", "c", "y"])]
    build([log_of(tmp_path / "m.csv", [*CATALOGUE, *again])], tmp_path / "p", spec(), options)
    for name in ("train.h5", "pages.txt", "items.txt"):
        assert (tmp_path / "o" / name).read_bytes() == (tmp_path / "p" / name).read_bytes()


def test_two_targets_share_the_ids_of_a_folder(tmp_path: Path):
    log, division = log_of(tmp_path / "l.csv", CATALOGUE), Division(share=0.5)
    build([log], tmp_path / "next", spec(data={"target": "next"}), Options(division=division))
    meta = build([log], tmp_path / "buy", spec(), Options(division=division, vocabulary=tmp_path / "next"))
    assert meta["ids"] == {"from": "folder", "folder": "next"}
    assert meta["vocabulary"] == {"pages": 3, "items": 3}
    for name in ("pages.txt", "items.txt"):
        assert lines(tmp_path / "buy" / name) == lines(tmp_path / "next" / name) == ["b", "a", "c"]
    with h5py.File(tmp_path / "buy/train.h5") as train, h5py.File(tmp_path / "buy/test.h5") as test:
        assert (train["sessions/page"][:].tolist(), train["label"][:].tolist()) == ([1, 2, 1, 3], [2])
        # z and y are unknown, as they would be to the training part.
        assert (test["sessions/page"][:].tolist(), test["label"][:].tolist()) == ([0, 1], [0])
        assert test["rows/unknown"][:].tolist() == [1]


def test_labels_that_a_given_vocabulary_lacks_fall_out_of_the_training_part(tmp_path: Path):
    log, division = log_of(tmp_path / "l.csv", CATALOGUE), Division(share=0.5)
    for name in ("pages.txt", "items.txt"):
        (tmp_path / name).write_text("other\na\nc\n")
    build([log], tmp_path / "o", spec(), Options(division=division, vocabulary=tmp_path))
    sessions = read_sessions(tmp_path / "o/train.h5")
    assert (sessions.page.tolist(), sessions.label.tolist()) == ([2, 3], [2])
    for name in ("pages.txt", "items.txt"):
        (tmp_path / name).write_text("other\nb\n")
    with pytest.raises(DataError, match=r"the train part is empty: .* with the ids of .*; is that of another log\?"):
        build([log], tmp_path / "o", spec(), Options(division=division, vocabulary=tmp_path))


def test_a_vocabulary_that_cannot_be_taken_is_refused(tmp_path: Path):
    log, given = log_of(tmp_path / "l.csv", CATALOGUE), tmp_path / "given"
    options = Options(division=Division(share=0.5), vocabulary=given)

    def refusal(**changes) -> str:
        with pytest.raises(DataError) as caught:
            build([log], tmp_path / "out", spec(**changes), options, "s.yaml")
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert "it holds no pages.txt; name a folder that drn sessions wrote, train or all" in refusal()
    given.mkdir()
    (given / "pages.txt").write_text("a\nb\n")
    assert "it holds no items.txt" in refusal()
    (given / "items.txt").write_text("b\na\n")
    assert "pages.txt and items.txt differ, but target purchase with pages by item and items by item" in refusal()
    (given / "items.txt").write_text("a\nb\n")
    assert f"the vocabulary of {given} has 2 pages but spec s.yaml allows 1: set pages: 2\n" in refusal(
        pages=1, items=1, top_k=1
    )
    (given / "meta.json").write_text('{"levels": {"page": "item", "item": "category"}}')
    assert "its ids are of levels page item, item category, but the spec says page item, item item" in refusal()
    (given / "meta.json").write_text("{")
    assert "cannot read" in refusal()
    for vocabulary in ("all", given):
        with pytest.raises(DataError, match="--min-support is for the vocabulary of the training part: leave it out"):
            Options(vocabulary=vocabulary, min_support=2)


def test_a_log_without_times_holds_out_the_same_sessions_for_both_targets(tmp_path: Path):
    rows = [(None, f"s{i}", None, page, "view") for i in range(300) for page in ("a", f"p{i}")[: 1 + i % 2]]
    rows += [(None, f"s{i}", None, "a", "buy") for i in range(0, 300, 3)]
    frame = pl.DataFrame(rows, schema=["user", "session", "time", "page", "event"], orient="row").drop("user", "time")
    frame.with_columns(page=pl.when(event="buy").then(pl.col("session")).otherwise("page")).write_csv(
        tmp_path / "l.csv"
    )
    held_out = {}
    for target in ("purchase", "next"):
        options = Options(division=Division(share=0.3, valid_share=0.2), vocabulary="all")
        meta = build([tmp_path / "l.csv"], tmp_path / target, spec(data={"target": target}), options)
        assert meta["sessions"]["with_a_row"] == {"purchase": 100, "next": 150}[target]
        labels = Vocabulary.read(tmp_path / target / "pages.txt")
        held_out[target] = {}
        for part in ("train", "valid", "test"):
            sessions = read_sessions(tmp_path / target / f"{part}.h5")
            # Of a session with a row for both targets, the page seen second is no other session's.
            pages = {labels.label(page) for page in sessions.page[sessions.page > 0]} - {"a"}
            held_out[target] |= dict.fromkeys(pages, part)
    both = held_out["purchase"].keys() & held_out["next"].keys()
    assert len(both) == 50
    assert {held_out["next"][page] for page in both} == {"train", "valid", "test"}
    assert all(held_out["purchase"][page] == held_out["next"][page] for page in both)


def test_a_session_whose_first_event_names_no_user_is_held_out_with_that_user(tmp_path: Path):
    rows = []
    for i in range(40):
        rows += [("u", f"a{i}", 1.0 + 10 * i, "a", "view"), ("u", f"a{i}", 2.0 + 10 * i, "b", "view")]
        rows += [(None, f"b{i}", 1.0 + 10 * i, "a", "view"), ("u", f"b{i}", 2.0 + 10 * i, "b", "view")]
    rows += [(f"w{i}", f"c{i}", 1.0 + step, "a", "view") for i in range(20) for step in range(2)]
    options = Options(division=Division(folds=2, fold=0))
    log = log_of(tmp_path / "l.csv", rows)
    # All eighty sessions of u fall on one side.
    meta = build([log], tmp_path / "o", spec(data={"target": "next"}), options)
    assert max(part["sessions"] for part in meta["splits"].values()) >= 80


def test_pages_and_items_at_different_levels_have_their_own_vocabularies(tmp_path: Path):
    frame = pl.DataFrame(
        {
            "session": ["1", "1", "1", "2", "2"],
            "time": [1.0, 2.0, 3.0, 50.0, 60.0],
            "page": ["home", "p1", "p1", "p1", "p2"],
            "event": ["view", "view", "buy", "view", "buy"],
            "category": [None, "c1", "c1", "c1", "c2"],
        }
    )
    frame.write_parquet(tmp_path / "l.parquet")
    categories = spec(data={"page": "item", "item": "category"})
    meta = build([tmp_path / "l.parquet"], tmp_path / "o", categories, Options(division=Division(share=0.5)))
    assert not meta["shared_vocabulary"]
    assert (tmp_path / "o/pages.txt").read_text().split() == ["home", "p1"]
    assert (tmp_path / "o/items.txt").read_text().split() == ["c1"]
    with h5py.File(tmp_path / "o/test.h5") as file:
        assert (file["label"][:].tolist(), file["rows/unknown"][:].tolist()) == ([0], [1])
    other = spec(data={"page": "category", "item": "item"})
    meta = build([tmp_path / "l.parquet"], tmp_path / "o", other, Options(division=Division(share=0.5)))
    assert meta["skipped"] == {"view without a category": 1}
    frame.drop("category").write_parquet(tmp_path / "l.parquet")
    with pytest.raises(DataError, match=r"no category for any view: set data\.page: item"):
        build([tmp_path / "l.parquet"], tmp_path / "o", other, Options())


def test_a_vocabulary_that_the_spec_has_no_room_for(tmp_path: Path, log: Path):
    with pytest.raises(DataError) as caught:
        build([log], tmp_path / "out", spec(pages=5, items=6, top_k=1), Options(), "small.yaml")
    assert str(caught.value) == (
        "the log has 7 pages but spec small.yaml allows 5: set pages: 7 (or --min-support)\n"
        "the log has 7 items but spec small.yaml allows 6: set items: 7 (or --min-support)"
    )
    assert not (tmp_path / "out").exists()


def test_logs_that_give_no_rows(tmp_path: Path):
    views = log_of(tmp_path / "views.csv", [("u", "s", 1.0, "a", "view"), ("u", "t", 2.0, "a", "view")])
    with pytest.raises(DataError, match="none has a view before its first purchase"):
        build([views], tmp_path / "out", spec(), Options())
    with pytest.raises(DataError, match="none has two views"):
        build([views], tmp_path / "out", spec(data={"target": "next"}), Options())
    one = log_of(tmp_path / "one.csv", [("u", "s", 1.0, "a", "view"), ("u", "s", 2.0, "a", "buy")])
    with pytest.raises(DataError, match="the test part is empty"):
        build([one], tmp_path / "out", spec(), Options(division=Division(share=0.1)))
    assert not (tmp_path / "out").exists()


def test_a_net_gets_as_many_purchases_as_its_spec_says(tmp_path: Path):
    """One user of 400 sessions, each with a purchase: more than a folder keeps of itself."""
    visits = [("u", f"s{s}", 86400.0 * s, f"p{s % 50}", kind) for s in range(400) for kind in ("view", "buy")]
    log = log_of(tmp_path / "log.csv", [(u, s, t + (kind == "buy"), p, kind) for u, s, t, p, kind in visits])
    for kept, name in ((300, "wide"), (5, "narrow")):
        build([log], tmp_path / name, spec(fnn={"bought": kept, "widths": [2]}), Options(division=Division(share=0.01)))
    with Split(tmp_path / "wide/test.h5") as split:
        assert np.count_nonzero(split.load(["bought_weight"])["bought_weight"][-1]) == 300
    other = spec(fnn={"bought": 280, "widths": [2]})
    assert rewindow(tmp_path / "wide/test.h5", tmp_path / "again.h5", other) == 4
    rewindow(tmp_path / "again.h5", tmp_path / "twice.h5", spec(fnn={"bought": 300, "widths": [2]}))
    with Split(tmp_path / "wide/test.h5") as one, Split(tmp_path / "twice.h5") as two:
        np.testing.assert_array_equal(one.load(["bought"])["bought"], two.load(["bought"])["bought"])
    with pytest.raises(DataError, match=r"hold the newest 256 purchases of a user, but .* fnn.bought: 280"):
        rewindow(tmp_path / "narrow/test.h5", tmp_path / "more.h5", other)


def test_the_same_log_gives_the_same_bytes_in_any_order_of_rows(tmp_path: Path, log: Path):
    shuffled = pl.read_csv(log).sample(fraction=1, shuffle=True, seed=3)
    shuffled.write_csv(tmp_path / "shuffled.csv")
    build([log], tmp_path / "a", spec(), Options())
    build([tmp_path / "shuffled.csv"], tmp_path / "b", spec(), Options())
    for name in ("train.h5", "test.h5", "pages.txt", "items.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


LIMITED = """
import resource, sys
from pathlib import Path
from generator.data.build import Options, build
from generator.errors import DataError
from generator.spec.schema import Spec

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    build([Path(sys.argv[1])], Path(sys.argv[2]), Spec.model_validate_json(sys.argv[3]), Options())
except DataError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits on the size of files are POSIX")
def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path, log: Path, root: Path):
    small = build([log], tmp_path / "out", spec(), Options())
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    wide = spec(rnn={"window": 200, "widths": [2], "history": 0})
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(log), str(tmp_path / "out"), wide.model_dump_json()],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write train.h5" in done.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "out"]
    assert small["splits"]["train"]["rows"] == 80


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(drn, ["sessions", *arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_command_prints_a_summary_or_json(tmp_path: Path, log: Path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(BASE))
    common = [str(log), "--spec", str(tmp_path / "spec.yaml"), "-o", str(tmp_path / "out")]
    code, text = run(*common, "--test-share", "0.1")
    assert code == 0
    assert "train, rows" in text
    assert "90" in text
    code, text = run(*common, "--folds", "5", "--fold", "1", "--format", "json")
    assert code == 0
    assert json.loads(text) == json.loads((tmp_path / "out/meta.json").read_text())
    assert json.loads(text)["division"]["test"] == {"by": "users", "folds": 5, "fold": 1}
    assert json.loads(text)["ids"] == {"from": "train"}
    again = [*common[:-1], str(tmp_path / "again"), "--format", "json", "--vocabulary"]
    assert json.loads(run(*again, "all")[1])["ids"] == {"from": "all"}
    assert json.loads(run(*again, str(tmp_path / "out"))[1])["ids"] == {"from": "folder", "folder": "out"}


def test_sessions_of_the_log_that_are_in_the_test_files_too_are_told(tmp_path: Path):
    def events(session: str) -> list[tuple]:
        return [("u", session, 1.7e9 + 100 * ord(session) + i, page, "view") for i, page in enumerate("abc")]

    log = log_of(tmp_path / "log.csv", [*events("r"), *events("s")])
    test = log_of(tmp_path / "test.csv", [*events("s"), *events("t")])
    for strict, train in ((False, 2), (True, 1)):
        division = Division(files=True, strict=strict)
        meta = build([log], tmp_path / "o", spec(data={"target": "next"}), Options(test=[test], division=division))
        assert meta["sessions"]["in_the_test_files_too"] == 1
        assert {name: split["sessions"] for name, split in meta["splits"].items()} == {"train": train, "test": 2}
    said = DataFolder(tmp_path / "o", meta).notes()
    assert said[0] == "times from 2023-11-15T01:23:20+00:00 to 2023-11-15T01:26:42+00:00, numbers in s"
    assert said[1] == "1 sessions of the log are in the test files too: left out"


def test_repeats_are_dropped_by_item_whatever_the_level(tmp_path: Path):
    visits = ((0, "a"), (1, "a"), (2, "b"), (90, "a"), (7200, "a"), (7201, "b"))
    rows = [f"u,{1700000000 + t},{page},c" for t, page in visits]
    (tmp_path / "log.csv").write_text("user,time,page,category\n" + "\n".join(rows) + "\n")
    levels = {"target": "next", "page": "category"}
    options = Options(drop_repeats=2, division=Division(share=0.5))
    meta = build([tmp_path / "log.csv"], tmp_path / "o", spec(data=levels), options)
    assert meta["skipped"] == {"repeated": 1}
    assert read_sessions(tmp_path / "o/train.h5").lengths.tolist() == [3]


def test_the_command_knows_every_format():
    (option,) = (each for each in command.params if each.name == "form")
    assert tuple(option.type.choices) == FORMAT_NAMES


def test_the_command_says_what_is_wrong(tmp_path: Path, log: Path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(BASE))
    common = [str(log), "--spec", str(tmp_path / "spec.yaml"), "-o", str(tmp_path / "out")]
    assert run(*common, "--columns", "page")[0] == 2
    assert run(*common, "--log-format", "netflix")[0] == 2
    with pytest.raises(DataError, match="--events has 'purchase=buy': write KIND=word,word"):
        run(*common, "--events", "purchase=buy")
    with pytest.raises(DataError, match="exclude each other"):
        run(*common, "--test-days", "1", "--test-users", "0.5")
    assert not (tmp_path / "out").exists()


def test_taobao(shared_data: Path, tmp_path: Path):
    log = shared_data / "taobao" / "UserBehavior.csv.gz"
    categories = spec(data={"page": "category", "item": "category"})
    meta = build([log], tmp_path / "o", categories, Options("taobao", division=Division(folds=5, fold=0)))
    assert meta["events"] == {"rows": 94436, "view": 84879, "buy": 1956, "other": 7601}
    assert meta["sessions"]["all"] == 15794
    assert meta["sessions"]["with_a_row"] == 921
    assert meta["splits"]["train"]["rows"] + meta["splits"]["test"]["rows"] == 921


def test_the_catalogue_of_taobao_leaves_no_item_unknown(shared_data: Path, tmp_path: Path):
    """Ranking a session's categories by how often it viewed them, then the popular: MRR@20 .6658, worked out apart."""
    log = shared_data / "taobao" / "UserBehavior.csv.gz"
    categories = spec(data={"page": "category", "item": "category"})
    ranks, unknown = [], {"train": 0, "all": 0}
    for fold in range(5):
        for vocabulary in ("train", "all"):
            options = Options("taobao", division=Division(folds=5, fold=fold), vocabulary=vocabulary)
            build([log], tmp_path / "o", categories, options)
            sessions = read_sessions(tmp_path / "o/test.h5")
            unknown[vocabulary] += int((sessions.label == 0).sum())
        sold = Counter(read_sessions(tmp_path / "o/train.h5").label.tolist())
        for label, begin, end in zip(sessions.label, sessions.offset, sessions.offset[1:], strict=False):
            views = sessions.page[begin:end].tolist()
            ranked = sorted(set(views), key=lambda page: (-views.count(page), views[::-1].index(page)))
            ranked += [item for item, _ in sold.most_common() if item not in ranked]
            ranks.append(ranked.index(label) + 1 if label in ranked else np.inf)
    assert len(ranks) == 921
    assert unknown["all"] == 0
    assert unknown["train"] / 921 == pytest.approx(0.08, abs=0.01)
    assert np.mean([1 / rank if rank <= 20 else 0 for rank in ranks]) == pytest.approx(0.6658, abs=0.002)


def test_yoochoose_100k(shared_data: Path, tmp_path: Path):
    folder = shared_data / "yoochoose-100k"
    options = Options("session-rec", test=[folder / "test.tsv.gz"], division=Division(files=True))
    meta = build([folder / "train_full.tsv.gz"], tmp_path / "o", spec(data={"target": "next"}), options)
    assert meta["vocabulary"] == {"pages": 2933, "items": 2933}
    assert meta["splits"]["test"]["rows"] == 10152
    assert meta["events"]["rows"] == 70278 + 13568
    with Split(tmp_path / "o/test.h5") as split:
        assert not split.load(["rows/unknown"])["rows/unknown"].any()


def test_retail_beh(shared_data: Path, tmp_path: Path):
    logs = sorted((shared_data / "retail_beh").glob("*.inter.gz"))
    meta = build(logs, tmp_path / "o", spec(), Options("recbole", division=Division(share=0.2)))
    assert meta["events"]["rows"] == 30690 + 2000
    assert meta["skipped"] == {"duplicate": 32690 - 15613}
    # The log has no times, so a hash decides; four standard deviations of as many draws.
    rows = meta["sessions"]["with_a_row"]
    assert meta["splits"]["test"]["rows"] == pytest.approx(0.2 * rows, abs=4 * (0.16 * rows) ** 0.5)
    sessions = read_sessions(tmp_path / "o/test.h5")
    assert np.isnan(sessions.start).all()
    assert (sessions.dwell == 1).all()
    # Ranking a session's views by recency puts the item bought first in .42 of the sessions (data/README.md).
    last = sessions.page[sessions.offset[1:] - 1]
    assert np.mean(last == sessions.label) == pytest.approx(0.42, abs=0.03)
