"""A Caffe net for inference as ONNX: one rule a layer type, the weights inside, any batch size.

Sources: each layer's `Forward_cpu` in BVLC Caffe 1.0; ONNX operators of opset 18.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from generator.caffe.layers import (
    Shape,
    axis_of,
    concat_axis,
    factor_shape,
    layer_type,
    pooling_windows,
    slice_axis,
)
from generator.caffe.prototxt import active_layers, learnable
from generator.caffe.schema import Message
from generator.errors import ModelError
from generator.onnxgraph.graph import GraphEditor

__all__ = ["convert", "outputs_of", "require_known"]

Array: TypeAlias = NDArray[np.float32]

FLOAT, INT64 = int(TensorProto.FLOAT), int(TensorProto.INT64)


def require_known(net: Message, places: Mapping[str, str]) -> None:
    """Check that `convert` knows every layer type of a net; `places` gives file and line by layer name.

    Raises
    ------
    ModelError
        It does not: with file, line, layer and the types it knows.
    """
    for layer in active_layers(net, "TEST"):
        if layer.type not in _RULES:
            raise ModelError(
                f'{places[layer.name]}: layer "{layer.name}" has type "{layer.type}", which drn import does not know; '
                f"known: {', '.join(sorted(_RULES))}"
            )


def outputs_of(net: Message) -> list[str]:
    """Return the outputs of a net as Caffe does: the blobs that layers make and none reads."""
    free: dict[str, None] = {}
    for layer in active_layers(net, "TEST"):
        for bottom in layer.bottom:
            free.pop(bottom, None)
        if layer.type != "Input":
            free |= dict.fromkeys(layer.top)
    return list(free)


def convert(
    net: Message,
    shapes: Mapping[str, Shape],
    weights: Mapping[str, Array],
    places: Mapping[str, str],
    top_k: int | None = None,
) -> ModelProto:
    """Convert a deploy net to ONNX (opset 18, IR 8), layer by layer.

    Ids, that is inputs which an Embed layer reads, be it through Slice, Reshape or Threshold, become int64, other
    inputs float; their first axis is the batch, B. Blobs and parameters keep their names.

    Parameters
    ----------
    net : NetParameter, its TEST phase
    shapes : blob name to shape, the first axis of each being the batch (its size is not read)
    weights : parameter name (`learnable`) to float32 array in Caffe's shape
    places : layer name to file and line, for messages
    top_k : also give `top_item` (B, top_k) int64, places of the largest probabilities with index 0 left out, and
        `top_probability` (B, top_k) float32

    Raises
    ------
    ModelError
        A layer's type or setting is not known, with file, line and layer; `top_k` does not fit the outputs.
    """
    require_known(net, places)
    graph = _Graph(net, shapes, weights)
    for layer in active_layers(net, "TEST"):
        try:
            values = _RULES[layer.type](graph, layer)
        except _UnsupportedError as error:
            raise ModelError(f'{places[layer.name]}: layer "{layer.name}" ({layer.type}) {error}') from error
        graph.values.update(zip(layer.top, values, strict=True))
    outputs = outputs_of(net)
    infos = [graph.info(blob) for blob in outputs]
    wishes = {blob: graph.values[blob] for blob in outputs}
    if top_k is not None:
        place, probability = _top(graph, _probability(net, graph, outputs), top_k)
        wishes |= {"top_item": place, "top_probability": probability}
        infos += [
            helper.make_tensor_value_info("top_item", INT64, ["B", top_k]),
            helper.make_tensor_value_info("top_probability", FLOAT, ["B", top_k]),
        ]
    return graph.model(infos, wishes)


class _UnsupportedError(Exception):
    """A setting of a known layer type that has no rule, said after the layer's name."""


