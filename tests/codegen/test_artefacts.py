"""What `gen-model` writes: complete, reproducible, checked, and nothing at all on error."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from draws import specs
from google.protobuf import text_format
from hypothesis import given, settings

from generator.caffe.prototxt import learnable, parse_net
from generator.codegen.artefacts import generate, generate_text
from generator.codegen.render import prototxt_number
from generator.commands.generate import command
from generator.onnxgraph.parse import parameter_shapes
from generator.spec import load_spec

FILES = {
    "config.pbtxt", "deploy.portable.prototxt", "deploy.prototxt", "gradient.onnx", "gradient.onnxtxt", "graph.dot",
    "loss.onnx", "loss.onnxtxt", "manifest.json", "model.onnx", "model.onnxtxt", "solver.prototxt",
    "train_val.prototxt",
}  # fmt: skip


@pytest.fixture
def small(tmp_path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text("name: small\nnet: rnn\npages: 9\nitems: 7\ntop_k: 3\nrnn: {window: 2, widths: [4]}\n")
    return path


def gen_model(*arguments: object):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_committed_output_is_what_the_specs_give(root):
    result = gen_model("--check", *sorted((root / "arch_specs").glob("*.yaml")), "-o", root / "generated")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (root / "generated").iterdir()} == {
        path.stem for path in (root / "arch_specs").glob("*.yaml")
    }


def test_all_artefacts_are_written(small, tmp_path):
    result = gen_model(small, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out" / "small").iterdir()} == FILES


def test_the_manifest_holds_the_hash_of_every_text(small):
    files = generate(load_spec(small))
    manifest = json.loads(files["manifest.json"])
    assert set(manifest["sha256"]) == {name for name in FILES if not name.endswith((".onnx", ".json"))}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256(files[name]).hexdigest() == digest


@settings(max_examples=25, deadline=None)
@given(specs())
def test_every_onnx_text_is_its_binary(spec):
    files = generate(spec)
    for name in ("model", "loss", "gradient"):
        model = onnx.load_model_from_string(files[f"{name}.onnx"])
        onnx.checker.check_model(model, full_check=True)
        text = onnx.parser.parse_model(files[f"{name}.onnxtxt"].decode())
        for node in text.graph.node:
            node.name = node.output[0]
        assert text == model


@settings(max_examples=25, deadline=None)
@given(specs())
def test_prototxt_and_onnx_have_the_same_parameters(spec):
    texts = generate_text(spec)
    shapes = parameter_shapes(onnx.parser.parse_model(texts["model.onnxtxt"]))
    for name in ("train_val.prototxt", "deploy.prototxt"):
        net = parse_net(texts[name], name)
        assert {parameter.name for parameter in learnable(net)} == set(shapes)


def test_drift_is_found_and_shown(small, tmp_path):
    out = tmp_path / "out"
    gen_model(small, "-o", out)
    assert gen_model("--check", small, "-o", out).exit_code == 0
    solver = out / "small" / "solver.prototxt"
    solver.write_text(solver.read_text().replace("base_lr: 0.1", "base_lr: 0.2"))
    result = gen_model("--check", small, "-o", out)
    assert result.exit_code == 1
    assert "-base_lr: 0.2\n+base_lr: 0.1\n" in result.output
    (out / "small" / "graph.dot").unlink()
    assert "+digraph" in gen_model("--check", small, "-o", out).output


def test_a_bad_spec_among_good_ones_writes_nothing(small, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\nnet: rnn\npages: 0\nitems: 7\nrnn: {window: 2, widths: [4]}\n")
    run = subprocess.run(
        [sys.executable, "-m", "generator", "generate", str(small), str(bad), "-o", str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert "bad.yaml:3:8: pages: " in run.stderr
    assert not (tmp_path / "out").exists()


def test_two_specs_of_one_name_are_refused(small, tmp_path):
    twin = tmp_path / "twin.yaml"
    twin.write_text(small.read_text())
    result = gen_model(small, twin, "-o", tmp_path / "out")
    assert "name small is taken by" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_only_some_groups(small, tmp_path):
    gen_model(small, "--only", "caffe,triton", "-o", tmp_path)
    names = {path.name for path in (tmp_path / "small").iterdir()}
    assert names == {"train_val.prototxt", "deploy.prototxt", "solver.prototxt", "config.pbtxt"}
    assert gen_model(small, "--only", "tensorflow", "-o", tmp_path).exit_code == 2


def test_texts_alone_need_no_heavy_library(small):
    program = (
        "import sys; from generator.spec import load_spec; from generator.codegen.artefacts import generate_text\n"
        "generate_text(load_spec(sys.argv[1]), ['caffe', 'onnx', 'triton', 'graph'])\n"
        "assert not {'onnx', 'numpy', 'onnxruntime', 'h5py', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(small)], check=True)


def test_init_puts_the_weights_inside(small, tmp_path):
    for seed, folder in ((1, "a"), (1, "b"), (2, "c")):
        gen_model(small, "--init", seed, "-o", tmp_path / folder)
    models = [(tmp_path / folder / "small" / "model.onnx").read_bytes() for folder in "abc"]
    assert models[0] == models[1] != models[2]
    session = onnxruntime.InferenceSession(models[0])
    assert [blob.name for blob in session.get_inputs()] == ["page"]
    probability, top, _ = session.run(None, {"page": np.array([[0, 3], [2, 9]])})
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-6)
    assert probability.shape == (2, 8)
    assert top.min() >= 1


def test_the_triton_config_describes_the_model(root):
    """Against Triton's own names: every input and output of the graph, its type and its sizes behind the batch."""
    for folder in sorted((root / "generated").iterdir()):
        model = onnx.parser.parse_model((folder / "model.onnxtxt").read_text())
        config = (folder / "config.pbtxt").read_text()
        shapes = parameter_shapes(model)
        for info in (*model.graph.input, *model.graph.output):
            if info.name in shapes:
                continue
            kind = {onnx.TensorProto.FLOAT: "TYPE_FP32", onnx.TensorProto.INT64: "TYPE_INT64"}
            dims = ", ".join(str(dim.dim_value) for dim in info.type.tensor_type.shape.dim[1:])
            wanted = (
                f'name: "{info.name}"\n    data_type: {kind[info.type.tensor_type.elem_type]}\n    dims: [ {dims} ]'
            )
            assert wanted in config


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.0, "0"), (0.1, "0.1"), (1e-8, "1e-08"), (-0.5, "-0.5"), (1e20, "1e+20")]
)
def test_numbers_read_back_as_they_were(value, text):
    from generator.caffe.schema import SolverParameter

    assert prototxt_number(value) == text
    message = text_format.Parse(f"base_lr: {text}", SolverParameter())
    assert message.base_lr == np.float32(value)
