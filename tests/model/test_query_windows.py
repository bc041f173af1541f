"""Many windows at a time are those of their rows, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from windowed import row_of

from generator.data.sessions.vocabulary import Vocabulary
from generator.model.query import Query
from generator.model.windows import input_blobs, window

PAGES, ITEMS = [f"p{i}" for i in range(1, 31)], [f"i{i}" for i in range(1, 21)]
VOCABULARY, SOLD = Vocabulary(PAGES), Vocabulary(ITEMS)
queries = st.builds(
    Query,
    st.lists(st.tuples(st.sampled_from([*PAGES, "?", "!"]), st.floats(0, 1e12)), max_size=12),
    st.lists(st.sampled_from([*ITEMS, "?"]), max_size=6),
)


@given(
    st.lists(queries, min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_windows_of_many_are_those_of_one(asked, n, h, k, s):
    sizes = {"page": n, "history_page": h, "history_weight": h, "bought": k, "bought_weight": k}
    sizes |= {"seen_page": s, "seen_dwell": s}
    sizes = {name: size for name, size in sizes.items() if size}
    found = input_blobs([window(query, VOCABULARY, SOLD, sizes) for query in asked], sizes)
    for row, query in enumerate(asked):
        ids = VOCABULARY.ids([page for page, _ in query.pages]).tolist()
        dwell = [seconds for _, seconds in query.pages]
        wanted = row_of(ids, dwell, SOLD.ids(query.bought).tolist(), sizes)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name][row], values[0], strict=False)


def test_the_history_weights_shown_are_those_the_net_gets():
    sizes = {"page": 1, "history_page": 3, "history_weight": 3}
    seen = window(Query([("p1", 10), ("p2", 30), ("p3", 10), ("p4", 1)]), VOCABULARY, SOLD, sizes)
    assert seen.history_weight() == pytest.approx([10 / 50, 30 / 40, 1])
    assert input_blobs([seen], sizes)["history_weight"][0].tolist() == seen.history_weight()
