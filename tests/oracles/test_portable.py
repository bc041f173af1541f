"""deploy.portable.prototxt in real Caffe against deploy.prototxt: the same probabilities, of the few layers allowed."""

import re

import numpy as np
import pytest
from draws import blobs, specs, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import caffe_inputs
from trained_run import write_run

from generator.caffe.caffemodel import write_caffemodel, write_layers
from generator.caffe.portable import input_sizes, portable_layers
from generator.caffe.prototxt import parse_net
from generator.codegen import net
from generator.codegen.render import render
from generator.errors import ModelError
from generator.export.caffe import export_caffe
from generator.export.portable import PortableInputs, portable_inputs
from generator.model.model import Model
from generator.model.query import Query
from generator.model.windows import input_blobs
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec

KINDS = ["fnn", "rnn", "rnn-history", "combined", "shop", "yoochoose-tuned", "taobao-tuned"]
BATCH = 5
DRAWN = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def agree(caffe, folder, spec, seed):
    """Both nets, with the same weights on the same sessions; what is mixed is divided by its sum."""
    texts = render(spec, ["caffe", "portable", "onnx"])
    for name, text in texts.items():
        (folder / name).write_text(text)
    train, deploy, portable = (
        parse_net(texts[name], name) for name in ("train_val.prototxt", "deploy.prototxt", "deploy.portable.prototxt")
    )
    w = weights(parameter_shapes(parse(texts["model.onnxtxt"], "model.onnxtxt")), seed)
    b = blobs(spec, BATCH, seed)
    net_alone = {name: values for name, values in w.items() if not name.startswith("mix_")}
    write_caffemodel(folder / "deploy.caffemodel", train, net_alone, also=[deploy])
    write_layers(folder / "portable.caffemodel", spec.name, portable_layers(deploy, portable, w))
    inputs = caffe_inputs(spec, w, b)
    vectors = portable_inputs(input_sizes(portable), {**b, **inputs}, w)
    output = "mixed" if spec.seen else "probability"
    ours, theirs = (
        caffe.forward(folder / f"{name}.prototxt", folder / f"{file}.caffemodel", given, [output])[output]
        for name, file, given, output in (
            ("deploy.portable", "portable", vectors, output),
            ("deploy", "deploy", inputs, "probability"),
        )
    )
    np.testing.assert_allclose(ours / ours.sum(axis=1, keepdims=True), theirs, atol=1e-6)
    return portable, vectors


@pytest.mark.oracle
@pytest.mark.parametrize("name", KINDS)
def test_arch_spec(caffe, tmp_path, root, name):
    agree(caffe, tmp_path, load_spec(root / "arch_specs" / f"{name}.yaml"), seed=3)


@pytest.mark.oracle
@DRAWN
@given(spec=specs() | specs(mix=True), seed=st.integers(0, 2**32 - 1))
def test_drawn_spec(caffe, tmp_path, spec, seed):
    agree(caffe, tmp_path, spec, seed)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["rnn-history", "combined", "shop"])
def test_a_large_catalogue_is_read_as_rows(caffe, tmp_path, root, name, monkeypatch):
    monkeypatch.setattr(net, "MOST_ONE_HOT", 100)
    spec = load_spec(root / "arch_specs" / f"{name}.yaml")
    portable, vectors = agree(caffe, tmp_path, spec, seed=4)
    ids = [vector.shape[1] for name, vector in vectors.items() if not name.startswith("mix_")]
    assert max(ids) < 100
    assert not [layer.name for layer in portable.layer if re.search(r"_onehot$|_bag$", layer.name)]


@pytest.mark.parametrize("name", KINDS)
def test_it_is_made_of_layers_that_all_readers_know(root, name):
    text = render(load_spec(root / "arch_specs" / f"{name}.yaml"), ["portable"])["deploy.portable.prototxt"]
    slots = {"Concat"} if "mix_slot" in text else set()  # which follow the items
    assert {*re.findall(r'type: "(\w+)"', text)} <= {"Input", "InnerProduct", "Eltwise", "ReLU", "Softmax"} | slots
    assert "bias_term" not in text
    assert "transpose" not in text
    assert "param {" not in re.sub(r"\w+_param \{", "", text)


def test_nets_of_two_specs_are_refused(root):
    fnn, rnn = (load_spec(root / "arch_specs" / f"{name}.yaml") for name in ("fnn", "rnn"))
    deploy = parse_net(render(fnn, ["caffe"])["deploy.prototxt"], "deploy.prototxt")
    portable = parse_net(render(rnn, ["portable"])["deploy.portable.prototxt"], "deploy.portable.prototxt")
    given = weights(parameter_shapes(parse(render(fnn, ["onnx"])["model.onnxtxt"], "m")), 0)
    with pytest.raises(ModelError, match="layer visit_t0 of the portable net is not in the deploy net"):
        portable_layers(deploy, portable, given)


def test_an_unknown_input_is_named():
    with pytest.raises(ModelError, match="input weather is none that drn makes"):
        portable_inputs({"weather": 3}, {}, {})


@pytest.mark.oracle
def test_an_exported_run_in_caffe_answers_as_the_model_does(caffe, tmp_path):
    write_run(tmp_path / "run")
    export_caffe(tmp_path / "run", tmp_path / "caffe")
    sessions = [Query([(f"page-{1 + (k * j) % 12}", 3.0 + j) for j in range(k)], [f"item-{1 + k}"]) for k in range(8)]
    model = Model(tmp_path / "run")
    blobs = input_blobs([model.window(session) for session in sessions], model.sizes)
    files = (tmp_path / "caffe" / f"deploy.portable.{kind}" for kind in ("prototxt", "caffemodel"))
    found = caffe.forward(*files, PortableInputs(tmp_path / "caffe")(sessions), ["probability"])["probability"]
    np.testing.assert_allclose(found, model.scores(blobs), atol=1e-6)


MIXED = {"net": "rnn", "pages": 10, "items": 10, "data": {"target": "next"}}
HEADS = {
    "mixture": {"mix": {"pages": 4, "newest": 2, "followers": 3}},
    "slots": {"tied": True, "projection": True, "mix": {"pages": 4, "newest": 2, "followers": 3}, "slots": 2},
}


@pytest.mark.oracle
@pytest.mark.parametrize("head", HEADS)
def test_an_exported_run_with_a_mixture_recommends_the_same_items(caffe, tmp_path, head):
    """What the Python function makes of a session, through the net in Caffe: the order that the model gives."""
    write_run(tmp_path / "run", seed=3, **MIXED, head=HEADS[head])
    export_caffe(tmp_path / "run", tmp_path / "caffe")
    inputs, model = PortableInputs(tmp_path / "caffe"), Model(tmp_path / "run")
    labels = [f"page-{number}" for number in range(1, 11)] + ["new", "newer", "newest"]
    sessions = [Query([(labels[(k + j * j) % 13], 3.0 + j) for j in range(k)]) for k in range(9)]
    assert inputs.output == "mixed"
    files = (tmp_path / "caffe" / f"deploy.portable.{kind}" for kind in ("prototxt", "caffemodel"))
    mixed = caffe.forward(*files, inputs(sessions), ["mixed"])["mixed"]
    blobs = input_blobs([model.window(session) for session in sessions], model.sizes)
    wanted = model.scores(blobs)
    np.testing.assert_allclose(mixed / mixed.sum(axis=1, keepdims=True), wanted, atol=1e-6)
    assert mixed.shape == (9, 13 if head == "slots" else 11)
    np.testing.assert_array_equal(np.argsort(-mixed[:, 1:])[:, :5], np.argsort(-wanted[:, 1:])[:, :5])
