"""model.onnx in other ONNX runtimes: the same items and probabilities, alone and in batches, for every spec."""

from pathlib import Path

import numpy as np
import pytest
from draws import blobs, weights
from reading import run_onnx

from generator.codegen.render import render_net
from generator.onnxgraph.initialise import embed_weights, save
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (1, 2, 64)
PROGRAMS = ["floor", "newest", "openvino", "mnn", "onnxruntime-node", "onnxruntime-web"]


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """Each spec's model with weights that tell items apart, beside sessions for each size of batch."""
    found, folder = [], tmp_path_factory.mktemp("models")
    for path in sorted((root / "arch_specs").glob("*.yaml")):
        spec = load_spec(path)
        model = parse(render_net(spec, "onnx/model.onnxtxt.j2"), "model.onnxtxt")
        drawn = weights(parameter_shapes(model), seed=3)
        save(embed_weights(model, drawn), file := folder / f"{spec.name}.onnx")
        for batch in BATCHES:
            inputs = blobs(spec, batch, seed=batch)
            del inputs["label"]
            found.append((file, inputs))
    return found


@pytest.fixture(scope="module")
def expected(root, runs, tmp_path_factory):
    return run_onnx(root, "newest", runs, tmp_path_factory.mktemp("newest")).outputs


@pytest.mark.parametrize("program", PROGRAMS)
def test_same_items_and_probabilities(root, runs, expected, tmp_path, program):
    found, told = run_onnx(root, program, runs, tmp_path).outputs, []
    for (file, inputs), ours, theirs in zip(runs, expected, found, strict=True):
        what = f"{file.stem}, batch {len(next(iter(inputs.values())))}"
        np.testing.assert_allclose(theirs["probability"], ours["probability"], atol=1e-7, rtol=1e-5, err_msg=what)
        # Of items whose probabilities are equal, or as good as equal, a runtime may take another.
        taken = np.take_along_axis(ours["probability"], theirs["top_item"], axis=1)
        np.testing.assert_allclose(taken, ours["top_probability"], rtol=1e-5, err_msg=what)
        apart = np.diff(ours["top_probability"], prepend=2, append=-1, axis=1)
        clear = np.minimum(-apart[:, :-1], -apart[:, 1:]) > 1e-5 * ours["top_probability"]
        np.testing.assert_array_equal(theirs["top_item"][clear], ours["top_item"][clear], err_msg=what)
        told.append(clear.mean())
    assert np.mean(told) > 0.98


def test_the_floor_is_the_oldest_that_drn_allows(root, runs, tmp_path):
    declared = next(line.strip() for line in (root / "setup.cfg").read_text().splitlines() if "onnxruntime>=" in line)
    version = run_onnx(root, "floor", runs[:1], tmp_path).version
    assert version.startswith(declared.removeprefix("onnxruntime>="))
