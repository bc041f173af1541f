"""Real Caffe and onnxruntime on the same weights and sessions: the same probabilities and losses."""

from pathlib import Path

import h5py
import numpy as np
import onnxruntime
import pytest
from draws import blobs, specs, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import caffe_inputs

from generator.caffe.caffemodel import write_caffemodel
from generator.caffe.prototxt import parse_net
from generator.codegen.artefacts import generate
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec
from generator.spec.schema import Spec

pytestmark = pytest.mark.oracle

ARCH_SPECS = sorted((Path(__file__).parents[2] / "arch_specs").glob("*.yaml"))
BATCH = 6
# The fixtures hold one Caffe process and one folder for all examples on purpose.
DRAWN = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def agree(caffe, folder: Path, spec: Spec, seed: int) -> None:
    """Deploy: the same probabilities. train_val: the same loss, read from HDF5, in both phases."""
    files = generate(spec)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    model = parse(files["model.onnxtxt"].decode(), "model.onnxtxt")
    w, b = weights(parameter_shapes(model), seed), blobs(spec, BATCH, seed)
    caffemodel = folder / "weights.caffemodel"
    net, deploy = (parse_net(files[name].decode(), name) for name in ("train_val.prototxt", "deploy.prototxt"))
    trained = {name: values for name, values in w.items() if not name.startswith("mix_")}
    write_caffemodel(caffemodel, net, trained, also=[deploy])
    inputs = caffe_inputs(spec, w, b)
    given = {name: array for name, array in b.items() if name != "label"}
    ours = onnxruntime.InferenceSession(files["model.onnx"]).run(["probability"], w | given)[0]
    theirs = caffe.forward(folder / "deploy.prototxt", caffemodel, inputs, ["probability"])["probability"]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)

    with h5py.File(folder / "data.h5", "w") as file:
        for name, array in b.items():
            file[name] = array.astype(np.int32 if array.dtype == np.int64 else np.float32)
    for split in ("train.txt", "test.txt"):
        (folder / split).write_text("data.h5\n")
    loss = onnxruntime.InferenceSession(files["loss.onnx"]).run(
        ["loss"], trained | {name: array for name, array in b.items() if not name.startswith("seen_")}
    )[0]
    for phase in ("TRAIN", "TEST"):
        found = caffe.forward(folder / "train_val.prototxt", caffemodel, {}, ["loss"], phase)["loss"]
        np.testing.assert_allclose(loss, found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", ARCH_SPECS, ids=lambda path: path.stem)
def test_arch_spec(caffe, tmp_path, path):
    # Caffe draws dropout's masks at random in its TRAIN phase: compared with dropout off.
    agree(caffe, tmp_path, load_spec(path, [f"solver.batch_size={BATCH}", "head.dropout=0"]), seed=7)


@DRAWN
@given(specs() | specs(mix=True), st.integers(0, 2**32 - 1))
def test_drawn_spec(caffe, tmp_path, spec, seed):
    drawn = spec.model_copy(update={"solver": spec.solver.model_copy(update={"batch_size": BATCH})})
    agree(caffe, tmp_path, drawn, seed)
