"""`drn sessions --from`: from purchases served over HTTP to a trained model, by the commands alone."""

import json
import sqlite3
import subprocess
import sys

import h5py
import pytest
from served import Drn, free_port

from generator.model.model import Model
from generator.model.query import Query
from generator.serving.store.open import open_store

SPEC = """\
name: shop
net: combined
pages: 40
items: 40
top_k: 5
rnn: {window: 3, widths: [8], history: 4}
fnn: {bought: 3, widths: [8]}
solver: {batch_size: 16, base_lr: 0.3, max_iter: 100, clip_gradients: 1}
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(SPEC)
    return path


def drn(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "generator", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_served_purchases_are_trained_on(repository, store_url, spec, tmp_path):
    server = Drn(repository, store_url)
    for session in range(60):
        item, user, moment = session % 7 + 1, f"u{session % 9}", 1000.0 * session
        server.visit(f"s{session}", "p30", user=user, time=moment)
        server.visit(f"s{session}", f"p{item}", user=user, time=moment + 10)
        bought = {"item": f"p{item}", "user": user, "time": moment + 20}
        assert server("POST", f"/v1/sessions/s{session}/purchases", bought)[0] == 200
    data = tmp_path / "data"
    made = drn("sessions", "--from", store_url, "--spec", spec, "-o", data, "--test-share", 0.25, "--format", "json")
    said = [line for line in made.stderr.splitlines() if not line.startswith("sessions ")]  # progress, after 2 s
    assert (made.returncode, said) == (0, [])
    meta = json.loads(made.stdout)
    assert meta["events"] == {"rows": 180, "view": 120, "buy": 60, "other": 0}
    assert meta["splits"] == {"train": {"sessions": 45, "rows": 45}, "test": {"sessions": 15, "rows": 15}}
    assert server.stop() == 0
    pages = ["", *(data / "pages.txt").read_text().split()]
    items = ["", *(data / "items.txt").read_text().split()]
    with h5py.File(data / "test.h5") as file:
        assert [pages[page] for page in file["page"][0]] == ["", "p30", "p4"]  # session 45: 45 % 7 + 1
        assert items[int(file["label"][0])] == "p4"
    trained = drn("train", spec, "--data", data, "-o", tmp_path / "run", "--threads", 1)
    assert trained.returncode == 0, trained.stderr
    (answer,) = Model(tmp_path / "run").recommend([Query([("p30", 10), ("p4", 1)])])
    assert answer.items[0][0] == "p4"


def test_dwell_times_that_clients_say_are_trained_on(repository, store_url, spec, tmp_path):
    """A session of six visits, three of them in the history, aged by hand as in section 3 of the paper."""
    server = Drn(repository, store_url)
    said = [
        30,
        None,
        0.5,
        7,
        None,
        12,
    ]  # the second lasts until the third, 10 s later; less than a second counts as one
    for session in range(8):
        user, moment = f"u{session}", 1000.0 * session
        for place, dwell in enumerate(said):
            known = {} if dwell is None else {"dwell": dwell}
            server.visit(f"s{session}", f"p{place + 1}", user=user, time=moment + 10 * place, **known)
        server("POST", f"/v1/sessions/s{session}/purchases", {"item": "p1", "user": user, "time": moment + 99})
    seen = server("GET", "/v1/sessions/s7")[1]
    server.stop()
    data = tmp_path / "data"
    made = drn("sessions", "--from", store_url, "--spec", spec, "-o", data, "--test-share", 0.25)
    assert made.returncode == 0, made.stderr
    aged = [30 / (30 + 10 + 1), 10 / (10 + 1), 1]
    with h5py.File(data / "test.h5") as file:
        assert file["history_weight"][-1].tolist() == pytest.approx([0, *aged])
    assert [one["weight"] for one in seen["history"]] == pytest.approx(aged)


def test_what_gives_no_data_is_told(spec, tmp_path):
    log, out = tmp_path / "log.csv", tmp_path / "data"
    log.write_text("")
    url = f"sqlite:///{tmp_path}/drn.sqlite"

    def told(*options: object) -> str:
        found = drn("sessions", *options, "--spec", spec, "-o", out)
        assert found.returncode == 2
        assert "Traceback" not in found.stderr
        assert not out.exists()
        return found.stderr

    assert "one of the two" in told()
    assert "one of the two" in told(log, "--from", url)
    assert "leave --log-format" in told("--from", url, "--log-format", "taobao")
    assert "leave --log-format" in told("--from", url, "--columns", "page=url")
    assert "no such file" in told("--from", url)
    open_store(url).close()
    assert "no events yet" in told("--from", url)
    assert "no store" in told("--from", "redis://localhost")
    assert "MongoDB" in told("--from", f"mongodb://127.0.0.1:{free_port()}/x")
    (tmp_path / "other.sqlite").write_text("no database at all, just text that goes on for a while " * 30)
    assert "not a database" in told("--from", f"sqlite:///{tmp_path}/other.sqlite")
    with sqlite3.connect(tmp_path / "foreign.sqlite") as db:
        db.execute("CREATE TABLE events (what TEXT)")
    assert "foreign.sqlite" in told("--from", f"sqlite:///{tmp_path}/foreign.sqlite")
