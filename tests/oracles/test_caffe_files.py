"""Real Caffe reads what drn writes, and drn what real Caffe writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from caffe_nets import DEPLOY, LEARNABLE, TRAIN_VAL, probability, rows, shapes, weights, write_folder
from caffe_process import Caffe, CaffeError

from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
from generator.caffe.hdf5 import write_state_hdf5, write_weights_hdf5
from generator.caffe.prototxt import learnable, parse_net, read_net
from generator.caffe.schema import NetParameter, SolverParameter, SolverState, WeightsParameter
from generator.caffe.solverstate import read_solverstate, write_solverstate
from generator.errors import ModelError
from generator.inspect.detect import inspect_file

pytestmark = pytest.mark.oracle

DESCRIBE = """
import json
from caffe.proto import caffe_pb2
def field(f):
    target = f.message_type or f.enum_type
    return [f.number, f.label, f.type, target.full_name if target else "", f.has_default_value, str(f.default_value)]
print(json.dumps({
    name: {
        "fields": {f.name: field(f) for f in message.fields},
        "enums": {e.name: {v.name: v.number for v in e.values} for e in message.enum_types},
    }
    for name, message in caffe_pb2.DESCRIPTOR.message_types_by_name.items()
}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "small")


def test_the_schema_is_a_part_of_caffes(caffe: Caffe) -> None:
    real = json.loads(caffe.script(DESCRIBE))
    for name, message in NetParameter.DESCRIPTOR.file.message_types_by_name.items():
        for enum in message.enum_types:
            assert {v.name: v.number for v in enum.values} == real[name]["enums"][enum.name], enum.full_name
        for field in message.fields:
            target = field.message_type or field.enum_type
            number, label, kind, type_name, has_default, default = real[name]["fields"][field.name]
            assert (field.number, field.is_repeated, field.type) == (number, label == 3, kind), field.full_name
            assert (target.full_name if target else "") == type_name, field.full_name
            assert field.has_default_value == has_default, field.full_name
            assert str(field.default_value) == default, field.full_name


def test_the_solver_schema_is_all_of_caffes(caffe: Caffe) -> None:
    real = json.loads(caffe.script(DESCRIBE))
    assert set(SolverParameter.DESCRIPTOR.fields_by_name) == set(real["SolverParameter"]["fields"])


def test_caffe_computes_with_our_weights_what_numpy_does(caffe: Caffe, folder: Path) -> None:
    page, _ = rows()
    given = weights()
    write_caffemodel(folder / "w.caffemodel", read_net(folder / "train_val.prototxt"), given)
    got = caffe.forward(folder / "deploy.prototxt", folder / "w.caffemodel", {"page": page}, ["probability"])
    np.testing.assert_allclose(got["probability"], probability(given, page), atol=1e-6)


def test_caffe_gives_every_sharer_our_weights(caffe: Caffe, folder: Path) -> None:
    net, given = read_net(folder / "train_val.prototxt"), weights()
    write_caffemodel(folder / "w.caffemodel", net, given)
    trained = caffe.train(folder / "solver.prototxt", 0, weights=folder / "w.caffemodel")
    for parameter in learnable(net):
        for place in parameter.places:
            np.testing.assert_array_equal(trained.weights[place], given[parameter.name])
    assert len(trained.weights) == sum(len(parameter.places) for parameter in learnable(net))


def test_we_store_a_shared_table_once_where_caffe_stores_it_for_every_use(caffe: Caffe, folder: Path) -> None:
    net = read_net(folder / "train_val.prototxt")
    write_caffemodel(folder / "w.caffemodel", net, weights())
    caffes = caffe.train(folder / "solver.prototxt", 0, weights=folder / "w.caffemodel").caffemodel

    def tables(path: Path) -> int:
        file = WeightsParameter.FromString(path.read_bytes())
        return sum(list(blob.shape.dim) == [7, 3] for layer in file.layer for blob in layer.blobs)

    assert (tables(folder / "w.caffemodel"), tables(caffes)) == (1, 3)


def test_we_read_what_caffe_trained(caffe: Caffe, folder: Path) -> None:
    net = read_net(folder / "train_val.prototxt")
    trained = caffe.train(folder / "solver.prototxt", 3)
    got = read_caffemodel(trained.caffemodel, net, shapes())
    assert list(got) == LEARNABLE
    for parameter in learnable(net):
        np.testing.assert_array_equal(got[parameter.name], trained.weights[parameter.places[0]])


def test_caffes_history_is_in_the_order_of_learnable(caffe: Caffe, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, decay=0)
    net = read_net(folder / "train_val.prototxt")
    write_caffemodel(folder / "w.caffemodel", net, weights())
    _, gradient = caffe.backward(folder / "train_val.prototxt", folder / "w.caffemodel")
    trained = caffe.train(folder / "solver.prototxt", 1, weights=folder / "w.caffemodel")
    state = read_solverstate(trained.solverstate, list(shapes().values()))
    assert state.iteration == 1
    assert state.learned_net == str(trained.caffemodel)
    for parameter, history in zip(learnable(net), state.history, strict=True):
        # The first update is v = rate * lr_mult * gradient; a sharer's gradient is the owner's.
        expected = 0.1 * parameter.lr_mult * gradient[parameter.places[-1]]
        np.testing.assert_allclose(history, expected, rtol=1e-5, atol=1e-8, err_msg=parameter.name)


@pytest.mark.parametrize("solver_type", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_caffe_resumes_from_our_files_as_if_never_stopped(caffe: Caffe, tmp_path: Path, solver_type: str) -> None:
    folder = write_folder(tmp_path, solver_type)
    solver = folder / "solver.prototxt"
    if solver_type in ("AdaGrad", "RMSProp"):
        solver.write_text(solver.read_text().replace("momentum: 0.9", ""))
    net = read_net(folder / "train_val.prototxt")
    write_caffemodel(folder / "start.caffemodel", net, weights())

    straight = caffe.train(solver, 6, weights=folder / "start.caffemodel")
    half = caffe.train(solver, 3, weights=folder / "start.caffemodel")
    histories = list(shapes().values()) * (2 if solver_type in ("Adam", "AdaDelta") else 1)
    state = read_solverstate(half.solverstate, histories)
    assert (state.iteration, state.current_step) == (3, 1)
    write_caffemodel(folder / "half.caffemodel", net, read_caffemodel(half.caffemodel, net, shapes()))
    write_solverstate(folder / "half.solverstate", 3, "half.caffemodel", state.history, state.current_step)
    resumed = caffe.train(solver, 3, solverstate=folder / "half.solverstate")

    assert resumed.iteration == 6
    assert resumed.losses == straight.losses[3:]
    for place, values in straight.weights.items():
        np.testing.assert_array_equal(resumed.weights[place], values)


def test_our_fillers_are_caffes(caffe: Caffe, folder: Path) -> None:
    net = read_net(folder / "train_val.prototxt")
    start = caffe.train(folder / "solver.prototxt", 0).weights
    constant = [parameter for parameter in learnable(net) if parameter.filler.type == "constant"]
    assert [(p.name, p.filler.value) for p in constant] == [
        ("scale[0]", 1),
        ("scale_bias", 0.25),
        ("shared_bias", 0.125),
        ("hidden[1]", 0),
        ("output_bias", 0),
    ]
    for parameter in constant:
        for place in parameter.places:
            np.testing.assert_array_equal(start[place], np.full(shapes()[parameter.name], parameter.filler.value))


def test_both_refuse_sharers_that_disagree_on_a_factor(caffe: Caffe, folder: Path) -> None:
    for factor in ("lr_mult", "decay_mult"):
        text = TRAIN_VAL.replace(
            'bottom: "page2" top: "e2" param { name: "page_embedding"',
            f'bottom: "page2" top: "e2" param {{ name: "page_embedding" {factor}: 3',
        )
        (folder / "train_val.prototxt").write_text(text)
        with pytest.raises(CaffeError, match=f"mismatched {factor}"):
            caffe.loads(folder / "train_val.prototxt", phase="TRAIN")
        with pytest.raises(ModelError, match=f"mismatched {factor}: . in layer embed1, 3 in layer embed2"):
            learnable(parse_net(text, "train_val.prototxt"))


def test_both_refuse_more_param_blocks_than_blobs(caffe: Caffe, folder: Path) -> None:
    text = DEPLOY.replace('top: "h" }\n', 'top: "h" param { lr_mult: 1 } }\n', 1)
    (folder / "deploy.prototxt").write_text(text)
    with pytest.raises(CaffeError, match="Too many params specified for layer sum"):
        caffe.loads(folder / "deploy.prototxt")
    with pytest.raises(ModelError, match="layer sum"):
        learnable(parse_net(text, "deploy.prototxt"))


def test_both_refuse_weights_of_another_width(caffe: Caffe, folder: Path) -> None:
    wrong = {**weights(), "hidden[0]": np.zeros((4, 3), np.float32)}
    net, path = read_net(folder / "deploy.prototxt"), folder / "wrong.caffemodel"
    write_caffemodel(path, net, wrong)
    with pytest.raises(CaffeError, match="Cannot copy param 0 weights from layer 'hidden'"):
        caffe.loads(folder / "deploy.prototxt", path)
    with pytest.raises(
        ModelError, match=r"wrong.caffemodel: layer hidden, blob 0 \(hidden\[0\]\) has shape 4x3, not 3x3"
    ):
        read_caffemodel(path, net, shapes())


def test_we_read_the_old_four_dimensional_shape_doubles_and_fields_we_do_not_know(caffe: Caffe, folder: Path) -> None:
    caffe.script(
        """
import sys
from caffe.proto import caffe_pb2
net = caffe_pb2.NetParameter(name="old")
unknown = net.layer.add(name="conv", type="Convolution")
unknown.convolution_param.num_output = 4
unknown.blobs.add().data.extend([1.0])
layer = net.layer.add(name="ip", type="InnerProduct")
layer.transform_param.scale = 2
weight = layer.blobs.add(num=1, channels=1, height=2, width=3)
weight.data.extend([1, 2, 3, 4, 5, 6])
bias = layer.blobs.add()
bias.shape.dim.extend([2])
bias.double_data.extend([0.5, 0.25])
open(sys.argv[1], "wb").write(net.SerializeToString())
""",
        folder / "old.caffemodel",
    )
    net = parse_net('layer { name: "ip" type: "InnerProduct" bottom: "x" inner_product_param { num_output: 2 } }', "x")
    got = read_caffemodel(folder / "old.caffemodel", net, {"ip[0]": (2, 3), "ip[1]": (2,)})
    np.testing.assert_array_equal(got["ip[0]"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(got["ip[1]"], [0.5, 0.25])


def test_caffe_pb2_reads_our_files(caffe: Caffe, folder: Path) -> None:
    write_solverstate(folder / "s.solverstate", 12, "w.caffemodel", [np.arange(6, dtype=np.float32).reshape(2, 3)], 2)
    said = caffe.script(
        """
import json, sys
from caffe.proto import caffe_pb2
state = caffe_pb2.SolverState.FromString(open(sys.argv[1], "rb").read())
blob = state.history[0]
print(json.dumps([state.iter, state.learned_net, state.current_step, list(blob.shape.dim), list(blob.data)]))
""",
        folder / "s.solverstate",
    )
    assert json.loads(said) == [12, "w.caffemodel", 2, [2, 3], [0, 1, 2, 3, 4, 5]]
    assert SolverState.FromString((folder / "s.solverstate").read_bytes()).iter == 12


def test_the_oracle_goes_on_after_caffe_aborts(caffe: Caffe, folder: Path) -> None:
    (folder / "bad.prototxt").write_text('layer { name: "r" type: "ReLU" bottom: "nothing" top: "y" }')
    with pytest.raises(CaffeError, match="Unknown bottom blob 'nothing'"):
        caffe.loads(folder / "bad.prototxt")
    with pytest.raises(CaffeError, match="KeyError"):
        caffe.forward(folder / "deploy.prototxt", outputs=["nothing"])
    assert caffe.loads(folder / "deploy.prototxt").blobs["probability"] == (1, 7)


SAVE = """
import sys, caffe
net = caffe.Net(sys.argv[1], sys.argv[2], caffe.TRAIN)
net.save(sys.argv[3])
net.save_hdf5(sys.argv[3] + ".h5")
"""


@pytest.mark.parametrize("net", ["train_val.prototxt", "deploy.prototxt"])
def test_caffes_two_forms_are_read_alike(caffe: Caffe, folder: Path, monkeypatch, net: str) -> None:
    """Binary with a copy for each use, HDF5 with a shared parameter in its first layer alone."""
    write_caffemodel(folder / "ours.caffemodel", read_net(folder / "train_val.prototxt"), weights())
    monkeypatch.chdir(folder)
    caffe.script(SAVE, folder / net, folder / "ours.caffemodel", folder / "theirs.caffemodel")
    for name in ("theirs.caffemodel", "theirs.caffemodel.h5"):
        got = read_caffemodel(folder / name, read_net(folder / net), shapes())
        assert list(got) == LEARNABLE
        for parameter, values in weights().items():
            np.testing.assert_array_equal(got[parameter], values)
        report = inspect_file(folder / name)
        assert sum(np.prod(each.shape) for each in report.parameters if each.layers) >= sum(map(np.size, got.values()))


def test_all_uses_is_what_caffe_saves(caffe: Caffe, folder: Path, monkeypatch) -> None:
    train, deploy = (read_net(folder / f"{name}.prototxt") for name in ("train_val", "deploy"))
    write_caffemodel(folder / "ours.caffemodel", train, weights(), [deploy], all_uses=True)
    monkeypatch.chdir(folder)
    caffe.script(SAVE, folder / "deploy.prototxt", folder / "ours.caffemodel", folder / "theirs.caffemodel")
    ours, theirs = (
        {layer.name: [blob.data for blob in layer.blobs] for layer in message.layer if layer.blobs}
        for message in (
            WeightsParameter.FromString((folder / f"{name}.caffemodel").read_bytes()) for name in ("ours", "theirs")
        )
    )
    assert ours == theirs


RESTORE = """
import sys, caffe, numpy as np
solver = caffe.get_solver(sys.argv[1])
solver.restore(sys.argv[2])
solver.net.copy_from(sys.argv[3])
test = caffe.Net(sys.argv[4], sys.argv[3], caffe.TEST)
test.save(sys.argv[5] + "/deploy.caffemodel")
solver.net.save(sys.argv[5] + "/train.caffemodel")
print(solver.iter)
"""


def test_caffe_reads_our_hdf5_forms(caffe: Caffe, folder: Path, monkeypatch) -> None:
    """What drn writes past 2 GiB: the weights by their content, the state where its name ends in .h5."""
    train, deploy = (read_net(folder / f"{name}.prototxt") for name in ("train_val", "deploy"))
    monkeypatch.chdir(folder)
    write_weights_hdf5(folder / "ours.caffemodel", [train, deploy], weights())
    history = [np.full(shape, place, np.float32) for place, shape in enumerate(shapes().values())]
    write_state_hdf5(folder / "ours.solverstate.h5", 7, "ours.caffemodel", history, 2)
    files = ("solver.prototxt", "ours.solverstate.h5", "ours.caffemodel", "deploy.prototxt", ".")
    assert caffe.script(RESTORE, *files).split()[-1] == "7"
    for name, net in (("train", train), ("deploy", deploy)):
        for parameter, values in read_caffemodel(folder / f"{name}.caffemodel", net, shapes()).items():
            np.testing.assert_array_equal(values, weights()[parameter])
    state = read_solverstate(folder / "ours.solverstate.h5", list(shapes().values()))
    assert (state.iteration, state.learned_net, state.current_step) == (7, "ours.caffemodel", 2)
    for ours, theirs in zip(history, state.history, strict=True):
        np.testing.assert_array_equal(ours, theirs)
