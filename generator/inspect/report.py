"""What an inspection finds, whatever the file: layers, blobs, parameters, work."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from generator.caffe.layers import BATCH, Shape, shape_text

__all__ = ["RULE", "BlobReport", "FileReport", "LayerReport", "ParameterReport", "flop_of", "is_ours", "part_of"]

RULE = (
    "FLOP a sample: 2 a multiply-add of InnerProduct, Gemm and MatMul, and 2 a value that an embedding bag weighs and "
    "sums; look-ups, biases, masks, activations and softmax are not counted"
)


@dataclass(frozen=True)
class BlobReport:
    """A tensor between layers; role is input, output or empty."""

    name: str
    shape: Shape | None
    role: str = ""


@dataclass(frozen=True)
class ParameterReport:
    """A parameter, the layers that share it, and its factors on learning rate and decay (None: the file has none)."""

    name: str
    shape: Shape | None
    layers: tuple[str, ...]
    lr_mult: float | None = None
    decay_mult: float | None = None

    @property
    def values(self) -> int | None:
        """How many numbers it has."""
        return None if self.shape is None else math.prod(self.shape)


@dataclass(frozen=True)
class LayerReport:
    """A Caffe layer or ONNX node; `part` is its column (or input, fnn, output) in a net of drn."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shapes: tuple[Shape | None, ...]
    parameters: tuple[str, ...] = ()
    flop: int | None = 0
    part: str = ""


@dataclass(frozen=True)
class FileReport:
    """What one file or folder holds.

    Attributes
    ----------
    path : as given
    kind : net, solver, caffemodel, solverstate, ONNX model, run folder, generated folder
    facts : what the file says of itself, in its order
    layers, blobs, parameters : empty where the kind has none
    flop : a sample's, by `RULE`; None where it is unknown or the file has no layers to count
    files : for a folder, the reports on its files
    problems : for a folder, what is wrong with its files
    """

    path: str
    kind: str
    facts: Mapping[str, Any]
    layers: Sequence[LayerReport] = ()
    blobs: Sequence[BlobReport] = ()
    parameters: Sequence[ParameterReport] = ()
    flop: int | None = None
    files: Sequence["FileReport"] = ()
    problems: Sequence[str] = field(default=())

    @property
    def values(self) -> int:
        """How many numbers the parameters have, each counted once however many layers share it."""
        return sum(parameter.values or 0 for parameter in self.parameters)

    def as_json(self) -> dict[str, Any]:
        """Return plain lists and dicts; a shape is a list of numbers and, for the batch, "B"."""
        return {
            "path": self.path,
            "kind": self.kind,
            "facts": dict(self.facts),
            "layers": [_layer_json(layer) for layer in self.layers],
            "blobs": [{"name": blob.name, "shape": _shape_json(blob.shape), "role": blob.role} for blob in self.blobs],
            "parameters": [_parameter_json(parameter) for parameter in self.parameters],
            "totals": {"values": self.values, "bytes": 4 * self.values, "flop_per_sample": self.flop},
            "flop_rule": RULE,
            "files": [report.as_json() for report in self.files],
            "problems": list(self.problems),
        }


def _shape_json(shape: Shape | None) -> list[int | str] | None:
    return None if shape is None else [size if size < BATCH else shape_text((size,)) for size in shape]


def _layer_json(layer: LayerReport) -> dict[str, Any]:
    return {
        "name": layer.name,
        "type": layer.type,
        "column": layer.part,
        "bottoms": list(layer.bottoms),
        "tops": list(layer.tops),
        "shapes": [_shape_json(shape) for shape in layer.shapes],
        "parameters": list(layer.parameters),
        "flop_per_sample": layer.flop,
    }


def _parameter_json(parameter: ParameterReport) -> dict[str, Any]:
    values = parameter.values
    return {
        "name": parameter.name,
        "shape": _shape_json(parameter.shape),
        "layers": list(parameter.layers),
        "lr_mult": parameter.lr_mult,
        "decay_mult": parameter.decay_mult,
        "values": values,
        "bytes": None if values is None else 4 * values,
    }


# The operators an embedding row passes from its look-up to the sum of its bag, and those that sum.
_CARRY = ("Dropout", "Mul", "Reshape", "Scale")
_SUM = ("Pooling", "ReduceMean", "ReduceSum")


def flop_of(
    layers: Sequence[LayerReport], shapes: Mapping[str, Shape | None], tables: Collection[str], batch: int
) -> list[int | None]:
    """Return the FLOP a sample of each layer, by `RULE`; None where a shape it needs is unknown.

    Parameters
    ----------
    layers : in order of execution
    shapes : of every blob and parameter
    tables : names of the parameters; a Gather from one of them is a look-up
    batch : the batch size that the shapes hold, `BATCH` or a number
    """
    rows: set[str] = set()
    counts: list[int | None] = []
    for layer in layers:
        first = layer.bottoms[0] if layer.bottoms else ""
        work = _values(shapes[first]) if layer.type in _SUM and first in rows else _multiply_adds(layer, shapes)
        looks_up = layer.type == "Embed" or (layer.type == "Gather" and first in tables)
        if looks_up or (layer.type in _CARRY and first in rows):
            rows |= set(layer.tops)
        counts.append(None if work is None else 2 * work // batch)
    return counts


def _values(shape: Shape | None) -> int | None:
    return None if shape is None else math.prod(shape)


def _multiply_adds(layer: LayerReport, shapes: Mapping[str, Shape | None]) -> int | None:
    """Return the multiply-adds of one layer for the whole batch."""
    if layer.type not in ("Gemm", "InnerProduct", "MatMul"):
        return 0
    left, top = shapes.get(layer.bottoms[0]), layer.shapes[0]
    if left is None or top is None:
        return None
    # Every number on the left meets one column of the right for each number in a row of the result.
    return math.prod(top) * left[-1] if layer.type == "MatMul" else math.prod(left) * top[-1]


def part_of(name: str, kind: str, tops: int) -> str:
    """Return where a layer belongs in a net that drn generates: input, history, t0 .., all columns, fnn, output."""
    if kind in ("Input", "HDF5Data"):
        return "input"
    column = re.search(r"(?:^|_)(history|t\d+)(?:_|$)", name)
    if column and (tops < 2 or name.startswith("history")):
        return column[1]
    if re.match(r"fnn|bag|bought", name):
        return "fnn"
    return "output" if re.match(r"accuracy|item|logit|loss|output|probability|state$|top", name) else "all columns"


def is_ours(names: Iterable[str]) -> bool:
    """Return whether layers of these names are those of a net that drn generates."""
    return any(re.match(r"hidden1_(history|t\d+)|fnn1", name) for name in names)
