"""Nets that readers of Caffe's files are given, what real Caffe makes of them, and the table in docs/readers.md."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from caffe_process import Caffe
from constructs import CONSTRUCTS
from draws import blobs, weights
from reading import Net, read_caffe
from reference import caffe_inputs

from generator.caffe.caffemodel import write_layers
from generator.caffe.portable import input_sizes, portable_layers
from generator.caffe.prototxt import parse_net
from generator.codegen.render import render
from generator.export.portable import portable_inputs
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec

__all__ = ["NAMES", "Probe", "column", "construct_probes", "portable_probes", "table", "written_table"]

NAMES = {
    "opencv": "OpenCV",
    "mnn": "MNN",
    "ncnn": "ncnn",
    "openvino-2023": "OpenVINO",
    "x2paddle": "X2Paddle",
    "tpu-mlir": "tpu-mlir",
    "caffe-onnx": "caffe-onnx",
}
KINDS = ["fnn", "rnn", "rnn-history", "combined", "shop", "yoochoose-tuned"]
ROWS = 4


@dataclass(frozen=True)
class Probe:
    """A net of one row, what it tries, and Caffe's output of it, flat."""

    what: str
    net: Net
    expected: np.ndarray

    def verdict(self, found: np.ndarray | str) -> str:
        """Return what a reader did: a string is why it refused."""
        if isinstance(found, str):
            return "refused"
        same = found.size == self.expected.size and np.allclose(found, self.expected, rtol=1e-5, atol=1e-5)
        return "taken" if same else "**wrong**"


def portable_probes(root: Path, caffe: Caffe, folder: Path) -> list[Probe]:
    """Portable nets of all kinds with some sessions each."""
    probes = []
    for name in KINDS:
        (at := folder / name).mkdir(parents=True)
        spec = load_spec(root / "arch_specs" / f"{name}.yaml")
        texts = render(spec, ["caffe", "portable", "onnx"])
        deploy, net = (parse_net(texts[file], file) for file in ("deploy.prototxt", "deploy.portable.prototxt"))
        w = weights(parameter_shapes(parse(texts["model.onnxtxt"], "model.onnxtxt")), seed=5)
        b = blobs(spec, ROWS, seed=5)
        files = at / "net.prototxt", at / "net.caffemodel"
        files[0].write_text(texts["deploy.portable.prototxt"])
        write_layers(files[1], name, portable_layers(deploy, net, w))
        given = portable_inputs(input_sizes(net), {**b, **caffe_inputs(spec, w, b)}, w)
        output = net.layer[-1].top[0]
        found = caffe.forward(*files, given, [output])[output]
        for row in range(ROWS):
            one = {blob: array[row : row + 1] for blob, array in given.items()}
            probes.append(Probe(f"the portable net of `{name}`", Net(*files, one, output), found[row]))
    return probes


def construct_probes(caffe: Caffe, folder: Path) -> list[Probe]:
    """The constructs as nets, with weights of Caffe's shapes."""
    rng, probes = np.random.default_rng(1), []
    folder.mkdir(parents=True, exist_ok=True)
    for place, construct in enumerate(CONSTRUCTS):
        prototxt, caffemodel = folder / f"{place}.prototxt", folder / f"{place}.caffemodel"
        prototxt.write_text(construct.prototxt)
        shapes = caffe.loads(prototxt).parameters
        shared = {}
        layers = []
        for layer in parse_net(construct.prototxt, str(prototxt)).layer:
            arrays = []
            for index in range(sum(name == layer.name for name, _ in shapes)):
                name = layer.param[index].name if index < len(layer.param) else f"{layer.name} {index}"
                array = rng.normal(0, 1, shapes[layer.name, index]).astype(np.float32)
                arrays.append(shared.setdefault(name, array))
            layers.append((layer, arrays))
        write_layers(caffemodel, "probe", layers)
        inputs = {
            name: (rng.integers(1, construct.ids, shape) if construct.ids else rng.normal(0, 1, shape)).astype(
                np.float32
            )
            for name, shape in construct.inputs.items()
        }
        expected = caffe.forward(prototxt, caffemodel, inputs, ["out"])["out"].reshape(-1)
        probes.append(Probe(construct.what, Net(prototxt, caffemodel, inputs, "out"), expected))
    return probes


def column(root: Path, reader: str, probes: list[Probe], folder: Path) -> dict[str, str]:
    """Return the column of a reader: its name and version, and its verdict by what was tried; of several, the worst."""
    folder.mkdir(parents=True, exist_ok=True)
    version, answers = read_caffe(root, reader, [probe.net for probe in probes], folder)
    verdicts: dict[str, list[str]] = {}
    for probe, found in zip(probes, answers, strict=True):
        verdicts.setdefault(probe.what, []).append(probe.verdict(found))
    order = ["taken", "refused", "**wrong**"]
    worst = {what: max(found, key=order.index) for what, found in verdicts.items()}
    return {"construct": f"{NAMES[reader]} {version}", **worst}


def table(columns: list[dict[str, str]]) -> str:
    """Return columns as a table in Markdown."""
    rows = ["| " + " | ".join([what, *(each[what] for each in columns)]) + " |\n" for what in columns[0]]
    return "".join([rows[0], "|---" * (len(columns) + 1) + "|\n", *rows[1:]])


def written_table(root: Path) -> list[dict[str, str]]:
    """Return the columns of the table in docs/readers.md."""
    text = (root / "docs" / "readers.md").read_text()
    block = re.search(r"(?s)<!-- constructs -->\n\n(.*?)\n<!-- end -->", text)
    assert block, "docs/readers.md has no table of constructs"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block[1].splitlines()]
    del rows[1]
    return [{row[0]: row[place] for row in rows} for place in range(1, len(rows[0]))]
