"""Pages that the vocabulary lacks, as slots: by hand, and as real folders hold them."""

from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from generator.data.build import Options, build
from generator.data.sessions.ragged import Sessions
from generator.data.sessions.slots import Slots, first_views, numbers
from generator.data.sessions.splits import Division
from generator.data.stages.write import rewindow
from generator.data.store.split import Split, read_sessions
from generator.data.windows import WindowSizes, blobs, rows_of
from generator.errors import DataError
from generator.spec.schema import Spec

KNOWN = 50  # ids of the spec; slots are 51 and on


def spec(target: str = "purchase", slots: int = 2, **changes) -> Spec:
    base = {
        "name": "t",
        "net": "rnn",
        "pages": KNOWN,
        "items": KNOWN,
        "rnn": {"window": 2, "widths": [2], "history": 2},
        "head": {"mix": {"pages": 4}, "slots": slots},
        "data": {"target": target},
    }
    return Spec.model_validate(base | changes)


def folder(path: Path, sessions: list[tuple[str, str]], made_for: Spec, share: float) -> Path:
    """Write the sessions, each the letters of its pages and of what is bought, an hour after the one before."""
    rows = []
    for number, (pages, bought) in enumerate(sessions):
        kinds = [*((page, "view") for page in pages), *((item, "buy") for item in bought)]
        rows += [
            {"session": f"s{number}", "time": 3600 * number + 10 * step, "page": page, "event": kind}
            for step, (page, kind) in enumerate(kinds)
        ]
    build(pl.DataFrame(rows), path, made_for, Options(division=Division(share=share)))
    return path


def test_purchases_of_pages_never_seen_are_labels(tmp_path):
    train = [("ab", "b"), ("ba", "a")]
    test = [("xaxy", "x"), ("yxz", "z"), ("axb", "q")]  # the third page never seen has no slot; q was never viewed
    made_for = spec()
    data = folder(tmp_path / "data", train + test, made_for, share=0.6)
    with h5py.File(data / "test.h5") as file:
        assert file["sessions/page"][:].tolist() == [51, 1, 51, 52, 51, 52, 0, 1, 51, 2]
        assert file["sessions/label"][:].tolist() == [51, 0, 0]
        assert file["seen_page"][:].tolist() == [[51, 1, 51, 52], [0, 0, 51, 52], [0, 1, 51, 2]]
        assert file["page"][:].tolist() == [[51, 51], [51, 51], [51, 2]]
        assert file["history_page"][:].tolist() == [[51, 1], [0, 0], [0, 1]]
        assert file["label"][:].tolist() == [0, 0, 0]
        assert file["rows/slot"][:].tolist() == [1, 0, 0]
        assert file["rows/unknown"][:].tolist() == [0, 1, 1]
    with h5py.File(data / "train.h5") as file:
        assert file["page"][:].max() == 2
        assert not file["rows/slot"][:].any()


def test_the_next_page_is_a_label_once_its_slot_is_met(tmp_path):
    data = folder(tmp_path / "data", [("abab", ""), ("xayxy", "")], spec("next"), share=0.5)
    with h5py.File(data / "test.h5") as file:
        assert file["sessions/page"][:].tolist() == [51, 1, 52, 51, 52]
        assert file["label"][:].tolist() == [1, 0, 0, 0]
        assert file["rows/slot"][:].tolist() == [0, 0, 1, 2]  # y is not known before its first view
        assert file["rows/unknown"][:].tolist() == [0, 1, 0, 0]
        assert file["page"][:].tolist() == [[0, 51], [51, 1], [1, 51], [51, 51]]


def test_a_label_at_every_state_is_never_a_slot(tmp_path):
    data = folder(tmp_path / "data", [("abab", ""), ("xaxb", "")], spec("next", loss="every"), share=0.5)
    with h5py.File(data / "test.h5") as file:
        assert file["label"][:].tolist() == [[0, 1], [0, 0], [0, 2]]


def test_without_slots_nothing_of_them_is_written(tmp_path):
    data = folder(tmp_path / "data", [("abab", ""), ("xaxb", "")], spec("next", slots=0), share=0.5)
    with h5py.File(data / "test.h5") as file:
        assert file["sessions/page"][:].tolist() == [0, 1, 0, 2]
        assert "slot" not in file["rows"]
        assert set(file["sessions"].attrs) == {"training"}


def test_other_windows_keep_the_slots_and_other_slots_are_refused(tmp_path):
    data = folder(tmp_path / "data", [("ab", "b"), ("xaxy", "x")], spec(), share=0.5)
    rewindow(data / "test.h5", tmp_path / "wide.h5", spec(rnn={"window": 3, "widths": [2]}))
    with Split(tmp_path / "wide.h5") as split:
        assert split.read(0, 1)["page"].tolist() == [[2, 51, 51]]
        assert split.slots == Slots(KNOWN, 2)
        assert split.index("slot", 0, 1).tolist() == [1]
    assert read_sessions(tmp_path / "wide.h5").slots == Slots(KNOWN, 2)
    with pytest.raises(DataError, match=r"made with 2 slots after 50 pages, but the spec is one without slots"):
        rewindow(data / "test.h5", tmp_path / "none.h5", spec(slots=0))


@pytest.mark.parametrize("seed", range(5))
def test_slots_are_the_order_of_first_views(seed):
    random = np.random.default_rng(seed)
    session = np.sort(random.integers(0, 20, 300))
    code = random.integers(0, 6, 300).astype(np.int32)
    number, keys, of_key = numbers(session, code)
    met: dict[int, list[int]] = {}
    for owner, page, found, first in zip(session, code, number, first_views(number, session), strict=True):
        before = met.setdefault(owner, [])
        assert first == (page not in before)
        if page not in before:
            before.append(page)
        assert found == before.index(page) + 1
    assert dict(zip(keys.tolist(), of_key.tolist(), strict=True)) == {
        owner << 32 | page: place for owner, pages in met.items() for place, page in enumerate(pages, 1)
    }


def test_a_row_is_the_same_as_one_of_a_known_page_but_for_the_id():
    """A slot takes its place in window, history and dwell times as any page does."""
    page, dwell = np.array([3, 9, 3, 8, 9], np.int32), np.array([2, 5, 3, 7, 1], np.float32)
    parts = {
        "offset": np.array([0, 5]),
        "dwell": dwell,
        "bought_offset": np.array([0, 0]),
        "bought": np.empty(0, np.int32),
        "start": np.zeros(1),
        "user": np.zeros(1, np.int32),
        "label": np.array([9], np.int32),
    }
    slotted = np.array([3, 51, 3, 52, 51], np.int32)
    sizes = WindowSizes(window=2, history=4, bought=0, seen=5)
    known, unseen = (
        next(blobs(sessions, rows_of(sessions, 2, "last"), sizes))
        for sessions in (Sessions(page=page, **parts), Sessions(page=slotted, **parts, slots=Slots(KNOWN, 2)))
    )
    for name in ("history_weight", "seen_dwell"):
        np.testing.assert_array_equal(unseen[name], known[name])
    assert unseen["seen_page"].tolist() == [slotted.tolist()]
    assert unseen["page"].tolist() == [[51, 51]]
