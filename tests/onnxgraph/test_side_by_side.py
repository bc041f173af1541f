"""Nets side by side: the scores are the means of the scores of each net, by the formulas of reference.py."""

import numpy as np
import pytest
from draws import blobs, specs, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime import InferenceSession
from reference import logits, probability, tensors

from generator.codegen.artefacts import generate
from generator.errors import SpecError
from generator.onnxgraph.ensemble import side_by_side
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec


def of_nets(spec: Spec, count: int) -> Spec:
    return spec.model_copy(update={"ensemble": count})


def probabilities(files: dict[str, bytes], weights: dict[str, np.ndarray], blobs: dict[str, np.ndarray]) -> np.ndarray:
    given = {name: array for name, array in blobs.items() if name != "label"}
    return InferenceSession(files["model.onnx"]).run(["probability"], weights | given)[0]


@settings(deadline=None, max_examples=60)
@given(specs() | specs(mix=True), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_the_score_of_an_ensemble_is_the_mean_of_its_nets(spec, count, seed):
    files = generate(of_nets(spec, count), ["onnx", "binary"])
    shapes = parameter_shapes(parse(files["loss.onnxtxt"].decode(), "loss.onnxtxt"))
    nets = [weights(shapes, seed + number) for number in range(count)]
    drawn, read = (
        weights(parameter_shapes(parse(files["model.onnxtxt"].decode(), "model.onnxtxt")), seed),
        blobs(spec, 5, seed),
    )
    mixture = {name: values for name, values in drawn.items() if name.startswith("mix_")}
    found = probabilities(files, side_by_side(nets) | mixture, read)

    scores = [logits(spec, tensors(net), tensors(read))[:, -1].double().numpy() for net in nets]
    expected = probability(spec, mixture, read, scores=np.mean(scores, axis=0))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_what_is_trained_is_one_net_and_what_answers_all(root):
    spec = Spec.model_validate(
        {
            "name": "wide",
            "net": "rnn",
            "pages": 9,
            "items": 9,
            "rnn": {"window": 2, "widths": [4]},
            "head": {"tied": True, "dropout": 0.5},
            "solver": {"random_seed": 3},
        }
    )
    one, three = (generate(each) for each in (spec, of_nets(spec, 3)))
    for name in ("train_val.prototxt", "solver.prototxt", "loss.onnxtxt", "gradient.onnxtxt"):
        assert three[name] == one[name]
    shapes = parameter_shapes(parse(three["model.onnxtxt"].decode(), "model.onnxtxt"))
    assert shapes["page_embedding"] == (10, 12)
    assert shapes["projection_weight"] == (12, 12)  # the tied table cannot be divided by three, this can
    seeds = [of_nets(spec, 3).member(number).solver.random_seed for number in (1, 2, 3)]
    assert seeds[0] == 3
    assert len(set(seeds)) == 3


def test_initial_weights_are_those_of_each_net(root):
    spec = Spec.model_validate(
        {"name": "wide", "net": "fnn", "pages": 9, "items": 9, "fnn": {"bought": 2, "widths": [4, 3]}, "ensemble": 2}
    )
    files = generate(spec, init=5)
    read = blobs(spec, 4, 1)
    nets = [generate(spec.member(), init=seed) for seed in (5, 6)]
    scores = [np.log(probabilities(each, {}, read)) for each in nets]
    mean = np.exp(np.mean(scores, axis=0))
    np.testing.assert_allclose(probabilities(files, {}, read), mean / mean.sum(axis=1, keepdims=True), atol=1e-6)
    with pytest.raises(SpecError, match="knows none of others"):
        generate(spec, init=5, templates=root / "templates")
