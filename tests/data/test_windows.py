"""Blobs of sessions against a slow reading of the definitions."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from windowed import row_of

from generator.data import windows
from generator.data.sessions.ragged import Sessions
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.stages.write import rewindow, write_split
from generator.data.store.split import Split, read_sessions
from generator.data.windows import blobs, rows_of
from generator.errors import DataError
from generator.model.query import Query
from generator.model.windows import input_blobs, window
from generator.spec.schema import Data, Fnn, Head, Mix, Rnn, Spec

PAGES, ITEMS = 9, 9


def sizes(n: int, h: int, k: int, seen: int = 0) -> dict[str, int]:
    return {"page": n, "history_page": h, "bought": k, "seen_page": seen}


def spec(window: int, history: int, bought: int, loss: str = "last", target: str = "purchase", seen: int = 0) -> Spec:
    return Spec(
        name="t",
        net="combined",
        pages=PAGES,
        items=ITEMS,
        rnn=Rnn(window=window, widths=[2], history=history),
        fnn=Fnn(bought=bought, widths=[2]),
        loss=loss,
        top_k=1,
        head=Head(mix=Mix(pages=seen, newest=1) if seen else None),
        data=Data(target=target),
    )


def sessions_of(pages, dwells, boughts, labels=None, training=False) -> Sessions:
    def flat(lists, kind):
        return np.array([value for values in lists for value in values], kind)

    def offset(lists):
        return np.append(0, np.cumsum([len(values) for values in lists])).astype(np.int64)

    return Sessions(
        offset=offset(pages),
        page=flat(pages, np.int32),
        dwell=flat(dwells, np.float32),
        bought_offset=offset(boughts),
        bought=flat(boughts, np.int32),
        start=np.arange(len(pages), dtype=np.float64),
        user=np.full(len(pages), -1, np.int32),
        label=None if labels is None else np.array(labels, np.int32),
        training=training,
    )


def right(values, width):
    kept = list(values)[-width:] if width else []
    return [0] * (width - len(kept)) + kept


def slow_inputs(pages, dwells, bought, window, history, kept):
    """The row of one session, read off the definition one number at a time."""
    states = [(p, max(d, 1.0)) for p, d in zip(pages, dwells, strict=True) if p > 0]
    fallen = states[: max(len(states) - window, 0)]
    factors = []
    for i, (_, theta) in enumerate(fallen):
        factors.append(theta / sum(t for _, t in fallen[i:]))
    return {
        "page": right([p for p, _ in states], window),
        "history_page": right([p for p, _ in fallen], history),
        "history_weight": right(factors, history),
        "bought": right(bought, kept),
        "bought_weight": right([1.0] * len(bought), kept),
    }


def slow_rows(pages, dwells, boughts, labels, training, the_spec):
    """Rows as (session, position, unknown, inputs, label)."""
    n, every = the_spec.window, the_spec.loss == "every"
    found = []
    for s, (page, dwell, bought) in enumerate(zip(pages, dwells, boughts, strict=True)):

        def inputs(upto, page=page, dwell=dwell, bought=bought):
            return slow_inputs(page[:upto], dwell[:upto], bought, n, the_spec.history, the_spec.bought)

        def seen(upto, page=page):
            return sum(p > 0 for p in page[:upto])

        if labels is not None:
            row = inputs(len(page))
            label = labels[s]
            if every:
                label = [labels[s] if p else 0 for p in row["page"][:-1]] + [labels[s]]
            found.append((s, seen(len(page)), labels[s] == 0, row, label))
        elif training and every:
            # Pages of training sessions are all known. Labels 1.. in runs of n; the row ends at the run's last state.
            for first in range(1, len(page), n):
                last = min(first + n, len(page))
                run = page[first:last]
                found.append((s, last - 1, False, inputs(last - 1), right(run, n)))
        else:
            for x in range(1, len(page)):
                label = [0] * (n - 1) + [page[x]] if every else page[x]
                found.append((s, seen(x), page[x] == 0, inputs(x), label))
    return found


@st.composite
def drawn(draw):
    training = draw(st.booleans())
    purchase = draw(st.booleans())
    lowest = 1 if training else 0
    pages = draw(st.lists(st.lists(st.integers(lowest, PAGES), min_size=1, max_size=12), min_size=1, max_size=6))
    dwells = [[draw(st.floats(1, 5000, width=32)) for _ in page] for page in pages]
    boughts = [draw(st.lists(st.integers(1, ITEMS), max_size=6)) for _ in pages]
    labels = [draw(st.integers(lowest, ITEMS)) for _ in pages] if purchase else None
    the_spec = spec(
        draw(st.integers(1, 4)),
        draw(st.integers(0, 5)),
        draw(st.integers(1, 4)),
        draw(st.sampled_from(["last", "every"])),
        "purchase" if purchase else "next",
    )
    return pages, dwells, boughts, labels, training, the_spec


@given(drawn())
@settings(max_examples=200, deadline=None)
def test_blobs_follow_the_definitions(case):
    pages, dwells, boughts, labels, training, the_spec = case
    sessions = sessions_of(pages, dwells, boughts, labels, training)
    rows = rows_of(sessions, the_spec.window, the_spec.loss)
    expected = slow_rows(*case)
    assert list(zip(rows.session, rows.position, rows.label == 0, strict=True)) == [row[:3] for row in expected]
    found = list(blobs(sessions, rows, the_spec))
    for name in expected[0][3] if expected else ():
        if the_spec.history or not name.startswith("history"):
            got = np.concatenate([part[name] for part in found])
            want = np.array([row[3][name] for row in expected])
            if name == "history_weight":
                np.testing.assert_allclose(got, want, rtol=1e-6)
            else:
                assert got.tolist() == want.tolist()
    if expected:
        assert np.concatenate([part["label"] for part in found]).tolist() == [row[4] for row in expected]


@given(drawn())
@settings(max_examples=50, deadline=None)
def test_every_label_of_a_training_session_is_trained_once(case):
    pages, dwells, boughts, _, _, the_spec = case
    pages = [[max(page, 1) for page in session] for session in pages]
    sessions = sessions_of(pages, dwells, boughts, training=True)
    rows = rows_of(sessions, the_spec.window, "every")
    every = spec(the_spec.window, the_spec.history, the_spec.bought, "every", "next")
    trained = [label for part in blobs(sessions, rows, every) for label in part["label"].reshape(-1) if label]
    assert trained == [page for session in pages for page in session[1:]]


@given(drawn())
@settings(max_examples=100, deadline=None)
def test_the_window_of_a_query_equals_its_row(case):
    pages, dwells, boughts, _, _, the_spec = case
    sessions = sessions_of(pages, dwells, boughts, [1] * len(pages))
    rows = rows_of(sessions, the_spec.window, "last")
    (whole,) = blobs(sessions, rows, spec(the_spec.window, the_spec.history, the_spec.bought, seen=4))
    columns = {name: values.shape[1] for name, values in whole.items() if name != "label"}
    pages_known, items_known = (Vocabulary([str(each) for each in range(1, count + 1)]) for count in (PAGES, ITEMS))
    for s, (page, dwell, bought) in enumerate(zip(pages, dwells, boughts, strict=True)):
        query = Query([(str(each), seconds) for each, seconds in zip(page, dwell, strict=True)], list(map(str, bought)))
        found = input_blobs([window(query, pages_known, items_known, columns)], columns)
        assert set(found) == set(whole) - {"label"}
        for name, blob in found.items():
            assert blob.dtype.kind == whole[name].dtype.kind
            np.testing.assert_array_equal(blob[0], whole[name][s])


def test_aging_factors_by_hand():
    # Collapsed states of 10, 30 and 60 seconds: 10/100, 30/90, 60/60.
    found = row_of([1, 2, 3, 4, 5], [10, 30, 60, 7, 1], [], sizes(2, 4, 1))
    assert found["page"].tolist() == [[4, 5]]
    assert found["history_page"].tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(found["history_weight"], [[0, 0.1, 1 / 3, 1]], rtol=1e-7)
    # Only the newest two are kept; their factors do not change.
    found = row_of([1, 2, 3, 4, 5], [10, 30, 60, 7, 1], [], sizes(2, 2, 1))
    np.testing.assert_allclose(found["history_weight"], [[1 / 3, 1]], rtol=1e-7)
    # Without times each state counts one second: 1/3, 1/2, 1.
    found = row_of([1, 2, 3, 4], [0, 0, 0, 0], [], sizes(1, 3, 1))
    np.testing.assert_allclose(found["history_weight"], [[1 / 3, 1 / 2, 1]], rtol=1e-7)


def test_dwell_of_the_pages_seen_by_hand():
    found = row_of([1, 2, 0, 3], [10, 30, 60, 0.5], [], sizes(4, 0, 0, seen=4))
    np.testing.assert_allclose(found["seen_dwell"], [[0, np.log(10), np.log(30), 0]], rtol=1e-7)


def test_the_row_of_an_empty_session():
    found = row_of([], [], [0, 3], sizes(2, 1, 2))
    assert found["page"].tolist() == [[0, 0]]
    assert found["history_weight"].tolist() == [[0]]
    assert found["bought"].tolist() == [[0, 3]]
    assert found["bought_weight"].tolist() == [[0, 1]]


SESSIONS = ([[1, 2, 3, 4, 5], [6, 7], [3]], [[5, 1, 9, 2, 1], [3, 1], [1]], [[2, 3], [], [4]])


def test_a_split_holds_blobs_rows_and_sessions(tmp_path: Path):
    the_spec = spec(2, 3, 2)
    sessions = sessions_of(*SESSIONS, [1, 0, 2])
    assert write_split(tmp_path / "test.h5", sessions, the_spec) == 3
    with h5py.File(tmp_path / "test.h5") as file:
        assert set(file) == {
            "page",
            "history_page",
            "history_weight",
            "bought",
            "bought_weight",
            "label",
            "rows",
            "sessions",
        }
        assert {name: (file[name].dtype.name, file[name].shape) for name in ("page", "history_weight", "label")} == {
            "page": ("int32", (3, 2)),
            "history_weight": ("float32", (3, 3)),
            "label": ("int32", (3,)),
        }
        assert file["rows/unknown"][:].tolist() == [0, 1, 0]
        assert file["rows/position"][:].tolist() == [5, 2, 1]
        assert file["page"].chunks is not None
    again = read_sessions(tmp_path / "test.h5")
    for name in ("offset", "page", "dwell", "bought_offset", "bought", "start", "user", "label", "training"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sessions, name))


def test_blobs_of_no_width_are_not_written(tmp_path: Path):
    fnn = Spec(name="f", net="fnn", pages=9, items=9, fnn=Fnn(bought=2, widths=[2]), top_k=1)
    write_split(tmp_path / "a.h5", sessions_of(*SESSIONS, [1, 1, 2]), fnn)
    with Split(tmp_path / "a.h5") as split:
        assert split.blobs == ("bought", "bought_weight", "label")


@pytest.mark.parametrize("loss", ["last", "every"])
@pytest.mark.parametrize("training", [True, False])
def test_rewindow_equals_writing_anew(tmp_path: Path, loss: str, training: bool):
    sessions = sessions_of(*SESSIONS, training=training)
    write_split(tmp_path / "a.h5", sessions, spec(1, 0, 1, "last", "next"))
    other = spec(3, 2, 2, loss, "next")
    rows = rewindow(tmp_path / "a.h5", tmp_path / "b.h5", other)
    assert write_split(tmp_path / "c.h5", sessions, other) == rows
    with Split(tmp_path / "b.h5") as one, Split(tmp_path / "c.h5") as two:
        for name, blob in two.load().items():
            np.testing.assert_array_equal(one.load([name])[name], blob)


def test_chunks_do_not_change_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sessions, the_spec = sessions_of(*SESSIONS), spec(2, 3, 2, "every", "next")
    write_split(tmp_path / "whole.h5", sessions, the_spec)
    monkeypatch.setattr(windows, "CELLS", 14)
    write_split(tmp_path / "parts.h5", sessions, the_spec)
    with Split(tmp_path / "whole.h5") as one, Split(tmp_path / "parts.h5") as two:
        for name, blob in one.load().items():
            np.testing.assert_array_equal(two.load([name])[name], blob)


def test_sessions_that_do_not_fit_the_spec_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="made for target next, but the spec says purchase"):
        write_split(tmp_path / "a.h5", sessions_of(*SESSIONS), spec(2, 0, 1))
    with pytest.raises(DataError, match="hold id 12 but the spec allows items: 9"):
        write_split(tmp_path / "a.h5", sessions_of(*SESSIONS, [1, 12, 2]), spec(2, 0, 1))
    with pytest.raises(DataError, match="no session gives a row"):
        write_split(tmp_path / "a.h5", sessions_of([[1]], [[1]], [[]]), spec(2, 0, 1, target="next"))
    assert list(tmp_path.iterdir()) == []


def test_sessions_of_a_foreign_file_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["label"] = np.zeros(3)
    with pytest.raises(DataError, match="no group sessions"):
        read_sessions(tmp_path / "a.h5")
    write_split(tmp_path / "b.h5", sessions_of(*SESSIONS, [1, 1, 1]), spec(2, 0, 1))
    with h5py.File(tmp_path / "b.h5", "a") as file:
        file["sessions/offset"][1] = 99
    with pytest.raises(DataError, match="sessions/offset does not divide the 8 values"):
        read_sessions(tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "a") as file:
        del file["sessions/dwell"]
    with pytest.raises(DataError, match="no dataset sessions/dwell"):
        read_sessions(tmp_path / "b.h5")
