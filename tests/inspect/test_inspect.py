"""What `drn inspect` says of a file or folder is true; what it cannot read it names."""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from draws import specs, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.caffe.caffemodel import write_caffemodel
from generator.caffe.layers import BATCH, shape_text
from generator.caffe.prototxt import learnable, parse_net
from generator.caffe.solverstate import write_solverstate
from generator.cli import drn
from generator.codegen.artefacts import generate
from generator.codegen.render import render
from generator.errors import ModelError
from generator.inspect.folder import inspect
from generator.inspect.text import report_text
from generator.onnxgraph.initialise import embed_weights
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec
from generator.spec.schema import Spec

IN_ONE_FOLDER = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def combined(**changes) -> Spec:
    """History of 3, window 2, widths 4 and 5; 3 purchases, width 6; 10 pages, 7 items."""
    values = {
        "name": "small", "net": "combined", "pages": 10, "items": 7, "top_k": 2,
        "rnn": {"window": 2, "history": 3, "widths": [4, 5]}, "fnn": {"bought": 3, "widths": [6]},
    }  # fmt: skip
    return Spec.model_validate(values | changes)


# Multiply-adds of that net by hand.
BAGS = 3 * 4 + 3 * 6
RECURRENT = 2 * (4 * 4 + 5 * 5)  # t0 and t1, from the column before
UPWARD = 3 * 4 * 5  # history, t0, t1
OUTPUT = 5 * 8 + 6 * 8
FLOP = 2 * (BAGS + RECURRENT + UPWARD + OUTPUT)


def written(folder: Path, spec: Spec) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in generate(spec).items():
        (folder / name).write_bytes(content)
    return folder


def w_of(folder: Path) -> dict[str, np.ndarray]:
    return weights(parameter_shapes(parse((folder / "model.onnxtxt").read_text(), "m")), 5)


def run(*arguments: object):
    return CliRunner().invoke(drn, ["inspect", *map(str, arguments)])


@pytest.mark.parametrize("file", ["deploy.prototxt", "train_val.prototxt", "model.onnx", "model.onnxtxt", "loss.onnx"])
def test_the_work_of_a_net_by_hand(tmp_path, file):
    assert inspect(written(tmp_path, combined()) / file).flop == FLOP


@IN_ONE_FOLDER
@given(specs())
def test_caffe_and_onnx_tell_the_same_size_and_work(tmp_path, spec):
    for name, text in render(spec, ["caffe", "onnx"]).items():
        (tmp_path / name).write_text(text)
    shapes = parameter_shapes(parse((tmp_path / "model.onnxtxt").read_text(), "m"))
    for prototxt, graph in (("deploy.prototxt", "model.onnxtxt"), ("train_val.prototxt", "loss.onnxtxt")):
        theirs, ours = inspect(tmp_path / prototxt), inspect(tmp_path / graph)
        assert theirs.flop == ours.flop
        assert {p.name: p.shape for p in theirs.parameters} == shapes
        assert {p.name: p.shape for p in ours.parameters} == shapes
        assert theirs.values == sum(math.prod(shape) for shape in shapes.values())
        assert ours.values == sum(math.prod(shape) for shape in shapes.values())
        assert report_text(theirs)
        assert report_text(ours)


def test_parameters_come_with_sharers_factors_and_size(tmp_path):
    folder = written(tmp_path, combined())
    net = parse_net((folder / "train_val.prototxt").read_text(), "t")
    found = {parameter.name: parameter for parameter in inspect(folder / "train_val.prototxt").parameters}
    for parameter in learnable(net):
        mine = found.pop(parameter.name)
        assert mine.layers == tuple(layer for layer, _ in parameter.places)
        assert (mine.lr_mult, mine.decay_mult) == (parameter.lr_mult, parameter.decay_mult)
    assert not found


def test_layers_stand_in_their_columns(tmp_path):
    report = inspect(written(tmp_path, combined()) / "deploy.prototxt")
    parts = {layer.name: layer.part for layer in report.layers}
    assert list(dict.fromkeys(parts.values())) == ["input", "all columns", "history", "t0", "t1", "fnn", "output"]
    assert (parts["hidden2_t1_sum"], parts["history_mean"], parts["bag"], parts["logit"]) == (
        "t1",
        "history",
        "fnn",
        "output",
    )


def test_an_unknown_data_size_is_a_question_mark_until_a_deploy_net_or_data_tell(tmp_path):
    import h5py

    folder = written(tmp_path, combined(loss="every"))
    (folder / "deploy.prototxt").rename(folder / "elsewhere")
    alone = inspect(folder / "train_val.prototxt")
    assert alone.flop is None
    assert {p.name: p.shape for p in alone.parameters}["page_embedding"] == (11, 4)
    (folder / "train.txt").write_text("data.h5\n")
    with h5py.File(folder / "data.h5", "w") as file:
        for name, size in (
            ("page", 2),
            ("history_page", 3),
            ("history_weight", 3),
            ("bought", 3),
            ("bought_weight", 3),
            ("label", 2),
        ):
            file[name] = np.zeros((9, size), np.int32)
    with_data = inspect(folder / "train_val.prototxt")
    (folder / "train.txt").unlink()
    (folder / "elsewhere").rename(folder / "deploy.prototxt")
    beside = inspect(folder / "train_val.prototxt")
    assert with_data.blobs == beside.blobs
    assert {blob.name: blob.shape for blob in beside.blobs}["label"] == (BATCH, 2)
    assert beside.flop == FLOP + 2 * 5 * 8  # the output at one state more


