"""How parameters start: Caffe's distributions, and the identities that no filler of Caffe's gives."""

import tracemalloc

import numpy as np
import pytest
from draws import weights

from generator.caffe.fillers import BlobFiller
from generator.caffe.prototxt import learnable, parse_net
from generator.codegen.render import render
from generator.errors import ModelError
from generator.onnxgraph.initialise import embed_weights, fill
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec


def start(seed: int = 3, **changes: object) -> dict[str, np.ndarray]:
    values = {"name": "x", "net": "rnn", "pages": 400, "items": 400, "rnn": {"window": 2, "widths": [200, 100]}}
    spec = Spec.model_validate(values | changes)
    net = parse_net(render(spec, ["caffe"])["train_val.prototxt"], "train_val.prototxt")
    shapes = parameter_shapes(parse(render(spec, ["onnx"])["model.onnxtxt"], "model.onnxtxt"))
    return fill(spec, learnable(net), shapes, seed)


def test_gaussian_and_xavier_have_caffes_moments():
    w = start(init={"table": {"type": "gaussian", "mean": 0.5, "std": 0.2}})
    assert w["page_embedding"].mean() == pytest.approx(0.5, abs=0.01)
    assert w["page_embedding"].std() == pytest.approx(0.2, abs=0.01)
    # Caffe's xavier: uniform within sqrt(3 / fan_in), fan_in the width of what the matrix multiplies.
    matrix = w["hidden2_input_weight"]
    assert matrix.shape == (100, 200)
    assert np.abs(matrix).max() == pytest.approx((3 / 200) ** 0.5, rel=1e-3)
    assert matrix.std() == pytest.approx((1 / 200) ** 0.5, rel=0.02)
    assert not w["hidden1_bias"].any()


def test_other_fillers():
    init = {"table": {"type": "uniform", "min": -2.0, "max": 1.0}, "weight": {"type": "msra"}}
    w = start(init=init | {"bias": {"type": "constant", "value": 0.25}})
    assert w["page_embedding"].min() == pytest.approx(-2, abs=0.01)
    assert w["page_embedding"].max() == pytest.approx(1, abs=0.01)
    assert w["hidden2_input_weight"].std() == pytest.approx((2 / 200) ** 0.5, rel=0.02)
    assert (w["hidden1_bias"] == np.float32(0.25)).all()


def test_a_large_matrix_takes_its_own_memory_and_little_more():
    """Of the numbers that NumPy draws in float64 few are held at a time, and they are those of one draw."""
    filler, shape = BlobFiller("uniform", 0.0, -1.0, 2.0, 0.0, 1.0, "FAN_IN"), (3000, 1000)
    tracemalloc.start()
    try:
        drawn = filler.draw(shape, np.random.default_rng(5))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert drawn.nbytes < peak < 2 * drawn.nbytes  # at once: three times
    np.testing.assert_array_equal(drawn, np.random.default_rng(5).uniform(-1.0, 2.0, shape).astype(np.float32))


def test_the_head_starts_as_the_plain_net():
    """A at the identity and S at 0: projection and skip change nothing before the first update."""
    w = start(head={"projection": True, "skip": True}, init={"recurrent": 0.5})
    np.testing.assert_array_equal(w["projection_weight"], np.eye(100))
    assert not w["skip_weight"].any()
    np.testing.assert_array_equal(w["hidden1_recurrent_weight"], np.eye(200) * 0.5)


def test_a_seed_gives_the_same_weights_whatever_the_other_shapes():
    one, two = start(), start(rnn={"window": 2, "widths": [200, 50]})
    np.testing.assert_array_equal(one["page_embedding"], two["page_embedding"])
    assert not np.array_equal(one["page_embedding"], start(seed=4)["page_embedding"])


def test_wrong_or_missing_weights_are_named():
    text = (
        '<ir_version: 8, opset_import: ["" : 18]> g (float[B, 2] x, float[2] w) => (float[B, 2] y) { y = Add (x, w) }'
    )
    model = parse(text, "g")
    with pytest.raises(ModelError, match=r"weights of w have shape \(3,\), not \(2,\)"):
        embed_weights(model, weights({"w": (3,)}, 0))
    with pytest.raises(ModelError, match="no weights for parameter w"):
        embed_weights(model, {})
