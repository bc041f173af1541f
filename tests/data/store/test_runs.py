"""Sessions kept in runs and merged, against the sessions themselves."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.data.log.distinct import Distinct
from generator.data.sessions.ragged import Sessions, offsets
from generator.data.store import runs
from generator.data.store.runs import MergedSessions, Run, blocks
from generator.data.store.spill import Spill

FIELDS = ("offset", "page", "dwell", "bought_offset", "bought", "start", "user", "label")


def sessions_of(lengths: list[int], purchases: list[int], *, labels: bool) -> Sessions:
    """Sessions of these lengths, no two values alike."""
    count, views, bought = len(lengths), sum(lengths), sum(purchases)
    return Sessions(
        offset=offsets(np.array(lengths, np.int64)),
        page=np.arange(views, dtype=np.int32),
        dwell=np.arange(views, dtype=np.float32) + 0.5,
        bought_offset=offsets(np.array(purchases, np.int64)),
        bought=np.arange(bought, dtype=np.int32) * 3,
        start=np.arange(count) * 10.0,
        user=np.arange(count, dtype=np.int32) + 7,
        label=np.arange(count, dtype=np.int32) + 100 if labels else None,
    )


def same(one: Sessions, other: Sessions) -> None:
    for name in FIELDS:
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            assert mine.dtype == theirs.dtype, name
            assert mine.tolist() == theirs.tolist(), name


@pytest.mark.parametrize("filed", [False, True])
@given(data=st.data(), labels=st.booleans())
def test_runs_merge_to_the_sessions_they_are_of(filed: bool, data: st.DataObject, labels: bool):
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2)), min_size=1))
    lengths, purchases, where = (list(column) for column in zip(*sizes, strict=True))
    whole = sessions_of(lengths, purchases, labels=labels)
    with TemporaryDirectory() as folder:
        spill = Spill(Path(folder) if filed else None)
        ranks = [np.flatnonzero(np.array(where) == place) for place in range(3)]
        parts = [Run.of(whole.take(rank), spill) for rank in ranks]
        # Ranks may have gaps: of what has fallen out.
        merged = MergedSessions(parts, [(2 * rank).astype(np.uint32) for rank in ranks])
        assert len(merged) == len(whole)
        same(merged.slice(0, len(whole)), whole)
        for begin, end in blocks(merged.lengths):
            same(merged.slice(begin, end), whole.slice(begin, end))
            same(whole.slice(begin, end), whole.take(np.arange(begin, end)))
        begin = data.draw(st.integers(0, len(whole)))
        assert merged.column("bought", begin, len(whole)).tolist() == whole.column("bought", begin, len(whole)).tolist()
        assert merged.known_lengths().tolist() == whole.known_lengths().tolist()
        bare = merged.slice(begin, len(whole), ("dwell", "bought"))
        assert bare.page.tolist() == whole.slice(begin, len(whole)).page.tolist()
        assert (len(bare.dwell), len(bare.bought)) == (0, 0)
        for run in parts:
            run.drop(spill)
        assert not list(Path(folder).iterdir())


@given(lengths=st.lists(st.integers(0, 9)), most=st.integers(1, 12))
def test_blocks_cover_all_sessions_and_are_small(lengths: list[int], most: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BLOCK", most)
        found = list(blocks(np.array(lengths, np.int64)))
    assert [place for begin, end in found for place in range(begin, end)] == list(range(len(lengths)))
    for begin, end in found:
        assert sum(lengths[begin:end]) <= most or end == begin + 1


def test_a_column_that_is_cut_short_is_told(tmp_path: Path):
    column = Spill(tmp_path).keep(np.arange(10, dtype=np.int32))
    assert column[3:5].tolist() == [3, 4]
    assert column[8:].tolist() == [8, 9]
    assert column[4:4].tolist() == []
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(OSError, match="cut short: 8 of 16 bytes at 12"):
        column[3:7]


@given(st.lists(st.lists(st.sampled_from([*"abcdefgh", None]))))
def test_the_distinct_values_of_columns_come_once(columns: list[list[str | None]]):
    kind = pl.Categorical(pl.Categories.random())
    early = pl.Series([*"hgfe"]).cast(kind)  # known to polars, but not from these columns
    distinct, known = Distinct(), set()
    for values in columns:
        new = distinct.new(pl.Series(values, dtype=pl.String).cast(kind)).cast(pl.String).to_list()
        assert len(new) == len(set(new))
        assert set(new) == set(values) - known - {None}
        known |= set(values)
    assert early.cast(pl.String).to_list() == [*"hgfe"]