def test_a_caffemodel_counts_a_shared_parameter_once(tmp_path):
    folder = written(tmp_path, combined())
    w = w_of(folder)
    write_caffemodel(folder / "w.caffemodel", parse_net((folder / "deploy.prototxt").read_text(), "d"), w)
    report = inspect(folder / "w.caffemodel")
    assert {p.name: p.shape for p in report.parameters} == {name: array.shape for name, array in w.items()}
    assert report.values == sum(array.size for array in w.values())
    assert report.flop is None
    (folder / "w.caffemodel").rename(folder / "weights.bin")
    assert inspect(folder / "weights.bin").kind == "caffemodel"


def test_a_solverstate_says_where_the_run_stands(tmp_path):
    path = tmp_path / "s.solverstate"
    write_solverstate(path, 70, "w.caffemodel", [np.ones((3, 2), np.float32), np.ones(4, np.float32)], 2)
    report = inspect(path)
    assert {key: report.facts[key] for key in ("iteration", "current_step", "learned_net", "history")} == {
        "iteration": 70, "current_step": 2, "learned_net": "w.caffemodel", "history": 2,
    }  # fmt: skip
    assert [parameter.shape for parameter in report.parameters] == [(3, 2), (4,)]
    path.rename(tmp_path / "state")
    assert inspect(tmp_path / "state").kind == "solverstate"


def test_weights_inside_an_onnx_file(tmp_path):
    folder = written(tmp_path, combined())
    w = w_of(folder)
    model = embed_weights(parse((folder / "model.onnxtxt").read_text(), "m"), w)
    onnx.save(model, folder / "inside.onnx")
    report = inspect(folder / "inside.onnx")
    assert report.facts["weights"] == "inside"
    assert {p.name: p.shape for p in report.parameters} == {name: array.shape for name, array in w.items()}
    assert (report.flop, report.values) == (FLOP, sum(array.size for array in w.values()))
    (folder / "inside.onnx").rename(folder / "m")
    assert inspect(folder / "m").kind == "ONNX model"


def test_a_foreign_onnx_model(tmp_path):
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> net (float[batch, 3] x, float[3, 4] w) => (float[batch, 4] y) '
        "{ y = MatMul (x, w) }"
    )
    onnx.save(graph, tmp_path / "foreign.onnx")
    report = inspect(tmp_path / "foreign.onnx")
    assert (report.flop, report.parameters) == (2 * 3 * 4, [])
    assert {blob.name: blob.shape for blob in report.blobs} == {"x": (BATCH, 3), "w": (3, 4), "y": (BATCH, 4)}


def test_a_net_of_one_batch_size(tmp_path):
    path = tmp_path / "fixed.prototxt"
    path.write_text(
        'name: "fixed" input: "x" input_shape { dim: 2 dim: 6 }\n'
        'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: 2 dim: 2 dim: 3 } } }\n'
        'layer { name: "p" type: "InnerProduct" bottom: "r" top: "p" inner_product_param { num_output: 4 } }\n'
    )
    report = inspect(path)
    assert (report.facts["batch"], report.flop) == (2, 2 * 6 * 4)


