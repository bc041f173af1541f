"""`drn sessions` from log to data folder: real logs, refusals, and no half-written folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import yaml
from click.testing import CliRunner

from generator.cli import drn
from generator.commands.sessions import FORMATS
from generator.data.blobs import Split
from generator.data.build import Options, build
from generator.data.importers import FORMAT_NAMES
from generator.data.splits import Division
from generator.data.vocabulary import Vocabulary
from generator.data.windows import read_sessions
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
from generator.commands.sessions import FORMATS
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


def test_the_command_knows_every_format():
    assert tuple(FORMATS) == FORMAT_NAMES


def test_the_command_says_what_is_wrong(tmp_path: Path, log: Path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(BASE))
    common = [str(log), "--spec", str(tmp_path / "spec.yaml"), "-o", str(tmp_path / "out")]
    assert run(*common, "--columns", "page")[0] == 2
    assert run(*common, "--log-format", "netflix")[0] == 2
    with pytest.raises(DataError, match="--gap is for logs without session ids"):
        run(*common, "--gap", "30")
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
    assert meta["splits"]["test"]["rows"] == round(0.2 * meta["sessions"]["with_a_row"])
    sessions = read_sessions(tmp_path / "o/test.h5")
    assert np.isnan(sessions.start).all()
    assert (sessions.dwell == 1).all()
    # Ranking a session's views by recency puts the item bought first in .42 of the sessions (data/README.md).
    last = sessions.page[sessions.offset[1:] - 1]
    assert np.mean(last == sessions.label) == pytest.approx(0.42, abs=0.03)