class _Graph:
    """The ONNX graph under construction: the value that each Caffe blob has by now, and which values are int64."""

    def __init__(self, net: Message, shapes: Mapping[str, Shape], weights: Mapping[str, Array]) -> None:
        layers = active_layers(net, "TEST")
        inputs = [*net.input, *(top for layer in layers if layer.type == "Input" for top in layer.top)]
        self._shapes = shapes
        self.values = {blob: blob for blob in inputs}
        self._ints = _ids(layers) & set(inputs)
        empty = helper.make_graph([], net.name or "net", [self.info(blob) for blob in inputs], [])
        opset = helper.make_opsetid("", 18)
        model = helper.make_model(empty, opset_imports=[opset], ir_version=8, producer_name="drn")
        # No node takes a blob's name by itself: a blob changed in place has several values, the last gets its name.
        self._builder = GraphEditor(model, {*shapes, "top_item", "top_probability"})
        self._tensors: dict[tuple[str, int], str] = {}
        for parameter in learnable(net, "TEST"):
            name = self._builder.name(parameter.name)
            self._builder.initialise(name, weights[parameter.name])
            self._tensors |= dict.fromkeys(parameter.places, name)

    def shape(self, blob: str) -> Shape:
        return self._shapes[blob]

    def floats(self, blob: str) -> str:
        """Return the blob's value as float32."""
        value = self.values[blob]
        return self.one("Cast", [value], f"{blob}_float", to=FLOAT) if value in self._ints else value

    def ids(self, blob: str) -> str:
        """Return the blob's value as int64, cut to whole numbers as Caffe does."""
        value = self.values[blob]
        return value if value in self._ints else self.one("Cast", [value], f"{blob}_id", to=INT64)

    def same(self, blobs: Sequence[str]) -> list[str]:
        """Return the values of blobs in one type: int64 if all are, else float32."""
        ints = all(self.values[blob] in self._ints for blob in blobs)
        return [self.values[blob] if ints else self.floats(blob) for blob in blobs]

    def parameters(self, layer: Message) -> list[str]:
        return [self._tensors[layer.name, index] for index in range(len(layer_type(layer).fillers(layer)))]

    def one(self, op: str, inputs: Sequence[str], wish: str, **attributes: Any) -> str:
        return self._builder.one(op, inputs, wish, **attributes)

    def moved(self, op: str, inputs: Sequence[str], wish: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Append an operator that moves values and keeps their type."""
        made = self._builder.add(op, inputs, wish, outputs, **attributes)
        if inputs[0] in self._ints:
            self._ints |= set(made)
        return made

    def constant(self, values: Any, wish: str, dtype: Any = np.int64) -> str:
        return self._builder.constant(values, wish, dtype)

    def info(self, blob: str) -> ValueInfoProto:
        kind = INT64 if self.values[blob] in self._ints else FLOAT
        return helper.make_tensor_value_info(blob, kind, ["B", *self.shape(blob)[1:]])

    def model(self, outputs: Sequence[ValueInfoProto], wishes: Mapping[str, str]) -> ModelProto:
        """Return the model; outputs get their names first, then the other blobs whose value is theirs alone."""
        names = dict(wishes)
        for blob, value in self.values.items():
            if blob not in names and value not in self.values and value not in names.values():
                names[blob] = value
        self._builder.publish(names)
        self._builder.declare_outputs(outputs)
        return self._builder.model()


# Layers through which an id passes on its way to an Embed.
_PASSING = ("Concat", "Dropout", "Reshape", "Slice", "Threshold", "Tile")


def _ids(layers: Iterable[Message]) -> set[str]:
    """Return the blobs that an Embed layer reads, be it through other layers."""
    found: set[str] = set()
    for layer in reversed(list(layers)):
        if layer.type == "Embed" or (layer.type in _PASSING and found & set(layer.top)):
            found |= set(layer.bottom)
    return found


def _probability(net: Message, graph: _Graph, outputs: Sequence[str]) -> str:
    """Return the value of the one output that a Softmax over items makes, or a Scale behind one: a mixture."""
    softmax: set[str] = set()
    for layer in active_layers(net, "TEST"):
        if layer.type == "Softmax" or (layer.type in ("Concat", "Eltwise", "Scale") and softmax & set(layer.bottom)):
            softmax |= set(layer.top)
    found = [blob for blob in outputs if blob in softmax and len(graph.shape(blob)) == 2]
    if len(found) != 1:
        raise ModelError(
            f"top-k wants one output (B, N+1) that a Softmax layer makes; of the outputs {', '.join(outputs)} "
            f"{', '.join(found) or 'none'} is one"
        )
    return found[0]


def _top(graph: _Graph, blob: str, top_k: int) -> tuple[str, str]:
    items = graph.shape(blob)[1] - 1
    if not 1 <= top_k <= items:
        raise ModelError(f"top-k is {top_k}, but {blob} has {items} items beside index 0; give 1 to {items}")
    clash = {"top_item", "top_probability"} & set(graph.values)
    if clash:
        raise ModelError(f"top-k makes {', '.join(sorted(clash))}, but the net has a blob of that name")
    first, axis = graph.constant([1], "first_item"), graph.constant([-1], "last_axis")
    items_only = graph.one("Slice", [graph.values[blob], first, graph.constant([items + 1], "end"), axis], "items")
    probability, place = graph.moved("TopK", [items_only, graph.constant([top_k], "top_k")], "top", 2)
    return graph.one("Add", [place, first], "item"), probability


# The rules: each appends a layer's operators and returns the values of its tops.


def _refuse(unless: bool, text: str) -> None:
    if not unless:
        raise _UnsupportedError(f"{text}, which drn import does not support")


def _embed(graph: _Graph, layer: Message) -> list[str]:
    table, *bias = graph.parameters(layer)
    rows = graph.one("Gather", [table, graph.ids(layer.bottom[0])], layer.name, axis=0)
    return [graph.one("Add", [rows, *bias], f"{layer.name}_bias") if bias else rows]


def _inner_product(graph: _Graph, layer: Message) -> list[str]:
    param, shape, name = layer.inner_product_param, graph.shape(layer.bottom[0]), layer.name
    axis = axis_of(param.axis, shape)
    value = graph.floats(layer.bottom[0])
    if (axis, len(shape)) != (1, 2):
        value = graph.one("Flatten", [value], f"{name}_rows", axis=axis)
    parameters = graph.parameters(layer)
    value = graph.one("Gemm", [value, *parameters], name, transB=int(not param.transpose))
    if axis == 1:
        return [value]
    return [graph.one("Reshape", [value, graph.constant([-1, *shape[1:axis], param.num_output], "shape")], name)]


def _slice(graph: _Graph, layer: Message) -> list[str]:
    axis = slice_axis(layer, graph.shape(layer.bottom[0]))
    sizes = graph.constant([graph.shape(top)[axis] for top in layer.top], "sizes")
    return graph.moved("Split", [graph.values[layer.bottom[0]], sizes], layer.name, len(layer.top), axis=axis)


def _concat(graph: _Graph, layer: Message) -> list[str]:
    axis = concat_axis(layer, graph.shape(layer.bottom[0]))
    return graph.moved("Concat", graph.same(layer.bottom), layer.name, axis=axis)


def _reshape(graph: _Graph, layer: Message) -> list[str]:
    # Every blob's first axis is the batch, so the other sizes tell all.
    shape = graph.constant([-1, *graph.shape(layer.top[0])[1:]], "shape")
    return graph.moved("Reshape", [graph.values[layer.bottom[0]], shape], layer.name)


def _eltwise(graph: _Graph, layer: Message) -> list[str]:
    param = layer.eltwise_param
    operation = param.DESCRIPTOR.fields_by_name["operation"].enum_type.values_by_number[param.operation].name
    _refuse(operation in ("SUM", "PROD"), f"has operation {operation}")
    values = [graph.floats(bottom) for bottom in layer.bottom]
    if operation == "PROD":
        product = values[0]
        for value in values[1:]:
            product = graph.one("Mul", [product, value], layer.name)
        return [product]
    for index, coeff in enumerate(param.coeff):
        if coeff != 1:
            values[index] = _times(graph, values[index], coeff, f"{layer.name}_term")
    return [graph.one("Sum", values, layer.name)]


def _times(graph: _Graph, value: str, factor: float, wish: str) -> str:
    return graph.one("Mul", [value, graph.constant(factor, "factor", np.float32)], wish)


def _laid(graph: _Graph, layer: Message, axis: int, value: str) -> str:
    """Return a Scale's factor or a Bias's summand with ones behind, so that it lies on the bottom from the axis on."""
    bottoms = [graph.shape(bottom) for bottom in layer.bottom]
    rank = len(factor_shape(layer, bottoms))
    behind = len(bottoms[0]) - axis_of(axis, bottoms[0]) - rank if rank else 0
    if not behind:
        return value
    return graph.one("Unsqueeze", [value, graph.constant([*range(rank, rank + behind)], "axes")], f"{layer.name}_laid")


def _scale(graph: _Graph, layer: Message) -> list[str]:
    param, parameters = layer.scale_param, graph.parameters(layer)
    factor = graph.floats(layer.bottom[1]) if len(layer.bottom) > 1 else parameters.pop(0)
    laid = _laid(graph, layer, param.axis, factor)
    value = graph.one("Mul", [graph.floats(layer.bottom[0]), laid], f"{layer.name}")
    if param.bias_term:
        value = graph.one("Add", [value, _laid(graph, layer, param.axis, parameters[0])], f"{layer.name}_bias")
    return [value]


def _bias(graph: _Graph, layer: Message) -> list[str]:
    summand = graph.floats(layer.bottom[1]) if len(layer.bottom) > 1 else graph.parameters(layer)[0]
    laid = _laid(graph, layer, layer.bias_param.axis, summand)
    return [graph.one("Add", [graph.floats(layer.bottom[0]), laid], layer.name)]


def _relu(graph: _Graph, layer: Message) -> list[str]:
    slope, value = layer.relu_param.negative_slope, graph.floats(layer.bottom[0])
    if slope:
        return [graph.one("LeakyRelu", [value], layer.name, alpha=slope)]
    return [graph.one("Relu", [value], layer.name)]


def _threshold(graph: _Graph, layer: Message) -> list[str]:
    threshold = graph.constant(layer.threshold_param.threshold, "threshold", np.float32)
    above = graph.one("Greater", [graph.floats(layer.bottom[0]), threshold], f"{layer.name}_above")
    return [graph.one("Cast", [above], layer.name, to=FLOAT)]


def _pooling(graph: _Graph, layer: Message) -> list[str]:
    param, height = layer.pooling_param, graph.shape(layer.bottom[0])[2]
    pool = param.DESCRIPTOR.fields_by_name["pool"].enum_type.values_by_number[param.pool].name
    _refuse(pool == "AVE" and len(layer.top) == 1, f"has pool {pool}")
    _refuse(not param.global_pooling, "has global_pooling")
    (high, _, pad_h), (wide, stride, pad_w) = pooling_windows(layer)
    _refuse(
        (high, wide) == (height, 1) and stride == 1 and pad_h == pad_w == 0,
        f"has kernel {high}x{wide}, stride {stride}, pad {max(pad_h, pad_w)}, not one column of {height}x1",
    )
    return [graph.one("ReduceMean", [graph.floats(layer.bottom[0]), graph.constant([2], "axes")], layer.name)]


def _power(graph: _Graph, layer: Message) -> list[str]:
    param, value = layer.power_param, graph.floats(layer.bottom[0])
    _refuse(param.power in (1, -1), f"has power {param.power:g}")
    if param.scale != 1:
        value = _times(graph, value, param.scale, layer.name)
    if param.shift:
        value = graph.one("Add", [value, graph.constant(param.shift, "shift", np.float32)], f"{layer.name}_shift")
    return [graph.one("Reciprocal", [value], f"{layer.name}_reciprocal") if param.power == -1 else value]


def _reduction(graph: _Graph, layer: Message) -> list[str]:
    param, shape = layer.reduction_param, graph.shape(layer.bottom[0])
    operation = param.DESCRIPTOR.fields_by_name["operation"].enum_type.values_by_number[param.operation].name
    axis = axis_of(param.axis, shape)
    _refuse(operation == "SUM" and axis > 0, f"has operation {operation} from axis {axis} on")
    axes = graph.constant([*range(axis, len(shape))], "axes")
    value = graph.one("ReduceSum", [graph.floats(layer.bottom[0]), axes], layer.name, keepdims=0)
    return [value if param.coeff == 1 else _times(graph, value, param.coeff, f"{layer.name}_coeff")]


def _tile(graph: _Graph, layer: Message) -> list[str]:
    rank = len(graph.shape(layer.bottom[0]))
    repeats = [1] * rank
    repeats[axis_of(layer.tile_param.axis, tuple(repeats))] = layer.tile_param.tiles
    value = graph.values[layer.bottom[0]]
    return graph.moved("Tile", [value, graph.constant(repeats, "repeats")], layer.name)


def _softmax(graph: _Graph, layer: Message) -> list[str]:
    return [graph.one("Softmax", [graph.floats(layer.bottom[0])], layer.name, axis=layer.softmax_param.axis)]


_RULES: dict[str, Callable[[_Graph, Message], list[str]]] = {
    "Bias": _bias,
    "Concat": _concat,
    "Dropout": lambda graph, layer: [graph.values[layer.bottom[0]]],
    "Eltwise": _eltwise,
    "Embed": _embed,
    "InnerProduct": _inner_product,
    "Input": lambda _graph, layer: list(layer.top),
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Scale": _scale,
    "Silence": lambda _graph, _layer: [],
    "Slice": _slice,
    "Softmax": _softmax,
    "Threshold": _threshold,
    "Tile": _tile,
}
