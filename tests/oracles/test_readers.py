"""Other programs that read Caffe's files: the portable nets as real Caffe has them, and which constructs each takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from constructs import CONSTRUCTS
from draws import blobs, weights
from reading import Net, command, read_caffe
from reference import caffe_inputs
from trained_run import write_run

from generator.caffe.caffemodel import write_layers
from generator.caffe.portable import input_sizes, portable_layers
from generator.caffe.prototxt import parse_net
from generator.codegen.render import render
from generator.export.caffe import export_caffe
from generator.export.portable import portable_inputs
from generator.model.model import Model
from generator.model.query import Query
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec

pytestmark = pytest.mark.oracle

READERS = {"opencv": "OpenCV", "mnn": "MNN"}
KINDS = ["fnn", "rnn", "rnn-history", "combined", "shop", "yoochoose-tuned"]
ROWS = 4


@pytest.fixture(scope="module")
def portable(root, caffe, tmp_path_factory):
    """Portable nets with some sessions each, and their probabilities in real Caffe."""
    nets, expected = [], []
    for name in KINDS:
        folder = tmp_path_factory.mktemp(name)
        spec = load_spec(root / "arch_specs" / f"{name}.yaml")
        texts = render(spec, ["caffe", "portable", "onnx"])
        deploy, net = (parse_net(texts[file], file) for file in ("deploy.prototxt", "deploy.portable.prototxt"))
        w = weights(parameter_shapes(parse(texts["model.onnxtxt"], "model.onnxtxt")), seed=5)
        b = blobs(spec, ROWS, seed=5)
        (folder / "net.prototxt").write_text(texts["deploy.portable.prototxt"])
        write_layers(folder / "net.caffemodel", name, portable_layers(deploy, net, w))
        given = portable_inputs(input_sizes(net), {**b, **caffe_inputs(spec, w, b)}, w)
        files = folder / "net.prototxt", folder / "net.caffemodel"
        output = net.layer[-1].top[0]
        found = caffe.forward(*files, given, [output])[output]
        for row in range(ROWS):
            nets.append(Net(*files, {blob: array[row : row + 1] for blob, array in given.items()}, output))
            expected.append(found[row])
    return nets, expected


@pytest.mark.parametrize("reader", READERS)
def test_portable_nets(root, portable, tmp_path, reader):
    nets, expected = portable
    _, found = read_caffe(root, reader, nets, tmp_path)
    for net, ours, theirs in zip(nets, expected, found, strict=True):
        assert not isinstance(theirs, str), f"{net.prototxt}: {theirs}"
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-8, err_msg=str(net.prototxt))


def probes(caffe, folder):
    """The constructs as nets with weights of Caffe's shapes, and what real Caffe makes of them."""
    rng, nets, expected = np.random.default_rng(1), [], []
    for place, construct in enumerate(CONSTRUCTS):
        prototxt, caffemodel = folder / f"{place}.prototxt", folder / f"{place}.caffemodel"
        prototxt.write_text(construct.prototxt)
        shapes = caffe.loads(prototxt).parameters
        shared = {}
        layers = []
        for layer in parse_net(construct.prototxt, str(prototxt)).layer:
            blobs = []
            for index in range(sum(name == layer.name for name, _ in shapes)):
                name = layer.param[index].name if index < len(layer.param) else f"{layer.name} {index}"
                array = rng.normal(0, 1, shapes[layer.name, index]).astype(np.float32)
                blobs.append(shared.setdefault(name, array))
            if blobs:
                layers.append((layer, blobs))
        write_layers(caffemodel, "probe", layers)
        inputs = {
            name: (rng.integers(1, construct.ids, shape) if construct.ids else rng.normal(0, 1, shape)).astype(
                np.float32
            )
            for name, shape in construct.inputs.items()
        }
        nets.append(Net(prototxt, caffemodel, inputs, "out"))
        expected.append(caffe.forward(prototxt, caffemodel, inputs, ["out"])["out"])
    return nets, expected


def verdict(found, expected):
    if isinstance(found, str):
        return "refused"
    same = found.size == expected.size and np.allclose(found, expected.reshape(-1), atol=1e-5)
    return "taken" if same else "**wrong**"


def test_the_table_of_constructs_is_what_the_readers_do(root, caffe, tmp_path):
    """docs/readers.md has a row a construct and a column a reader; a reader that changes changes it."""
    nets, expected = probes(caffe, tmp_path)
    versions, columns = [], []
    for reader, name in READERS.items():
        (folder := tmp_path / reader).mkdir()
        version, found = read_caffe(root, reader, nets, folder)
        versions.append(f"{name} {version}")
        columns.append([verdict(*pair) for pair in zip(found, expected, strict=True)])
    rows = [("construct", *versions), ("---",) * (len(versions) + 1)]
    rows += [(construct.what, *verdicts) for construct, *verdicts in zip(CONSTRUCTS, *columns, strict=True)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows).replace("| --- |", "|---|").replace(" --- |", "---|")
    written = re.search(r"(?s)<!-- constructs -->\n\n(.*?)\n<!-- end -->", (root / "docs" / "readers.md").read_text())
    assert written and written[1] == table, f"docs/readers.md should say:\n{table}"


def test_the_example_of_the_documentation(root, tmp_path):
    """A trained net's answers in OpenCV, by the ten lines that docs/readers.md shows."""
    packages = subprocess.run(
        [command(root, "opencv")[0], "-c", "import sys, cv2; print(sys.version_info[:2], cv2.__path__[0])"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if not packages.startswith(str(sys.version_info[:2])):
        pytest.skip("OpenCV is installed for another Python than drn")
    write_run(tmp_path / "run")
    pages = ["home", "cat-1", *(f"item-{number}" for number in range(5, 15))]
    (tmp_path / "run" / "models" / "small" / "1" / "pages.txt").write_text("\n".join(pages) + "\n")
    export_caffe(tmp_path / "run", tmp_path / "caffe")
    paths = os.pathsep.join([str(root), str(Path(packages.split()[-1]).parent)])
    example = Path(__file__).with_name("opencv_session.py")
    said = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    query = Query([("home", 5), ("cat-1", 20), ("item-12", 90)], bought=["item-3"])
    (answer,) = Model(tmp_path / "run").recommend([query], 5)
    assert said.stdout.splitlines() == [f"{item} {round(p, 4)}" for item, p in answer.items]
