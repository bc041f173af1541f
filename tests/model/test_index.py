"""An index beside the whole catalogue scored: the same items, the net's own figures, the estimate's error."""

import numpy as np
import onnx
import pytest
from trained_run import write_run

from generator.errors import ModelError
from generator.model.filter import Filter
from generator.model.model import Model
from generator.model.query import Query

pytest.importorskip("faiss", reason="faiss is not installed: pip install 'drn-recommender[index]'")

MIX = {"tied": True, "projection": True, "mix": {"pages": 5, "newest": 2}}
NETS = {
    "combined": {},
    "fnn": {"net": "fnn", "rnn": None, "fnn": {"bought": 3, "widths": [6]}},
    "rnn": {"net": "rnn", "rnn": {"window": 3, "widths": [8], "history": 2}, "fnn": None},
    "mixture": {"head": MIX},
    "slots": {"head": {**MIX, "slots": 3}},
}


def queries(count, pages=60, items=50):
    """Sessions of every length, with pages and purchases that no model knows."""
    draw = np.random.default_rng(4)
    return [
        Query(
            [(f"page-{draw.integers(1, pages + 6)}", float(draw.integers(1, 60))) for _ in range(number % 9)],
            [f"item-{draw.integers(1, items + 4)}" for _ in range(number % 4)],
        )
        for number in range(count)
    ]


def both(folder, **changes):
    write_run(folder / "run", **{"pages": 50, "items": 50, "top_k": 20, **changes})
    return Model(folder / "run"), Model(folder / "run", index=True)


@pytest.mark.parametrize("net", NETS)
def test_where_all_items_are_near_nothing_differs(tmp_path, net):
    """Softmax, mixture and slots among them: nothing is left to estimate, so it is the whole graph's answer."""
    whole, indexed = both(tmp_path, **NETS[net])
    for one, other in zip(whole.recommend(queries(40)), indexed.recommend(queries(40)), strict=True):
        assert [item for item, _ in other.items] == [item for item, _ in one.items]
        assert [p for _, p in other.items] == pytest.approx([p for _, p in one.items], rel=1e-5)
        assert (other.unknown_pages, other.unknown_bought) == (one.unknown_pages, one.unknown_bought)


@pytest.fixture(scope="module", params=["combined", "mixture"])
def large(request, tmp_path_factory):
    """Far more items than are scored: 6,000."""
    changes = {"items": 6000, "pages": 6000, **NETS[request.param]}
    return both(tmp_path_factory.mktemp("large"), **changes)


def test_of_many_items_it_finds_the_best(large):
    whole, indexed = large
    asked = queries(60, 6000, 6000)
    for one, other in zip(whole.recommend(asked), indexed.recommend(asked), strict=True):
        exact, near = dict(one.items), dict(other.items)
        assert len(near) == 20
        assert len(exact.keys() & near.keys()) >= 18
        for item in exact.keys() & near.keys():
            assert near[item] == pytest.approx(exact[item], rel=0.1)  # the sum of all others is an estimate


def test_scores_are_those_of_the_items_near_and_nothing_of_others(large):
    whole, indexed = large
    blobs = {
        name: np.concatenate([np.zeros((2, size)), np.ones((3, size))]).astype(
            "i8" if name in ("page", "history_page", "bought", "seen_page") else "f4"
        )
        for name, size in whole.sizes.items()
    }
    exact, near = whole.scores(blobs), indexed.scores(blobs)
    assert near.shape == exact.shape
    scored = near > 0
    assert (scored.sum(axis=1) >= 200).all()
    assert (scored.sum(axis=1) < 1000).all()
    np.testing.assert_allclose(near[scored], exact[scored], rtol=0.1)


def test_an_answer_does_not_depend_on_the_queries_beside_it(large):
    _, indexed = large
    asked = queries(12, 6000, 6000)
    for one, together in zip(asked, indexed.recommend(asked), strict=True):
        (alone,) = indexed.recommend([one])
        assert [item for item, _ in alone.items] == [item for item, _ in together.items]
        assert [p for _, p in alone.items] == pytest.approx([p for _, p in together.items], rel=1e-6)


def test_filters_are_kept_and_as_many_come_back_as_are_allowed(large):
    """What is allowed but not near is ranked by the whole graph, exactly."""
    whole, indexed = large
    asked = queries(8, 6000, 6000)
    best = [frozenset(item for item, _ in one.items[:10]) for one in indexed.recommend(asked)]
    others = indexed.recommend(asked, 10, [[Filter(exclude=some)] for some in best])
    for some, answer, plain in zip(best, others, indexed.recommend(asked), strict=True):
        assert not some & {item for item, _ in answer.items}
        assert answer.items == plain.items[10:20]
    only = Filter(only=frozenset(f"item-{number}" for number in range(1, 6001, 400)))
    assert len(only.only) == 15
    found, wanted = (model.recommend(asked, 20, [[only]] * 8) for model in (indexed, whole))
    assert [one.items for one in found] == [one.items for one in wanted]
    assert len(found[0].items) == 15
    found, wanted = (model.recommend(asked, 900) for model in (indexed, whole))
    assert [one.items for one in found] == [one.items for one in wanted]


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    write_run(tmp_path / "run")
    file = tmp_path / "run" / "models" / "small" / "1" / "model.onnx"
    model = onnx.load(file)
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(weight).copy()
            values.flat[-1] = np.nan
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, file)
    with pytest.raises(ModelError, match=r"model.onnx: its weights are broken, some are no number"):
        Model(file, index=True)


def test_the_best_are_found_where_scores_are_close_and_biases_wide(tmp_path):
    """Of 30,000 items in a few tight groups, popular ones far above: nearly all of the 20 best, as numpy ranks them."""
    write_run(tmp_path / "run", pages=40, items=30_000, top_k=20)
    file = tmp_path / "run" / "models" / "small" / "1" / "model.onnx"
    model, draw = onnx.load(file), np.random.default_rng(2)
    for weight in model.graph.initializer:
        if weight.dims and weight.dims[0] == 30_001:
            group = draw.integers(0, 9, 30_001)
            values = draw.normal(0, 1, (9, *weight.dims[1:]))[group] + draw.normal(0, 0.1, list(weight.dims))
            if len(weight.dims) == 1:
                values = -np.log(draw.permutation(30_001) + 1.0)
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))
    onnx.save(model, file)
    whole, indexed, asked = Model(file), Model(file, index=True), queries(60, 40, 30_000)
    held = [
        len(dict(one.items).keys() & dict(other.items).keys())
        for one, other in zip(whole.recommend(asked), indexed.recommend(asked), strict=True)
    ]
    assert np.mean(held) >= 20 * 0.99


def test_a_model_of_another_form_is_refused(tmp_path):
    write_run(tmp_path / "run")
    file = tmp_path / "run" / "models" / "small" / "1" / "model.onnx"
    model = onnx.load(file)
    for node in model.graph.node:
        if node.op_type == "Softmax":
            node.op_type = "Sigmoid"
            del node.attribute[:]
    onnx.save(model, file)
    with pytest.raises(ModelError, match=r"model.onnx: no index can be built for it: 0 Softmax lead to its prob"):
        Model(file, index=True)
