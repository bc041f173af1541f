"""Formats told by header and first rows, columns by their names."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from data.log.test_importers import LAYOUTS, SEQUENCES

from generator.data.log.detect import detect, roles_of
from generator.data.log.sources import Frame


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_published_layout_is_told(tmp_path: Path, name: str):
    file, content, _ = LAYOUTS[name]
    (tmp_path / file).write_text(content)
    (tmp_path / (file + ".gz")).write_bytes(gzip.compress(content.encode()))
    assert detect(tmp_path / file) == detect(tmp_path / (file + ".gz")) == name.split(" ", maxsplit=1)[0]


def test_sequences_are_told(tmp_path: Path):
    (tmp_path / "a.inter").write_text(SEQUENCES)
    assert detect(tmp_path / "a.inter") == "recbole"


@pytest.mark.parametrize(
    "content",
    [
        "user,time,page,event\nu,1700000000,a,view\n",
        "visitor,ts,url,action\n" + "v1,1700000000000,x,view\n" * 50,  # as many columns as YooChoose's, and a header
        "1,2,3,4,5\n1,2,3,4,6\n",  # as many columns as Taobao's, but no behaviours
        '{"user": 1, "time": 1700000000, "page": "a"}\n',
        "user_id\titem_id\ttimestamp\n1\t2\t3\n",  # RecBole's columns name their types
    ],
)
def test_what_is_none_of_them_is_a_log_of_named_columns(tmp_path: Path, content: str):
    (tmp_path / "log.csv").write_text(content)
    assert detect(tmp_path / "log.csv") == "events"


def test_frames_have_named_columns():
    assert detect(Frame("frame", pl.DataFrame({"user": [1]}))) == "events"


def test_roles_are_guessed_by_name():
    assert roles_of(["Visitor_ID", "ts", "url", "price"]) == {"user": "Visitor_ID", "time": "ts", "page": "url"}
    assert roles_of(["session", "page", "item"]) == {"session": "session", "page": "page", "item": "item"}
    assert roles_of(["user_id", "item_id", "action_type"]) == {
        "user": "user_id",
        "page": "item_id",
        "event": "action_type",
    }
    assert roles_of(["a", "b"]) == {}
