"""An exported model found, opened, and checked against the same net in numpy."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from shoppers import ITEMS, probabilities, write_model

from generator.errors import DataError, ModelError
from generator.model.find import find_model
from generator.model.model import Model
from generator.model.query import Answer, Query

SESSION = Query([("a", 5.0), ("b", 60.0), ("c", 20.0), ("?", 9.0), ("a", 5.0), ("d", 1.0)], ["z", "?", "b", "c"])
# Known states a b c a d: the window c a d, the history a b with 5/65 and 1; of the purchases the newest two.
EXPECTED = probabilities([3, 1, 4], [(1, 5 / 65), (2, 1.0)], [1, 2])


@pytest.mark.parametrize("inner", ["", "models", "models/tiny", "models/tiny/1", "models/tiny/1/model.onnx"])
def test_a_model_is_found_from_anywhere_in_its_run(run, inner):
    model = Model(run / inner)
    assert model.file == run / "models/tiny/1/model.onnx"
    assert model.name == "tiny"
    assert model.sizes == {"page": 3, "history_page": 2, "history_weight": 2, "bought": 2, "bought_weight": 2}
    assert (model.width, model.top_k) == (len(ITEMS) + 1, 2)


def test_the_newest_version_is_the_highest_number_that_holds_a_model(run):
    tiny = run / "models" / "tiny"
    for version in ("2", "10"):
        shutil.copytree(tiny / "1", tiny / version)
    (tiny / "11").mkdir()
    assert find_model(run) == tiny / "10" / "model.onnx"


def test_two_models_in_a_run_want_a_name(run):
    shutil.copytree(run / "models" / "tiny", run / "models" / "other")
    with pytest.raises(ModelError, match=r"it holds the models other, tiny; name one, such as .*models/other"):
        find_model(run)
    assert Model(run / "models" / "other").name == "other"


def test_nothing_there(tmp_path):
    with pytest.raises(ModelError, match=r"absent: there is no such file or folder; train a model by: drn train"):
        Model(tmp_path / "absent")
    with pytest.raises(ModelError, match=r"no models/NAME/VERSION/model\.onnx"):
        Model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07\x12\x04"])
def test_a_broken_file_is_named(run, content):
    file = run / "models/tiny/1/model.onnx"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx: .*drn train"):
        Model(run)


def test_a_file_cut_short_is_named(run):
    file = run / "models/tiny/1/model.onnx"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot load it"):
        Model(run)


def test_a_foreign_model_is_named(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["probability"])],
        "foreign",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "x.onnx")
    with pytest.raises(ModelError, match=r"x\.onnx: it has the input image, so it is no inference model of drn"):
        Model(tmp_path / "x.onnx")


def test_a_missing_vocabulary_is_named(run):
    (run / "models/tiny/1/items.txt").unlink()
    with pytest.raises(ModelError, match=r"items\.txt: it is missing"):
        Model(run)


def test_a_vocabulary_larger_than_the_net_is_an_error(run):
    file = run / "models/tiny/1/items.txt"
    file.write_text(file.read_text() + "y\n")
    with pytest.raises(ModelError, match=r"lists 5 items but model\.onnx knows 4"):
        Model(run)


def blobs(rows=2):
    return {
        "page": np.array([[3, 1, 4]] * rows, np.int32),
        "history_page": np.array([[1, 2]] * rows, np.int32),
        "history_weight": np.array([[5 / 65, 1]] * rows, np.float32),
        "bought": np.array([[1, 2]] * rows, np.int32),
        "bought_weight": np.ones((rows, 2), np.float32),
    }


def test_scores_are_those_of_the_net(run):
    scores = Model(run, threads=2).scores(blobs() | {"label": np.zeros(2, np.int32)})
    assert scores.dtype == np.float32
    assert np.abs(scores - EXPECTED).max() < 1e-6


def test_scores_of_a_model_whose_weights_lie_beside_it(run):
    file = run / "models/tiny/1/model.onnx"
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="weights", size_threshold=64)
    assert (file.parent / "weights").stat().st_size > 0
    assert np.abs(Model(run).scores(blobs()) - EXPECTED).max() < 1e-6


def test_blobs_that_do_not_fit_are_an_error(run):
    model = Model(run)
    with pytest.raises(DataError, match="tiny reads bought, which the data lack"):
        model.scores({name: values for name, values in blobs().items() if name != "bought"})
    with pytest.raises(DataError, match=r"tiny reads 3 columns of page, not \(5,\)"):
        model.scores(blobs() | {"page": np.zeros((2, 5), np.int32)})
    with pytest.raises(ModelError, match="onnxruntime fails on these rows"):
        model.scores(blobs() | {"page": np.full((2, 3), 99, np.int32)})


@pytest.mark.parametrize("top", [1, 2, 3, 4, 99])
def test_the_top_items_are_the_most_probable_by_the_graph_and_beyond_it(run, top):
    (answer,) = Model(run).recommend([SESSION], top)
    best = np.argsort(-EXPECTED[1:])[:top]
    assert [item for item, _ in answer.items] == [ITEMS[i] for i in best]
    assert [probability for _, probability in answer.items] == pytest.approx(EXPECTED[1:][best], abs=1e-6)
    assert (answer.unknown_pages, answer.unknown_bought) == (1, 1)


def test_top_k_of_the_model_by_default(run):
    assert len(Model(run).recommend([SESSION])[0].items) == 2


def test_queries_together_are_answered_as_alone(run):
    model = Model(run)
    queries = [SESSION, Query([]), Query([("e", 0.0)]), Query([], ["a"])]
    together = model.recommend(queries)
    for query, answer in zip(queries, together, strict=True):
        (alone,) = model.recommend([query])
        assert [item for item, _ in alone.items] == [item for item, _ in answer.items]
    assert model.recommend([]) == []


@pytest.mark.parametrize("top", [2, 6])
def test_items_of_the_net_beyond_the_vocabulary_are_never_recommended(tmp_path, top):
    file = write_model(tmp_path / "model.onnx", items=6)
    model = Model(file)
    assert model.name == "model"
    (answer,) = model.recommend([SESSION], top)
    assert len(answer.items) == min(top, 4)
    assert {item for item, _ in answer.items} <= set(ITEMS)


def test_a_net_of_one_half_reads_only_its_own(tmp_path):
    model = Model(write_model(tmp_path / "fnn" / "model.onnx", window=0, history=0))
    assert model.sizes == {"bought": 2, "bought_weight": 2}
    (answer,) = model.recommend([SESSION], 4)
    expected = probabilities([], [], [1, 2])
    assert [p for _, p in answer.items] == pytest.approx(sorted(expected[1:], reverse=True), abs=1e-6)


def test_nan_is_an_error(tmp_path):
    file: Path = write_model(tmp_path / "model.onnx")
    net = onnx.load(file)
    for table in net.graph.initializer:
        if table.name == "P":
            table.CopyFrom(onnx.numpy_helper.from_array(np.full((6, 5), np.nan, np.float32), "P"))
    onnx.save(net, file)
    with pytest.raises(ModelError, match="answers NaN"):
        Model(file).recommend([SESSION])


def test_a_path_may_be_a_string(run):
    assert Model(str(run)).recommend([SESSION]) == Model(run).recommend([SESSION])
    assert find_model(str(run)) == find_model(run)


@pytest.mark.parametrize("top", [0, -1])
def test_less_than_one_item_is_an_error(run, top):
    with pytest.raises(DataError, match="at least 1"):
        Model(run).recommend([SESSION], top)


def test_a_model_and_an_answer_say_what_they_are(run):
    model = Model(run)
    assert repr(model) == f"Model('{model.file}': 5 pages, 4 items, top_k 2)"
    (answer,) = model.recommend([SESSION], 1)
    best = int(np.argmax(EXPECTED[1:]))
    assert repr(answer) == (
        f"Answer({ITEMS[best]} {EXPECTED[1 + best]:.4f}; unknown: 1 of the pages, 1 of the purchases)"
    )
    assert repr(Answer(tuple((f"i{k}", 0.5) for k in range(9)), 0, 0)).endswith("i4 0.5000, ... 9 items)")
    # An id is text of somebody else's: it is shown, not run.
    assert "<td>&lt;b&gt;</td><td>0.5000</td>" in Answer((("<b>", 0.5),), 0, 0)._repr_html_()


def test_int8_names_an_onnxruntime_that_is_too_old(tmp_path, monkeypatch):
    """The floor of drn, 1.18, has no product of 8 bits: the model is not to blame."""
    write_model(tmp_path / "model.onnx")
    monkeypatch.setattr("onnxruntime.__version__", "1.18.1")
    with pytest.raises(ModelError, match=r"^int8 wants onnxruntime 1\.22 or newer, and this is 1\.18\.1$"):
        Model(tmp_path, int8=True)
