"""A data folder is replaced whole or not at all, whatever stops the run; what dead runs left goes."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data.test_build import log, spec  # noqa: F401 - a fixture

from generator.api.logs import DataFolder
from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.store import folder as folders
from generator.data.store.folder import beside, publish
from generator.data.store.split import Split, read_sessions
from generator.errors import DataError
from generator.jobs.locks import locked

NAMES = ("a.txt", "b.txt", "c.txt").__contains__


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / f"{name}.txt").write_text(text)
    return path


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_folder_takes_the_place_of_another(tmp_path: Path):
    old = folder_of(tmp_path / "out", a="1", b="1")
    before = old.stat().st_ino
    publish(folder_of(tmp_path / "new", a="2", c="2"), old, NAMES)
    assert held(old) == {"a.txt": "2", "c.txt": "2"}
    assert old.stat().st_ino != before  # one rename
    publish(folder_of(tmp_path / "first", a="3"), tmp_path / "absent", NAMES)
    assert held(tmp_path / "absent") == {"a.txt": "3"}


@pytest.mark.parametrize("why", ["others", "here", "no exchange"])
def test_files_are_moved_where_a_folder_cannot_be(tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch):
    old = folder_of(tmp_path / "out", a="1", b="1", **({"mine": "x"} if why == "others" else {}))
    if why == "here":
        monkeypatch.chdir(old)
    if why == "no exchange":
        monkeypatch.setattr(folders, "EXCHANGE", 1 << 30)  # a flag that no kernel knows
    before = old.stat().st_ino
    publish(folder_of(tmp_path / "new", a="2", c="2"), old, NAMES)
    assert held(old) == {"a.txt": "2", "c.txt": "2"} | ({"mine.txt": "x"} if why == "others" else {})
    assert old.stat().st_ino == before


def test_a_folder_half_replaced_is_refused_until_it_is_made_again(tmp_path: Path, log: Path):  # noqa: F811
    out = tmp_path / "out"
    build([log], out, spec(), Options())
    (out / "notes.md").write_text("mine")
    (out / "train.h5").unlink()
    (out / "train.h5").mkdir()  # what no file can replace
    with pytest.raises(DataError, match="cannot write"):
        build([log], out, spec(), Options(division=Division(share=0.5)))
    for read in (Split, read_sessions):
        with pytest.raises(DataError, match="stopped while it replaced these files"):
            read(out / "test.h5")
    with pytest.raises(DataError, match="run it again"):
        Vocabulary.read(out / "pages.txt")
    (out / "train.h5").rmdir()
    build([log], out, spec(), Options())
    assert len(Vocabulary.read(out / "pages.txt")) == 7
    assert (out / "notes.md").read_text() == "mine"


def test_what_a_dead_run_left_goes_and_what_a_living_one_makes_stays(tmp_path: Path):
    """A process is killed in the folder beside; another still holds its own."""
    code = (
        "import os, signal, sys; from pathlib import Path; from generator.data.store.folder import beside\n"
        "with beside(Path(sys.argv[1])) as place:\n"
        "    (place / 'train.h5').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False).returncode == -9
    (dead,) = tmp_path.iterdir()
    with beside(tmp_path / "out") as living:
        assert not dead.exists()
        with beside(tmp_path / "out") as other:
            assert living.is_dir()
            assert other != living
    assert list(tmp_path.iterdir()) == []


def test_a_lock_in_use_is_left_alone(tmp_path: Path):
    left = tmp_path / ".out.making-1"
    with locked(left), beside(tmp_path / "out"):
        assert left.is_dir()


def test_most_test_rows_of_unknown_labels_are_told(tmp_path: Path):
    pages = ["ab"] * 5 + ["xy"] * 5
    rows = [f"u{u},{1700000000 + 7200 * u + i},{page}" for u in range(10) for i, page in enumerate(pages[u])]
    (tmp_path / "log.csv").write_text("user,time,page\n" + "\n".join(rows) + "\n")
    options = Options(division=Division(share=0.5))
    meta = build([tmp_path / "log.csv"], tmp_path / "o", spec(data={"target": "next"}), options)
    assert meta["unknown_labels"] == {"test": 5}
    assert "5 of 5 test rows ask for what training never saw" in DataFolder(tmp_path / "o", meta).notes()[-1]


def read_all(path: Path) -> None:
    with Split(path) as split:
        split.sessions()
        split.load()
        split.load([f"rows/{name}" for name in ("session", "position", "unknown")])
        split.gather(np.array([0, split.rows - 1]))
        list(split.labels(7))
        assert len(split) >= 0
    read_sessions(path)


@pytest.mark.parametrize("kept", ["bytes", "zeros", "length"])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, log: Path, kept: str):  # noqa: F811
    build([log], tmp_path / "out", spec(), Options())
    whole = (tmp_path / "out/test.h5").read_bytes()
    draw, damaged = random.Random(1), tmp_path / "damaged.h5"
    errors = 0
    for _ in range(150):
        place = draw.randrange(min(len(whole), 30_000))
        if kept == "length":
            content = whole[:place]
        else:
            put = bytes(8) if kept == "zeros" else bytes([whole[place] ^ 1 << draw.randrange(8)])
            content = whole[:place] + put + whole[place + len(put) :]
        damaged.write_bytes(content)
        try:
            read_all(damaged)
        except DataError as error:
            errors += 1
            assert "damaged.h5" in str(error)
    assert errors > 0


def test_no_rights_to_write_is_one_error_and_leaves_the_folder(tmp_path: Path, log: Path):  # noqa: F811
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    build([log], tmp_path / "in/out", spec(), Options())
    (tmp_path / "in").chmod(0o500)
    try:
        with pytest.raises(DataError, match="cannot write"):
            build([log], tmp_path / "in/out", spec(), Options())
    finally:
        (tmp_path / "in").chmod(0o700)
        shutil.rmtree(tmp_path / "in")
