"""Reports on ONNX files, binary and text."""

from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

from generator.caffe.blobs import UNREADABLE
from generator.caffe.layers import BATCH, Shape
from generator.caffe.source import read_text
from generator.errors import ModelError
from generator.inspect.report import BlobReport, FileReport, LayerReport, ParameterReport, flop_of, is_ours, part_of
from generator.inspect.strings import require_text
from generator.onnxgraph.parse import parse
from generator.spec.blobs import BLOBS, DRAWN

__all__ = ["onnx_report", "onnx_text_report"]

# Deeper than any real graph of graphs; onnx's text parser has no limit of its own.
DEEPEST = 50

# Stand for the batch size while onnx infers shapes: it splits axes in 32 bits, which `BATCH` would overflow.
PRIMES = (999_983, 1_000_003, 1_000_033)


def onnx_report(path: Path) -> FileReport:
    """Report on an ONNX file.

    Raises
    ------
    ModelError
        The file cannot be read, is no ONNX model, is cut short or breaks the rules of ONNX.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except UNREADABLE as error:
        raise ModelError(f"{path}: is no ONNX model, or is cut short") from error
    require_text(path, model)
    if not model.ir_version or not model.HasField("graph"):
        raise ModelError(f"{path}: is no ONNX model: it has no graph")
    return _report(path, model)


def onnx_text_report(path: Path) -> FileReport:
    """Report on ONNX text. Raises ModelError with line and column where it does not hold."""
    text = read_text(path)
    depth = deepest = 0
    for character in text:
        depth += (character in "{<") - (character in "}>")
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise ModelError(f"{path}: nests {deepest} deep, more than the {DEEPEST} that drn reads")
    return _report(path, parse(text, str(path)))


def _report(path: Path, model: ModelProto) -> FileReport:
    sizes = _declared_sizes(model)
    prime = _prime(sizes)
    light = _without_numbers(model, prime)
    try:
        onnx.checker.check_model(light)
        # The declared outputs know B only by name, which would not agree with a number. Data propagation stays off:
        # it would spell out values of B axes.
        for info in light.graph.output:
            info.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(light)
    except Exception as error:  # its exceptions have no common root but this
        raise ModelError(f"{path}: breaks the rules of ONNX: {str(error).splitlines()[0]}") from error
    graph = inferred.graph
    infos = {info.name: _shape(info, prime, sizes) for info in (*graph.input, *graph.value_info, *graph.output)}
    names = _parameter_names(model)
    shapes = infos | {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    inputs = [info.name for info in model.graph.input if info.name not in names]
    outputs = [info.name for info in model.graph.output]
    batch = BATCH if any(shape and BATCH in shape for shape in map(shapes.get, inputs)) else 1
    layers = _layers(model, shapes, names, batch)
    facts = {
        "name": model.graph.name,
        "ir_version": model.ir_version,
        "opset": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "producer": model.producer_name,
        "nodes": len(model.graph.node),
        "weights": "inside" if names & {tensor.name for tensor in model.graph.initializer} else "inputs of the graph",
        "size": path.stat().st_size,
    }
    made = [*inputs, *(top for layer in layers for top in layer.tops if top)]
    return FileReport(
        path=str(path),
        kind="ONNX model",
        facts=facts,
        layers=layers,
        blobs=[
            BlobReport(name, shapes.get(name), "input" if name in inputs else "output" if name in outputs else "")
            for name in made
        ],
        parameters=[
            ParameterReport(name, shapes[name], tuple(layer.name for layer in layers if name in layer.parameters))
            for name in shapes
            if name in names
        ],
        flop=None if any(layer.flop is None for layer in layers) else sum(layer.flop or 0 for layer in layers),
    )


def _parameter_names(model: ModelProto) -> set[str]:
    """Return the initialisers of floating point with axes, and in a graph of drn the inputs that are no blobs."""
    held = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE) and tensor.dims
    }
    if model.producer_name != "drn":
        return held
    # In a graph of drn the blobs have a free batch size, the parameters none.
    return held | {
        info.name
        for info in model.graph.input
        if info.name not in (*BLOBS, *DRAWN)
        and all(dim.HasField("dim_value") for dim in info.type.tensor_type.shape.dim)
    }


def _declared_sizes(model: ModelProto) -> set[int]:
    sizes = {dim.dim_value for info in model.graph.input for dim in info.type.tensor_type.shape.dim}
    return sizes | {size for tensor in model.graph.initializer for size in tensor.dims}


def _prime(sizes: Set[int]) -> int:
    """Return a stand-in for the batch size of which none of the ``sizes`` is a multiple."""
    return next((prime for prime in PRIMES if not any(size and size % prime == 0 for size in sizes)), PRIMES[-1])


def _without_numbers(model: ModelProto, batch: int) -> ModelProto:
    """Return a copy with the large initialisers as inputs and the free first axis of each input as `batch`."""
    light = ModelProto()
    light.CopyFrom(model)
    small = [tensor for tensor in light.graph.initializer if _small(tensor)]
    declared = {info.name for info in light.graph.input}
    for info in light.graph.input:
        dims = info.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = batch
    for tensor in light.graph.initializer:
        if not _small(tensor) and tensor.name not in declared:
            light.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    del light.graph.initializer[:]
    light.graph.initializer.extend(small)
    return light


def _small(tensor: TensorProto) -> bool:
    return len(tensor.raw_data) <= 1024 and tensor.data_location == TensorProto.DEFAULT


def _shape(info: ValueInfoProto, prime: int, declared: Set[int]) -> Shape | None:
    """Return a shape, None where an axis is unknown; multiples of `prime`, and a declared size more, are of `BATCH`."""
    kind = info.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    sizes = [dim.dim_value for dim in kind.shape.dim]
    return tuple(size // prime * BATCH + size % prime if size % prime in {0, *declared} else size for size in sizes)


def _layers(model: ModelProto, shapes: Mapping[str, Shape | None], names: set[str], batch: int) -> list[LayerReport]:
    ours = model.producer_name == "drn" and is_ours(name for node in model.graph.node for name in node.output)
    layers = [_layer(node, shapes, names, ours) for node in model.graph.node]
    flop = flop_of(layers, shapes, names, batch)
    return [replace(layer, flop=count) for layer, count in zip(layers, flop, strict=True)]


def _layer(node: NodeProto, shapes: Mapping[str, Shape | None], names: set[str], ours: bool) -> LayerReport:
    name = node.name or next(iter(node.output), node.op_type)
    return LayerReport(
        name=name,
        type=node.op_type,
        bottoms=tuple(node.input),
        tops=tuple(node.output),
        shapes=tuple(shapes.get(top) for top in node.output),
        parameters=tuple(dict.fromkeys(bottom for bottom in node.input if bottom in names)),
        part=part_of(name, node.op_type, len(node.output)) if ours else "",
    )
