"""Which rows a batch holds, and what of a split is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.errors import DataError
from generator.spec.schema import Spec
from generator.training.engine.batches import Batches
from generator.training.run.rows import load_split


def rows_of(batches: Batches, number: int) -> list[int]:
    rows: list[int] = batches.some(number, 1)[0].blobs["row"].tolist()
    return rows


@given(rows=st.integers(1, 30), size=st.integers(1, 40), order=st.sampled_from(["shuffle", "file"]))
def test_epochs_follow_each_other_without_a_seam(rows: int, size: int, order: Any) -> None:
    batches = Batches({"row": np.arange(rows, dtype=np.int32)}, size, order=order, seed=3)
    sequence = [row for number in range(8) for row in rows_of(batches, number)]
    for start in range(0, len(sequence) - rows + 1, rows):
        assert sorted(sequence[start : start + rows]) == list(range(rows))
    if order == "file":
        assert sequence == [place % rows for place in range(8 * size)]


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    def make(seed: int) -> Batches:
        return Batches({"row": np.arange(50, dtype=np.int32)}, 8, seed=seed)

    backwards, forwards = make(1), make(1)
    at_once = [batch.blobs["row"].tolist() for batch in make(1).some(0, 30)]
    last_first = [rows_of(backwards, number) for number in reversed(range(30))]
    assert last_first[::-1] == at_once == [rows_of(forwards, number) for number in range(30)]
    assert rows_of(make(1), 3) != rows_of(make(2), 3)


def test_epochs_are_shuffled_differently() -> None:
    batches = Batches({"row": np.arange(20, dtype=np.int32)}, 20)
    assert rows_of(batches, 0) != rows_of(batches, 1)


def test_ids_of_a_table_are_those_of_all_its_blobs() -> None:
    arrays = {"page": np.array([[0, 4], [4, 2]], np.int32), "history_page": np.array([[9], [2]], np.int32)}
    batch = Batches(arrays, 2, order="file", tables=["page_embedding"]).some(0, 1)[0]
    assert batch.ids["page_embedding"].tolist() == [0, 2, 4, 9]


def test_graphs_get_wide_ids_and_narrow_weights() -> None:
    arrays = {"page": np.ones((4, 1), np.int32), "history_weight": np.ones((4, 1), np.float32)}
    blobs = Batches(arrays, 2).some(0, 1)[0].blobs
    assert (blobs["page"].dtype, blobs["history_weight"].dtype) == (np.int64, np.float32)


def test_a_test_pass_takes_each_row_once() -> None:
    batches = Batches({"row": np.arange(10, dtype=np.int32)}, 4)
    assert [batch.blobs["row"].tolist() for batch in batches.once(99)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [batch.blobs["row"].tolist() for batch in batches.once(1)] == [[0, 1, 2, 3]]


def test_only_what_the_net_reads_is_loaded(data: Path, make_spec: Callable[..., Spec]) -> None:
    assert set(load_split(data / "train.h5", make_spec(net="fnn"))) == {"bought", "bought_weight", "label"}
    whole = load_split(data / "train.h5", make_spec())
    assert {name: array.shape for name, array in whole.items()} == {
        "page": (100, 3),
        "history_page": (100, 2),
        "history_weight": (100, 2),
        "bought": (100, 2),
        "bought_weight": (100, 2),
        "label": (100,),
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"rnn": {"window": 4, "widths": [8]}},
            r"page has shape \(rows, 3\).*rnn.window wants \(rows, 4\).*drn sessions",
        ),
        ({"rnn": {"window": 3, "widths": [8], "history": 5}}, r"history_page has shape \(rows, 2\).*rnn.history"),
        ({"fnn": {"bought": 1, "widths": [8]}}, r"bought has shape \(rows, 2\).*fnn.bought wants \(rows, 1\)"),
        ({"loss": "every"}, r"label has shape \(rows\).*loss wants \(rows, 3\)"),
        ({"pages": 11}, r"page holds ids 0\.\.12; the spec has pages: 11"),
        ({"items": 9}, r"bought holds ids 0\.\.10; the spec has items: 9"),
    ],
)
def test_data_of_another_spec_is_refused(
    changes: dict[str, Any], said: str, data: Path, make_spec: Callable[..., Spec]
) -> None:
    with pytest.raises(DataError, match=said):
        load_split(data / "train.h5", make_spec(**changes))


def test_an_absent_blob_is_named(data: Path, make_spec: Callable[..., Spec]) -> None:
    with h5py.File(data / "train.h5", "a") as file:
        del file["bought_weight"]
    with pytest.raises(DataError, match=r"train.h5: blob bought_weight is absent.*fnn.bought"):
        load_split(data / "train.h5", make_spec())


def test_a_weight_that_is_no_number_is_named_by_row(data: Path, make_spec: Callable[..., Spec]) -> None:
    with h5py.File(data / "train.h5", "a") as file:
        file["history_weight"][17, 1] = np.nan
    with pytest.raises(DataError, match=r"history_weight holds a number that is not finite, first in row 17"):
        load_split(data / "train.h5", make_spec())


def test_rows_come_as_often_as_they_are_worth():
    worth = np.array([4.0, 2.0, 1.0, 1.0, 0.25, 0.25, 0.25, 0.25])
    arrays = {"label": np.arange(8, dtype=np.int32)}
    batches = Batches(arrays, 8, seed=3, worth=worth)
    epochs = np.stack([batch.blobs["label"] for batch in batches.some(0, 600)])
    counts = np.stack([np.bincount(epoch, minlength=8) for epoch in epochs])
    share = worth * 8 / worth.sum()
    # In every epoch rounded up or down, and right on average.
    assert ((counts == np.floor(share)) | (counts == np.ceil(share))).all()
    np.testing.assert_allclose(counts.mean(axis=0), share, atol=0.08)
    again = Batches(arrays, 8, seed=3, worth=worth).some(599, 1)[0]
    np.testing.assert_array_equal(again.blobs["label"], epochs[599])
