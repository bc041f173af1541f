"""A served model answers by its net's probabilities, whatever else is in the batch; a damaged one is refused."""

import hashlib
import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import ITEMS, PAGES, write_version
from windowed import row_of

from generator.errors import ModelError
from generator.model.model import Model
from generator.model.query import Query
from generator.serving.models.served import Served

queries = st.builds(
    Query,
    st.lists(st.tuples(st.sampled_from([*PAGES, "?", "!"]), st.floats(0, 1e12)), max_size=12),
    st.lists(st.sampled_from([*ITEMS, "?"]), max_size=6),
)


@pytest.fixture(scope="module", params=[20, 30], ids=["items all known", "fewer items than the net has"])
def version(request, tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("models") / "shop", 1, seed=5, items=request.param)


@settings(max_examples=40, deadline=None)
@given(asked=st.lists(queries, min_size=1, max_size=7))
def test_a_served_model_answers_as_drn_recommend(version, asked):
    served, model = Served(version), Model(version)
    for query, answer in zip(asked, served.model.recommend(asked), strict=True):
        (wanted,) = model.recommend([query])
        assert answer == wanted
        # And the ranking is that of the probabilities over the window that training would see.
        pages, bought = model.pages.ids([page for page, _ in query.pages]), model.items.ids(query.bought)
        blobs = row_of(pages.tolist(), [dwell for _, dwell in query.pages], bought.tolist(), model.sizes)
        (probability,) = model.scores(blobs)[:, 1 : len(ITEMS) + 1]
        best = np.argsort(-probability, kind="stable")[:5]
        assert answer.items == tuple((ITEMS[place], float(probability[place])) for place in best)


def test_an_answer_does_not_depend_on_the_batch_it_is_in(version):
    served = Served(version).model
    random = np.random.default_rng(3)
    asked = [Query([(PAGES[i], 1.0) for i in random.integers(0, 30, length)]) for length in range(13)]
    together = served.recommend(asked)
    assert [served.recommend([query])[0] for query in asked] == together
    assert served.recommend(asked[:5]) + served.recommend(asked[5:]) == together


@pytest.mark.parametrize("name", ["model.onnx", "pages.txt", "items.txt"])
def test_a_damaged_version_is_refused(tmp_path, name):
    folder = write_version(tmp_path / "shop", 1, seed=1)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ModelError, match=name):
        Served(folder)


def beside(folder):
    """Put the weights of a version into a file beside its graph, as they are past 2 GiB; return that file."""
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    hashes.pop("manifest.json")
    (folder / "manifest.json").write_text(json.dumps({"sha256": hashes}))
    return folder / "model.onnx.data"


def test_weights_beside_a_model_may_be_written_over_while_it_answers(tmp_path):
    folder = write_version(tmp_path / "shop", 1, seed=1)
    query = Query([(PAGES[2], 3.0), (PAGES[5], 9.0)], [ITEMS[3]])
    (wanted,) = Served(folder).model.recommend([query])
    weights = beside(folder)
    served = Served(folder)
    assert served.model.recommend([query]) == [wanted]
    with weights.open("r+b") as stream:  # in place: the same file, other weights
        stream.write(bytes(weights.stat().st_size))
    assert served.model.recommend([query]) == [wanted]
    assert Model(folder).recommend([query]) != [wanted]  # there is nothing left of them in the file
    with pytest.raises(ModelError, match=r"model\.onnx\.data"):
        Served(folder)