def test_the_command_in_json(tmp_path):
    result = run(written(tmp_path / "small", combined()), "--format", "json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["kind"], told["totals"]["flop_per_sample"]) == ("generated folder", FLOP)
    assert {"name": "page", "shape": ["B", 2], "role": "input"} in told["blobs"]
    assert {Path(file["path"]).name: file["kind"] for file in told["files"]} == {
        "deploy.prototxt": "net", "deploy.portable.prototxt": "net", "train_val.prototxt": "net",
        "solver.prototxt": "solver",
        **dict.fromkeys(["model.onnx", "model.onnxtxt", "loss.onnx", "loss.onnxtxt", "gradient.onnx",
                         "gradient.onnxtxt"], "ONNX model"),
    }  # fmt: skip


def test_the_items_of_a_sampled_softmax_are_blobs_not_parameters(tmp_path):
    solver = {"batch_size": 2, "sampled": {"negatives": 4}}
    spec = combined(items=10, pages=10, head={"tied": True, "projection": True}, solver=solver)
    report = inspect(written(tmp_path, spec) / "gradient.onnx")
    shapes = {blob.name: shape_text(blob.shape) for blob in report.blobs}
    assert (shapes["candidate"], shapes["candidate_correction"]) == ("7", "7")
    # "none", 2 labels and 4 negatives, beside the window's 2 pages and the history's.
    assert shapes["page_embedding_grad_rows"] == f"{2 + spec.rnn.history}B+7"
    assert not any("candidate" in parameter.name for parameter in report.parameters)


def test_the_command_in_text_states_the_counting_rule(tmp_path):
    result = run(written(tmp_path, combined()) / "deploy.prototxt")
    assert f"{FLOP} FLOP a sample\nFLOP a sample: 2 a multiply-add" in result.stdout
    assert "\nhistory:\n" in result.stdout
    assert "page_embedding            11x4" in result.stdout


def test_the_solver_in_text(root):
    result = run(root / "generated" / "rnn" / "solver.prototxt")
    assert result.exit_code == 0, result.output
    assert "base_lr" in result.stdout
    assert "snapshots/rnn" in result.stdout


def a_run(folder: Path) -> Path:
    """A run folder with two snapshots and metrics, as drn train leaves it."""
    written(folder, combined())
    net, w = parse_net((folder / "train_val.prototxt").read_text(), "t"), w_of(folder)
    for iteration in (9, 10):
        write_caffemodel(folder / f"snapshots/small_iter_{iteration}.caffemodel", net, w)
        write_solverstate(folder / f"snapshots/small_iter_{iteration}.solverstate", iteration, "", list(w.values()))
    (folder / "metrics.jsonl").write_text('{"iteration": 10, "loss": 1.5}\n{"iteration": 11, "lo')
    return folder


def test_a_run_folder_tells_how_far_it_is(tmp_path):
    report = inspect(a_run(tmp_path / "run"))
    assert report.kind == "run folder"
    assert report.facts["snapshots"] == [9, 10]
    assert report.facts["last metrics"] == {"iteration": 10, "loss": 1.5}
    assert [Path(file.path).name for file in report.files if "snapshots" in file.path] == [
        "small_iter_10.caffemodel",
        "small_iter_10.solverstate",
    ]
    assert not report.problems


def test_a_broken_file_in_a_folder_is_a_problem_and_the_rest_is_told(tmp_path):
    folder = a_run(tmp_path / "run")
    broken = folder / "snapshots" / "small_iter_10.caffemodel"
    broken.write_bytes(broken.read_bytes()[:-7])
    result = run(folder)
    assert result.exit_code == 1
    assert f"problem: {broken}: is no caffemodel, or is cut short" in result.stdout
    assert f"{FLOP} FLOP a sample" in result.stdout


BROKEN = {
    "absent.onnx": (None, "cannot be read: No such file or directory"),
    "empty.prototxt": (b"", "is empty"),
    "bare.prototxt": (b"# nothing\n", "holds no layer"),
    "odd.prototxt": (b'layer { name: "x" type: "ReLU" bottom: "y" top: "x" }', 'reads the blob "y", which no layer'),
    "type.prototxt": (b'layer { name: "x" type: "LSTM" top: "x" }', ':1: layer "x" has type "LSTM", which drn inspect'),
    "field.prototxt": (b"layer {\n  nome: 3 }", ':2:3: Message type "caffe.LayerParameter" has no field named "nome"'),
    "latin.prototxt": (b'name: "\xe9"', "is no UTF-8 text (byte 7)"),
    "solver.prototxt": (b"base_lr: fast", "Couldn't parse float: fast"),
    "x.caffemodel": (b"\xff\xff\xff", "is no caffemodel, or is cut short"),
    "x.solverstate": (b"\x08\x01", "it lacks its iteration or its step"),
    "x.onnx": (b"no model", "is no ONNX model"),
    "x.onnxtxt": (b"<ir_version: 8, opset_import: [", "[ParseError at position (line: 1 column: 32)]"),
    "deep.onnxtxt": (b"<ir_version: 8>" + b"{" * 10**5, "nests 100000 deep"),
    "data.h5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file"),
    "picture.png": (b"\x89PNG\r\n" + bytes(50), "is of no kind that drn inspect knows"),
    "notes.txt": (b"dear diary\n", "is of no kind that drn inspect knows"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_named(tmp_path, name):
    content, message = BROKEN[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        inspect(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_folder_of_something_else_is_named(tmp_path):
    with pytest.raises(ModelError, match="is neither a run nor a generated folder"):
        inspect(tmp_path)


FILES = ["deploy.prototxt", "train_val.prototxt", "solver.prototxt", "model.onnx", "model.onnxtxt", "w.caffemodel"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.data())
def test_a_damaged_file_is_read_or_named(tmp_path, name, data):
    source = tmp_path / "source"
    if not source.exists():
        written(source, combined())
        net = parse_net((source / "deploy.prototxt").read_text(), "d")
        write_caffemodel(source / "w.caffemodel", net, w_of(source))
    content = bytearray((source / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(0, 40))
    content[at : at + length] = data.draw(st.binary(max_size=20))
    path = tmp_path / name
    path.write_bytes(content)
    try:
        report_text(inspect(path))
    except ModelError as error:
        assert str(path) in str(error)


def test_the_committed_nets_are_told(root):
    for folder in sorted((root / "generated").iterdir()):
        spec = load_spec(root / "arch_specs" / f"{folder.name}.yaml")
        report = inspect(folder / "deploy.prototxt")
        assert report.facts["name"] == spec.name
        assert {blob.name: blob.shape for blob in report.blobs}["probability"] == (BATCH, spec.items + 1)
