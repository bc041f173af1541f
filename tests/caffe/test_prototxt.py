"""Text files: what is read, what is refused and where, what a net learns."""

from pathlib import Path

import pytest

from generator.caffe.fillers import BlobFiller
from generator.caffe.prototxt import active_layers, learnable, parse_net, read_net, read_solver
from generator.errors import ModelError

NET = """
layer { name: "data" type: "HDF5Data" top: "x" include { phase: TRAIN } }
layer { name: "input" type: "Input" top: "x" exclude { phase: TRAIN } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" decay_mult: 0 } param { }
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } bias_filler { value: 0.25 } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" lr_mult: 3 }
  inner_product_param { num_output: 2 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "c" type: "Embed" bottom: "b" top: "c" param { lr_mult: 0 } embed_param { num_output: 2 input_dim: 5 } }
layer { name: "mask" type: "Scale" bottom: "b" bottom: "x" top: "d" scale_param { axis: 0 } }
layer { name: "scale" type: "Scale" bottom: "d" top: "e" }
layer { name: "plus" type: "Bias" bottom: "e" bottom: "x" top: "f" }
layer { name: "bias" type: "Bias" bottom: "f" top: "g" param { name: "shift" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "g" top: "loss" include { phase: TRAIN } include { phase: TEST } }
"""


def refusal(text: str) -> str:
    with pytest.raises(ModelError) as caught:
        learnable(parse_net(text, "net.prototxt"))
    return str(caught.value)


def test_parameters_come_in_order_of_first_appearance_with_all_their_places() -> None:
    assert [(p.name, p.places) for p in learnable(parse_net(NET, "net.prototxt"))] == [
        ("w", (("a", 0), ("b", 0))),
        ("a[1]", (("a", 1),)),
        ("c[0]", (("c", 0),)),
        ("c[1]", (("c", 1),)),
        ("scale[0]", (("scale", 0),)),
        ("shift", (("bias", 0),)),
    ]


def test_factors_may_be_stated_by_any_sharer_and_are_one_otherwise() -> None:
    found = {p.name: (p.lr_mult, p.decay_mult) for p in learnable(parse_net(NET, "net.prototxt"))}
    assert found["w"] == (3, 0)
    assert found["c[0]"] == (0, 1)
    assert found["a[1]"] == found["shift"] == (1, 1)


def test_the_owner_says_how_a_parameter_is_filled() -> None:
    found = {p.name: p.filler for p in learnable(parse_net(NET, "net.prototxt"))}
    assert found["w"] == BlobFiller("gaussian", value=0, min=0, max=1, mean=0, std=0.5, variance_norm="FAN_IN")
    assert (found["a[1]"].type, found["a[1]"].value) == ("constant", 0.25)
    assert (found["c[0]"].value, found["scale[0]"].value, found["shift"].value) == (0, 1, 0)


def test_reading_what_a_net_learns_leaves_the_net_as_it_was() -> None:
    net = parse_net(NET, "net.prototxt")
    learnable(net)
    assert net == parse_net(NET, "net.prototxt")


def test_a_phase_has_its_own_layers() -> None:
    net = parse_net(NET, "net.prototxt")
    assert [layer.name for layer in active_layers(net, "TRAIN")][:2] == ["data", "a"]
    assert [layer.name for layer in active_layers(net, "TEST")][:2] == ["input", "a"]
    assert "loss" in [layer.name for layer in active_layers(net, "TEST")]


@pytest.mark.parametrize(
    ("rule", "phases"),
    [
        ("", ["TRAIN", "TEST"]),
        ("include { }", ["TRAIN", "TEST"]),
        ("include { min_level: 1 }", []),
        ("include { max_level: -1 }", []),
        ('include { stage: "deploy" }', []),
        ('include { not_stage: "deploy" phase: TEST }', ["TEST"]),
        ('exclude { stage: "deploy" }', ["TRAIN", "TEST"]),
        ("exclude { phase: TEST }", ["TRAIN"]),
    ],
)
def test_rules_are_met_at_level_0_without_stages(rule: str, phases: list[str]) -> None:
    net = parse_net(f'layer {{ name: "r" type: "ReLU" {rule} }}', "net.prototxt")
    assert [phase for phase in ("TRAIN", "TEST") if active_layers(net, phase)] == phases


def test_sharers_that_disagree_on_a_factor_are_refused() -> None:
    said = refusal(NET.replace('"w" decay_mult: 0', '"w" lr_mult: 2'))
    assert said == ('shared param "w" has mismatched lr_mult: 2 in layer a, 3 in layer b; give it once or alike')


def test_a_layer_drn_does_not_know_is_refused() -> None:
    said = refusal('layer { name: "conv" type: "Convolution" }')
    assert said.startswith('layer conv has type "Convolution", unknown to drn; known are Accuracy, ')


def test_two_layers_of_one_name_are_refused() -> None:
    assert 'two layers of the TRAIN net are named "r"' in refusal('layer { name: "r" type: "ReLU" }' * 2)


def test_include_and_exclude_together_are_refused() -> None:
    assert "not both" in refusal('layer { name: "r" type: "ReLU" include { } exclude { } }')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'name: "n"\nlayer {\n  nmae: "x"\n}\n',
            'net.prototxt:3:3: Message type "caffe.LayerParameter" has no field named',
        ),
        ('layer { relu_param { negative_slope: "a" } }', "net.prototxt:1:"),
        ('layer {\n  name: "x"\n', "net.prototxt:2:"),
        ("layer { include { phase: TRIAN } }", "Did you mean TRAIN?"),
        ("layer { relu_param { negativ_slope: 1 } }", "Did you mean negative_slope?"),
        ("layer { relu_param { x: 1 } }", "Known to drn: negative_slope."),
    ],
)
def test_a_text_that_does_not_hold_is_refused_with_its_place(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.prototxt: cannot be read: No such file"):
        read_net(tmp_path / "absent.prototxt")
    (tmp_path / "binary.prototxt").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match=r"binary\.prototxt: cannot be read: not UTF-8"):
        read_net(tmp_path / "binary.prototxt")


def test_a_solver_is_read_with_caffes_defaults(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text('net: "train_val.prototxt" base_lr: 0.1 lr_policy: "multistep" stepvalue: 5 stepvalue: 9 # two\n')
    solver = read_solver(path)
    assert (solver.net, solver.lr_policy, list(solver.stepvalue)) == ("train_val.prototxt", "multistep", [5, 9])
    assert (solver.momentum, solver.iter_size, solver.type) == (0, 1, "SGD")


def test_the_old_solver_type_becomes_a_type(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text("solver_type: RMSPROP")
    assert read_solver(path).type == "RMSProp"
    path.write_text('solver_type: RMSPROP type: "Adam"')
    with pytest.raises(ModelError, match="keep type"):
        read_solver(path)
    path.write_text("\nbase_lr: fast")
    with pytest.raises(ModelError, match=r"solver\.prototxt:2:10: "):
        read_solver(path)
