"""Real Caffe runs a net of a user's templates: the LSTM of the worked example, equal to its ONNX graph."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from draws import blobs, weights

from generator.caffe.caffemodel import write_caffemodel
from generator.caffe.prototxt import parse_net
from generator.codegen.render import render
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import parse_spec

pytestmark = pytest.mark.oracle

LSTM = Path(__file__).parents[1] / "codegen" / "lstm"


@pytest.mark.parametrize("history", [0, 2])
def test_an_lstm_column(caffe, tmp_path, history):
    spec = parse_spec(
        f"name: small\nnet: rnn\npages: 9\nitems: 7\ntop_k: 3\nrnn: {{window: 3, widths: [4, 5], history: {history}}}",
        "small.yaml",
    )
    texts = render(spec, ["caffe", "onnx"], LSTM)
    (tmp_path / "deploy.prototxt").write_text(texts["deploy.prototxt"])
    model = parse(texts["model.onnxtxt"], "model.onnxtxt")
    w, b = weights(parameter_shapes(model), 3), blobs(spec, 6, 3)
    del b["label"]
    caffemodel = tmp_path / "weights.caffemodel"
    write_caffemodel(caffemodel, parse_net(texts["deploy.prototxt"], "deploy.prototxt"), w)
    theirs = caffe.forward(tmp_path / "deploy.prototxt", caffemodel, b, ["probability"])["probability"]
    ours = onnxruntime.InferenceSession(model.SerializeToString()).run(["probability"], w | b)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
