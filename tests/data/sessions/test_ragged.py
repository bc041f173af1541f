"""Parts of flat arrays gathered, against Python's lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.data.sessions import ragged
from generator.data.sessions.numbering import by_appearance
from generator.data.sessions.ragged import gathered, ragged_index

PARTS = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 5)), max_size=12)


@pytest.mark.parametrize("block", [1, 4, 1000])
@given(parts=PARTS)
def test_parts_are_gathered_whatever_the_block(block: int, parts: list[tuple[int, int]]):
    starts, lengths = (np.array(side, np.int64) for side in zip(*parts, strict=True)) if parts else ([], [])
    starts, lengths = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
    values, halves = np.arange(20, dtype=np.int32) * 7, np.arange(20, dtype=np.float32) / 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragged, "BLOCK", block)
        found, found_halves = gathered(starts, lengths, values, halves)
    expected = [value for start, length in parts for value in values.tolist()[start : start + length]]
    assert found.dtype == np.int32
    assert found.tolist() == expected
    assert found_halves.tolist() == [value / 14 for value in expected]
    assert (values[ragged_index(starts, lengths)] == found).all()


@given(st.lists(st.integers(-1, 9)))
def test_numbers_by_first_appearance(codes: list[int]):
    order = list(dict.fromkeys(code for code in codes if code >= 0))
    expected = [order.index(code) if code >= 0 else -1 for code in codes]
    assert by_appearance(np.array(codes, np.int32)).tolist() == expected
