"""Weights to a file and back, and the files that are refused. Real Caffe's side: tests/oracles/test_caffe_files.py."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from generator.caffe import blobs
from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
from generator.caffe.hdf5 import MAGIC
from generator.caffe.prototxt import learnable, parse_net
from generator.caffe.schema import WeightsParameter
from generator.errors import ModelError
from generator.inspect.detect import inspect_file


def inner(name: str, *params: str) -> str:
    """An InnerProduct layer with these named parameters."""
    bias = str(len(params) > 1).lower()
    named = " ".join(f'param {{ name: "{param}" }}' for param in params)
    param = f"inner_product_param {{ bias_term: {bias} }}"
    return f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" {named} {param} }}'


NET = parse_net('name: "net" ' + inner("a1", "w") + inner("a2", "w", "b") + inner("c", "v"), "net.prototxt")
SHAPES = {"w": (4, 3), "b": (4,), "v": (2, 4)}


def weights() -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def stored(path: Path) -> list[str]:
    return [layer.name for layer in WeightsParameter.FromString(path.read_bytes()).layer]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_caffemodel(tmp_path / "w.caffemodel", NET, weights())
    return tmp_path / "w.caffemodel"


def test_what_is_written_is_read_bit_for_bit(path: Path) -> None:
    got = read_caffemodel(path, NET, SHAPES)
    assert list(got) == ["w", "b", "v"]
    for name, values in weights().items():
        np.testing.assert_array_equal(got[name], values)
        assert got[name].dtype == np.float32
        assert got[name].flags.writeable


def test_each_parameter_is_stored_once_where_layers_allow_it(path: Path) -> None:
    assert stored(path) == ["a2", "c"]


def test_another_net_finds_its_weights_too(tmp_path: Path) -> None:
    deploy = parse_net(inner("a1", "w") + inner("c", "v"), "deploy.prototxt")
    write_caffemodel(tmp_path / "w.caffemodel", NET, weights(), also=[deploy])
    assert stored(tmp_path / "w.caffemodel") == ["a1", "a2", "c"]
    assert list(read_caffemodel(tmp_path / "w.caffemodel", deploy, SHAPES)) == ["w", "v"]


@given(st.lists(st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=2, unique=True), min_size=1, max_size=8))
def test_any_sharing_is_read_back_from_layers_none_of_which_is_to_spare(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("sharing") / "w.caffemodel"
    net = parse_net("".join(inner(f"l{i}", *names) for i, names in enumerate(layers)), "net.prototxt")
    values = {p.name: np.full(3, ord(p.name), np.float32) for p in learnable(net)}
    write_caffemodel(path, net, values)
    assert read_caffemodel(path, net, dict.fromkeys(values, (3,))).keys() == values.keys()
    held = [layers[int(name[1:])] for name in stored(path)]
    for i in range(len(held)):
        assert set(values) - {name for other in held[:i] + held[i + 1 :] for name in other}


def test_the_same_weights_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_caffemodel(tmp_path / "again.caffemodel", NET, weights())
    assert (tmp_path / "again.caffemodel").read_bytes() == path.read_bytes()


def add_copy(path: Path, values: NDArray[np.float32], layer: str = "a1", **field: str) -> None:
    """Let the file hold another layer, with one blob."""
    message = WeightsParameter.FromString(path.read_bytes())
    added = message.layer.add(name=layer)
    if field:
        added.param.add(**field)
    added.blobs.add(data=values.astype("<f4").tobytes()).shape.dim.extend(values.shape)
    path.write_bytes(message.SerializeToString())


def test_copies_that_agree_are_one(path: Path) -> None:
    given = weights()
    given["w"][0, 0] = np.nan
    write_caffemodel(path, NET, given)
    add_copy(path, given["w"])
    np.testing.assert_array_equal(read_caffemodel(path, NET, SHAPES)["w"], given["w"])


@pytest.mark.parametrize("partial", [False, True])
def test_copies_that_differ_are_refused_by_both_layers(path: Path, partial: bool) -> None:
    # By one unit in the last place of one number.
    given = weights()["w"]
    given[3, 2] = np.nextafter(given[3, 2], np.float32(9))
    add_copy(path, given)
    with pytest.raises(ModelError, match=r"w.caffemodel: layers a2 and a1 share w in the net, but the file gives them"):
        read_caffemodel(path, NET, SHAPES, partial=partial)


def test_a_part_is_read_by_layer_and_else_by_the_parameters_name(tmp_path: Path) -> None:
    path, given = tmp_path / "w.caffemodel", weights()
    write_caffemodel(path, parse_net(inner("c", "v") + inner("foreign", "x"), "x"), {"v": given["v"], "x": given["b"]})
    assert list(read_caffemodel(path, NET, SHAPES, partial=True)) == ["v"]
    add_copy(path, given["w"], "elsewhere", name="w")
    # The net's own layer goes before a name: c holds v.
    add_copy(path, given["w"], "another", name="v")
    got = read_caffemodel(path, NET, SHAPES, partial=True)
    assert list(got) == ["w", "v"]
    for name, values in got.items():
        np.testing.assert_array_equal(values, given[name])
    add_copy(path, given["b"], "third", name="w")
    with pytest.raises(ModelError, match=r"layer third, blob 0 \(w\) has shape 4, not 4x3"):
        read_caffemodel(path, NET, SHAPES, partial=True)
    with pytest.raises(ModelError, match="holds no w; it would be in layer a1, a2"):
        read_caffemodel(path, NET, SHAPES)


def refusal(path: Path, **shapes: tuple[int, ...]) -> str:
    with pytest.raises(ModelError) as caught:
        read_caffemodel(path, NET, {**SHAPES, **shapes})
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_every_file_cut_short_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refusal(path)


def test_files_of_others_are_refused(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "is no caffemodel, or is cut short" in refusal(path)
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    path.unlink()
    assert "cannot be read: No such file" in refusal(path)


def test_weights_of_another_net_are_refused_by_parameter(path: Path) -> None:
    write_caffemodel(path, parse_net(inner("other", "w"), "x"), {"w": np.zeros(3, np.float32)})
    assert "holds no w; it would be in layer a1, a2. Is it of another net?" in refusal(path)


def test_wrong_shapes_are_refused_by_layer_and_blob(path: Path) -> None:
    assert "layer a2, blob 1 (b) has shape 4, not 5" in refusal(path, b=(5,))
    assert "layer c, blob 0 (v) has shape 2x4, not 4x2" in refusal(path, v=(4, 2))


def test_a_layer_with_another_number_of_blobs_is_refused(path: Path) -> None:
    message = WeightsParameter.FromString(path.read_bytes())
    del message.layer[0].blobs[1]
    path.write_bytes(message.SerializeToString())
    assert "layer a2 has 1 blobs, not 2 (w, b)" in refusal(path)


@pytest.mark.parametrize(("data", "held"), [(bytes(8), "2"), (bytes(30), "7.5"), (b"", "0")])
def test_a_blob_of_another_length_than_its_shape_is_refused(path: Path, data: bytes, held: str) -> None:
    message = WeightsParameter.FromString(path.read_bytes())
    message.layer[1].blobs[0].data = data
    path.write_bytes(message.SerializeToString())
    assert f"layer c, blob 0 (v) holds {held} numbers, not the 8 of shape 2x4" in refusal(path)


def test_weights_that_do_not_fit_the_net_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    with pytest.raises(ModelError, match="no weights are given for b, v"):
        write_caffemodel(path, NET, {"w": weights()["w"]})
    with pytest.raises(ModelError, match="the net has no parameter u; it has b, v, w"):
        write_caffemodel(path, NET, {**weights(), "u": weights()["w"]})
    with pytest.raises(ModelError, match=r"layer a1 has parameters \['w'\] in one net and \['v'\] in another"):
        write_caffemodel(path, NET, weights(), also=[parse_net(inner("a1", "v"), "x")])
    assert not list(tmp_path.iterdir())


def test_more_than_caffe_can_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "LIMIT", 2**20 + 50)
    with pytest.raises(ModelError, match="a caffemodel of 96 bytes is more than Caffe can read"):
        write_caffemodel(tmp_path / "w.caffemodel", NET, weights())


def test_a_copy_for_each_use_is_read_as_well(tmp_path: Path) -> None:
    write_caffemodel(tmp_path / "w.caffemodel", NET, weights(), all_uses=True)
    assert stored(tmp_path / "w.caffemodel") == ["a1", "a2", "c"]
    for name, values in read_caffemodel(tmp_path / "w.caffemodel", NET, SHAPES).items():
        np.testing.assert_array_equal(values, weights()[name])


def test_v1_layers_are_named(tmp_path: Path) -> None:
    # NetParameter.layers (2), one V1LayerParameter with a name (4).
    (tmp_path / "old.caffemodel").write_bytes(b"\x0a\x03net\x12\x04\x22\x02a1")
    with pytest.raises(ModelError, match=r"old\.caffemodel: has V1 layers.*upgrade_net_proto_binary"):
        read_caffemodel(tmp_path / "old.caffemodel", NET, SHAPES)
    with pytest.raises(ModelError, match="has V1 layers"):
        inspect_file(tmp_path / "old.caffemodel")


def test_raw_data_is_named(tmp_path: Path) -> None:
    message = WeightsParameter(name="net")
    blob = message.layer.add(name="a1", type="InnerProduct").blobs.add()
    blob.shape.dim.extend((4, 3))
    content = blob.SerializeToString() + b"\x50\x01\x62\x08" + bytes(8)  # raw_data_type (10), raw_data (12)
    blob.ParseFromString(content)
    (tmp_path / "nvidia.caffemodel").write_bytes(message.SerializeToString())
    with pytest.raises(ModelError, match=r"blob 0 \(w\) holds raw_data.*store_blobs_in_old_format"):
        read_caffemodel(tmp_path / "nvidia.caffemodel", NET, SHAPES)
    with pytest.raises(ModelError, match="holds raw_data"):
        inspect_file(tmp_path / "nvidia.caffemodel")


@pytest.mark.parametrize("content", [b"", b"\0" * 100], ids=["cut short", "of something else"])
def test_an_hdf5_file_that_does_not_hold_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.caffemodel.h5").write_bytes(MAGIC + content)
    with pytest.raises(ModelError, match=r"is no caffemodel, or is cut short: an HDF5 file without Caffe's"):
        read_caffemodel(tmp_path / "w.caffemodel.h5", NET, SHAPES)


def test_an_hdf5_file_of_data_is_no_file_of_weights(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["page"] = np.zeros(3)
    with pytest.raises(ModelError, match=r"is no caffemodel, or is cut short: an HDF5 file without Caffe's"):
        read_caffemodel(tmp_path / "train.h5", NET, SHAPES)
