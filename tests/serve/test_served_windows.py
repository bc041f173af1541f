"""Many windows at a time are those of `window_of`, bit for bit, and a served model answers as `drn recommend`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import ITEMS, PAGES, write_version

from generator.data.sessions.vocabulary import Vocabulary
from generator.data.windows import window_of
from generator.errors import ModelError
from generator.evaluate.model import Model, Query
from generator.serve.served import Served
from generator.serve.windows import blobs, window

VOCABULARY, SOLD = Vocabulary(PAGES), Vocabulary(ITEMS)
queries = st.builds(
    Query,
    st.lists(st.tuples(st.sampled_from([*PAGES, "?", "!"]), st.floats(0, 1e12)), max_size=12),
    st.lists(st.sampled_from([*ITEMS, "?"]), max_size=6),
)


@given(
    st.lists(queries, min_size=1, max_size=4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.booleans()
)
def test_windows_of_many_are_those_of_one(asked, n, h, k, copy):
    sizes = {"page": n, "history_page": h, "history_weight": h, "bought": k, "bought_weight": k, "page_dwell": n * copy}
    sizes = {name: size for name, size in sizes.items() if size}
    found = blobs([window(query, VOCABULARY, SOLD, sizes) for query in asked], sizes)
    for row, query in enumerate(asked):
        ids = VOCABULARY.ids([page for page, _ in query.pages]).tolist()
        dwell = [seconds for _, seconds in query.pages]
        wanted = window_of(ids, dwell, SOLD.ids(query.bought).tolist(), sizes)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name][row], values[0], strict=False)


@pytest.fixture(scope="module", params=[20, 30], ids=["items all known", "fewer items than the net has"])
def version(request, tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("models") / "shop", 1, seed=5, items=request.param)


@settings(max_examples=40, deadline=None)
@given(asked=st.lists(queries, min_size=1, max_size=7))
def test_a_served_model_answers_as_drn_recommend(version, asked):
    served, model = Served(version), Model(version)
    for query, answer in zip(asked, served.answer(asked), strict=True):
        (wanted,) = model.recommend([query])
        assert answer == wanted


def test_an_answer_does_not_depend_on_the_batch_it_is_in(version):
    served = Served(version)
    random = np.random.default_rng(3)
    asked = [Query([(PAGES[i], 1.0) for i in random.integers(0, 30, length)]) for length in range(13)]
    together = served.answer(asked)
    assert [served.answer([query])[0] for query in asked] == together
    assert served.answer(asked[:5]) + served.answer(asked[5:]) == together


def test_the_history_weights_shown_are_those_the_net_gets():
    sizes = {"page": 1, "history_page": 3, "history_weight": 3}
    seen = window(Query([("p1", 10), ("p2", 30), ("p3", 10), ("p4", 1)]), VOCABULARY, SOLD, sizes)
    assert seen.history_weight() == pytest.approx([10 / 50, 30 / 40, 1])
    assert blobs([seen], sizes)["history_weight"][0].tolist() == seen.history_weight()


@pytest.mark.parametrize("name", ["model.onnx", "pages.txt", "items.txt"])
def test_a_damaged_version_is_refused(tmp_path, name):
    folder = write_version(tmp_path / "shop", 1, seed=1)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ModelError, match=name):
        Served(folder)
