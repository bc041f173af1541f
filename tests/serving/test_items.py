"""What the shop says of its items comes back with them, is read again when it changes, and says what may be shown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from served import ITEMS, Drn, wait_for

from generator.model.model import Model
from generator.model.query import Query
from generator.model.text import query_of_text

ASKED = "/v1/sessions/a/recommendations?k=20"


def write(file: Path, items, title="Item") -> None:
    beside = file.with_suffix(".new")
    lines = "".join(f'{item},"{title} {item}, <b>new</b>",{place}\n' for place, item in enumerate(items))
    beside.write_text("item,title,price\n" + lines)
    beside.replace(file)


def logged(drn, key: str) -> list[dict]:
    lines = [json.loads(line) for line in drn.lines if '"event": "items"' in line]
    return [line for line in lines if key in line]


@pytest.fixture
def file(tmp_path):
    found = tmp_path / "items.csv"
    write(found, [*ITEMS[:19], "unheard"])
    return found


def served(repository, tmp_path, file, *options):
    return Drn(repository, f"sqlite:///{tmp_path}/drn.sqlite", "--items", str(file), *options)


def test_metadata_comes_back_beside_the_ids(repository, tmp_path, file):
    server = served(repository, tmp_path, file)
    plain = Model(repository).recommend([Query([("p1", 1)])], 20)[0].items
    for answer in (
        server("POST", "/v1/sessions/a/visits?k=20", {"page": "p1"}),
        server("GET", ASKED),
    ):
        items = answer[1]["items"]
        assert [one["item"] for one in items] == [item for item, _ in plain]
        for one in items:
            place = ITEMS.index(one["item"])
            wanted = {"title": f"Item {one['item']}, <b>new</b>", "price": place} if place < 19 else None
            assert one.get("metadata") == wanted
    (line,) = logged(server, "items")
    assert (line["items"], line["unknown_to_model"], line["columns"]) == (20, 1, ["title", "price"])
    write(file, ITEMS[:10], "Thing")
    wait_for(lambda: "Thing" in str(server("GET", ASKED)[1]))
    items = server("GET", ASKED)[1]["items"]
    assert {one["item"] for one in items if "metadata" in one} == set(ITEMS[:10])
    assert server.stop() == 0


def test_a_file_that_does_not_hold_is_refused_once_and_the_last_one_stays(repository, tmp_path, file):
    server = served(repository, tmp_path, file)
    before = server("GET", ASKED)[1]
    file.write_text("item,title\na,x\na,y\n")
    wait_for(lambda: logged(server, "refused"))
    assert server("GET", ASKED)[1] == before
    file.unlink()
    wait_for(lambda: b'drn_chore_failures_total{chore="reload"}' in server("GET", "/metrics")[1])
    assert server("GET", ASKED)[1] == before
    (line,) = logged(server, "refused")
    assert line["refused"].endswith("row 3: the item 'a' is given twice")
    assert server.stop() == 0


def test_nothing_but_what_the_file_lists_is_recommended(repository, tmp_path, file):
    """Pages that nobody can buy, such as the home page, share the vocabulary of a shop's items."""
    sold = ITEMS[3:7]
    write(file, sold)
    server = served(repository, tmp_path, file, "--items-only")
    every = Model(repository).recommend([Query([("p1", 1)])], 20)[0].items
    items = server("POST", "/v1/sessions/a/visits?k=3", {"page": "p1"})[1]["items"]
    wanted = [one for one in every if one[0] in sold][:3]
    assert [one["item"] for one in items] == [item for item, _ in wanted]
    assert [one["probability"] for one in items] == pytest.approx([probability for _, probability in wanted])
    assert {one["item"] for one in server("GET", ASKED)[1]["items"]} == set(sold)
    assert [one["item"] for one in server("GET", "/v1/sessions/a/recommendations?only=i1&only=i5")[1]["items"]] == [
        "i5"
    ]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (None, ["--items", "nowhere.csv"], "nowhere.csv' does not exist"),
        ("item\na\n", [], "has 0 columns beside item"),
        (None, ["--items-only"], "--items-only needs --items"),
    ],
)
def test_a_server_does_not_start_with_a_file_that_does_not_hold(repository, tmp_path, text, options, said):
    if text is not None:
        (tmp_path / "items.csv").write_text(text)
        options = ["--items", str(tmp_path / "items.csv")]
    command = [sys.executable, "-m", "generator", "serve", str(repository), "--store", f"sqlite:///{tmp_path}/a.sqlite"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert said in done.stderr


def test_the_command_line_shows_it_too(repository, file):
    command = [sys.executable, "-m", "generator", "recommend", str(repository), "--items", str(file), "-k", "20"]
    shown = subprocess.run([*command, "--session", "p1"], capture_output=True, text=True, check=True).stdout
    assert "title" in shown
    assert "Item i1, <b>new</b>" in " ".join(shown.split())
    for given in ([*command, "--session", "p1", "--format", "json"], command):
        said = subprocess.run(given, input='{"session": ["p1"]}\n', capture_output=True, text=True, check=True).stdout
        items = json.loads(said)["items"]
        assert [one["metadata"]["price"] for one in items if one["item"] in ITEMS[:19]] == [
            ITEMS.index(one["item"]) for one in items if one["item"] in ITEMS[:19]
        ]
        assert [one["item"] for one in items if "metadata" not in one] == [ITEMS[19]]


def test_the_command_line_recommends_nothing_but_what_the_file_lists(repository, tmp_path):
    (tmp_path / "few.csv").write_text("item,title\n" + "".join(f"{item},It\n" for item in [*ITEMS[3:6], "elsewhere"]))
    command = [sys.executable, "-m", "generator", "recommend", str(repository), "--items-only"]
    one = [*command, "--items", str(tmp_path / "few.csv"), "--session", "p1", "--format", "json"]
    for given in (one, one[:-4]):  # a session, and the same in a line of stdin
        said = subprocess.run(given, input='{"session": ["p1"]}\n', capture_output=True, text=True, check=True).stdout
        whole = Model(repository).recommend([query_of_text("p1", "")], 20)[0].items
        got = [(each["item"], each["probability"]) for each in json.loads(said)["items"]]
        assert [item for item, _ in got] == [item for item, _ in whole if item in ITEMS[3:6]]
        assert dict(got) == pytest.approx({item: dict(whole)[item] for item, _ in got})
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (2, "Error: --items-only needs --items")
