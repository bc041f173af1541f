"""The served events become training data: the windows trained on are those that were served."""

import h5py
import numpy as np
import polars as pl
import pytest
from served import SPEC

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.errors import DataError
from generator.loop.export import events, write_events
from generator.model.query import Query
from generator.model.windows import input_blobs, window
from generator.serving.store.sessions import Event
from generator.spec.load import parse_spec


def course(sessions: int):
    """Views of drawn lengths and dwells, some out of order, then a purchase."""
    random = np.random.default_rng(7)
    number = 0
    for session in range(sessions):
        moment = session * 10_000.0
        told = []
        for _ in range(random.integers(1, 9)):
            number += 1
            page = f"p{random.integers(1, 9)}"
            dwell = [None, 0.25, float(random.integers(1, 90)), 1e9 / 3][number % 4]  # as clients say, or do not
            told.append(Event(f"s{session}", str(number), "view", page, moment, number, f"u{session % 5}", dwell))
            moment += int(random.integers(1, 50))
        number += 1
        random.shuffle(told)
        yield from told
        yield Event(f"s{session}", str(number), "buy", f"i{random.integers(1, 9)}", moment, number, f"u{session % 5}")


def test_what_was_served_is_what_is_trained_on(store, store_url, tmp_path):
    log = list(course(40))
    asked = {}
    for begin in range(0, len(log), 16):
        for one, state in zip(log[begin : begin + 16], store.record(log[begin : begin + 16]), strict=True):
            if one.kind == "buy":
                asked[one.session] = state.query()
    path = tmp_path / "events.parquet"
    assert write_events(store_url, path) == len(log)
    spec = parse_spec(SPEC.format(items=20), "shop.yaml")
    build([path], tmp_path / "data", spec, Options(division=Division(share=0.25)))
    from generator.data.sessions.vocabulary import Vocabulary

    pages, items = (Vocabulary.read(tmp_path / "data" / name) for name in ("pages.txt", "items.txt"))
    with h5py.File(tmp_path / "data" / "test.h5") as file:
        assert len(file["label"]) == 10
        sizes = {"page": 3, "history_page": 4, "history_weight": 4, "bought": 3, "bought_weight": 3}
        for row in range(10):
            served: Query = asked[f"s{30 + row}"]
            wanted = input_blobs([window(served, pages, items, sizes)], sizes)
            for name, values in wanted.items():
                np.testing.assert_array_equal(file[name][row], values[0])


def test_the_table_has_the_generic_columns(store, store_url):
    store.record(
        [
            Event("s", "1", "view", "a", 10.0, 1, "u"),
            Event("s", "2", "buy", "x", 12.5, 2),
            Event("s", "3", "view", "b", 13.0, 3, dwell=4.5),
        ]
    )
    none = {"item": None, "category": None, "dwell": None}
    assert events(store_url).to_dicts() == [
        none | {"user": "u", "session": "s", "time": 10.0, "page": "a", "event": "view"},
        none | {"user": None, "session": "s", "time": 12.5, "page": None, "event": "buy", "item": "x"},
        none | {"user": None, "session": "s", "time": 13.0, "page": "b", "event": "view", "dwell": 4.5},
    ]
    assert events(store_url).schema["user"] == pl.String


def test_a_store_without_events_is_told(store, store_url, tmp_path):
    with pytest.raises(DataError, match="no events"):
        events(store_url)
    with pytest.raises(DataError, match="no such file"):
        events(f"sqlite:///{tmp_path}/other.sqlite")
    assert not (tmp_path / "other.sqlite").exists()
