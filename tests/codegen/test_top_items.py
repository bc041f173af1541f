"""The top items inside the model are those of a stable sort of all probabilities, whatever ties there are."""

import numpy as np
import onnxruntime
import pytest

from generator.codegen.artefacts import generate
from generator.codegen.net import net_of
from generator.onnxgraph.initialise import embed_weights
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.load import parse_spec

SPEC = "name: top\nnet: fnn\npages: 5\nitems: {items}\ntop_k: {top}\nfnn: {{bought: 2, widths: [3]}}\n"
SMALL, DIVIDING, PADDED = 4000, 6_399, 5_000  # 6400 scores are blocks without a rest, 5001 are not


def sorted_items(probability, top):
    """Item ids by numpy's stable sort, best first, of equals the lower first; index 0 is no item."""
    return np.argsort(-probability[:, 1:], axis=1, kind="stable")[:, :top] + 1


def biases(items: int):
    """Scores of all items, each a case of ties."""
    random = np.random.default_rng(5)
    few = random.integers(0, 3, items + 1).astype(np.float32)
    alone = np.zeros(items + 1, np.float32)
    alone[[3, items]] = 2, 1
    spread = np.zeros(items + 1, np.float32)
    spread[1 :: items // 7] = 1  # equals in blocks far from each other, and one greater in one of the last
    spread[spread.nonzero()[0][-2] + 1] = 2
    none_first = few.copy()
    none_first[0] = 9
    return {
        "drawn": random.standard_normal(items + 1).astype(np.float32),
        "all equal": np.zeros(items + 1, np.float32),
        "few values": few,
        "the best at both ends": alone,
        "rising": np.linspace(0, 1, items + 1, dtype=np.float32),
        "falling": np.linspace(1, 0, items + 1, dtype=np.float32),
        "equals far from each other": spread,
        "index 0 is greatest": none_first,
        "nothing but index 0": np.where(np.arange(items + 1) == 0, 0, -200).astype(np.float32),
    }


@pytest.mark.parametrize("top", [1, 20, 300, 1000])
@pytest.mark.parametrize("items", [SMALL, DIVIDING, PADDED])
def test_they_are_those_of_a_stable_sort(items, top):
    spec = parse_spec(SPEC.format(items=items, top=top), "top.yaml")
    model = parse(generate(spec)["model.onnxtxt"].decode(), "model.onnxtxt")
    weights = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(model).items()}
    empty = {"bought": np.zeros((2, 2), np.int64), "bought_weight": np.zeros((2, 2), np.float32)}
    for name, bias in biases(items).items():
        embedded = embed_weights(model, weights | {"output_bias": bias})
        session = onnxruntime.InferenceSession(embedded.SerializeToString())
        found = dict(zip(("probability", "top_item", "top_probability"), session.run(None, empty), strict=True))
        wanted = sorted_items(found["probability"], top)
        np.testing.assert_array_equal(found["top_item"], wanted, err_msg=name)
        np.testing.assert_array_equal(
            found["top_probability"], np.take_along_axis(found["probability"], wanted, 1), err_msg=name
        )


def test_each_row_has_its_own():
    spec = parse_spec(SPEC.format(items=PADDED, top=20), "top.yaml")
    model = parse(generate(spec)["model.onnxtxt"].decode(), "model.onnxtxt")
    random = np.random.default_rng(6)
    weights = {
        name: random.standard_normal(shape).astype(np.float32) for name, shape in parameter_shapes(model).items()
    }
    blobs = {"bought": random.integers(1, PADDED, (33, 2)), "bought_weight": np.ones((33, 2), np.float32)}
    session = onnxruntime.InferenceSession(embed_weights(model, weights).SerializeToString())
    probability, item = session.run(["probability", "top_item"], blobs)
    np.testing.assert_array_equal(item, sorted_items(probability, 20))
    assert len(np.unique(item[:, 0])) > 1


@pytest.mark.parametrize(
    ("items", "top", "blocked"),
    [(SMALL, 1, False), (DIVIDING, 20, True), (PADDED, 20, True), (PADDED, 300, False), (10**6, 20, True)],
)
def test_blocks_are_for_many_items_and_few_asked_for(items, top, blocked):
    width = net_of(parse_spec(SPEC.format(items=items, top=top), "top.yaml")).block
    assert bool(width) == blocked
    assert items != DIVIDING or (items + 1) % width == 0
