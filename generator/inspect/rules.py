"""The shape rule of each Caffe layer type.

Sources: each layer's `LayerSetUp` and `Reshape` in BVLC Caffe 1.0.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from generator.caffe.schema import Message

__all__ = ["BATCH", "KINDS", "MANY", "SCALAR", "Kind", "MisfitError", "Shape", "embed_parameters", "shape_text"]

Shape: TypeAlias = tuple[int, ...]

# Stands for the batch size: a prime no width reaches, so that products and quotients of sizes keep track of it.
BATCH = 2**31 - 1


def shape_text(shape: Sequence[int] | None) -> str:
    """Return a shape as ``Bx4x64``, where B is the batch size; an unknown one as ``?``."""
    if shape is None:
        return "?"
    return "x".join(_size_text(size) for size in shape) or "scalar"


def _size_text(size: int) -> str:
    batches, more = divmod(size, BATCH)
    if not batches:
        return str(size)
    return ("B" if batches == 1 else f"{batches}B") + (f"+{more}" if more else "")


class MisfitError(Exception):
    """What is wrong with a layer, said after its name."""


class Kind(NamedTuple):
    """A layer type: how many bottoms and tops it takes (least, most), the shapes of its tops and of its parameters."""

    bottoms: tuple[int, int]
    tops: tuple[int, int]
    shape: Callable[[Message, list[Shape]], list[Shape]]
    parameters: Callable[[Message, list[Shape]], list[Shape]] = lambda _layer, _bottoms: []


def _axis(axis: int, shape: Shape) -> int:
    """Return a non-negative axis of `shape`."""
    if not -len(shape) <= axis < len(shape):
        raise MisfitError(f"has axis {axis}, but its bottom {shape_text(shape)} has {len(shape)} axes")
    return axis % len(shape)


def _input(layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
    if len(shapes) == 1:
        shapes *= len(layer.top)
    if len(shapes) != len(layer.top):
        raise MisfitError(f"(Input) has {len(shapes)} shapes for {len(layer.top)} tops; give one, or one a top")
    if any(size < 0 for shape in shapes for size in shape):
        raise MisfitError("(Input) has a negative dim")
    return shapes


def _same(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [bottoms[0]] * len(layer.top)


def _wide(number: int) -> int:
    if number <= 0:
        raise MisfitError("has no num_output above 0")
    return number


def _embed(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [(*bottoms[0], _wide(layer.embed_param.num_output))]


def embed_parameters(layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    """Return the shapes of an Embed layer's table and bias, which no bottom decides."""
    param = layer.embed_param
    return [(param.input_dim, param.num_output), (param.num_output,)][: 1 + param.bias_term]


def _parameter(layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    return [tuple(layer.parameter_param.shape.dim)]


def _inner_product(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param = layer.inner_product_param
    return [(*bottoms[0][: _axis(param.axis, bottoms[0])], _wide(param.num_output))]


def _inner_product_parameters(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param = layer.inner_product_param
    width = math.prod(bottoms[0][_axis(param.axis, bottoms[0]) :])
    weight: Shape = (width, param.num_output) if param.transpose else (param.num_output, width)
    return [weight, (param.num_output,)][: 1 + param.bias_term]


def _factor(layer: Message, param: Message, bottoms: list[Shape]) -> Shape:
    """Return the shape of the factor of a Scale or the summand of a Bias: the second bottom's or the parameter's."""
    whole = bottoms[0]
    if len(bottoms) > 1:
        factor = bottoms[1]
        axis = _axis(param.axis, whole) if factor else 0
        if factor != whole[axis : axis + len(factor)]:
            raise MisfitError(
                f"({layer.type}) cannot lay {layer.bottom[1]} {shape_text(factor)} on {layer.bottom[0]} "
                f"{shape_text(whole)} at axis {param.axis}"
            )
        return factor
    axis = _axis(param.axis, whole)
    return whole[axis:] if param.num_axes == -1 else whole[axis : axis + param.num_axes]


def _scale(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    _factor(layer, layer.scale_param, bottoms)
    return [bottoms[0]]


def _scale_parameters(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [_factor(layer, layer.scale_param, bottoms)] * ((len(bottoms) == 1) + layer.scale_param.bias_term)


def _bias(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    _factor(layer, layer.bias_param, bottoms)
    return [bottoms[0]]


def _bias_parameters(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [_factor(layer, layer.bias_param, bottoms)] * (len(bottoms) == 1)


def _slice(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param, whole = layer.slice_param, bottoms[0]
    axis = _axis(param.slice_dim if param.HasField("slice_dim") else param.axis, whole)
    points = list(param.slice_point)
    if not points:
        if whole[axis] % len(layer.top):
            raise MisfitError(
                f"(Slice) cannot part {shape_text(whole)} at axis {axis} into {len(layer.top)} equal tops"
            )
        points = [whole[axis] // len(layer.top) * part for part in range(1, len(layer.top))]
    edges = [0, *points, whole[axis]]
    if len(points) != len(layer.top) - 1 or any(a >= b for a, b in pairwise(edges)):
        raise MisfitError(f"(Slice) has slice points {points} for {len(layer.top)} tops of {shape_text(whole)}")
    return [(*whole[:axis], b - a, *whole[axis + 1 :]) for a, b in pairwise(edges)]


def _concat(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param = layer.concat_param
    axis = _axis(param.concat_dim if param.HasField("concat_dim") else param.axis, bottoms[0])
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in bottoms}) > 1 or len({*map(len, bottoms)}) > 1:
        raise MisfitError(f"(Concat) cannot join {', '.join(map(shape_text, bottoms))} on axis {axis}")
    return [(*bottoms[0][:axis], sum(shape[axis] for shape in bottoms), *bottoms[0][axis + 1 :])]


def _eltwise(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    if len(set(bottoms)) > 1:
        raise MisfitError(f"(Eltwise) has bottoms of different shapes: {', '.join(map(shape_text, bottoms))}")
    if len(layer.eltwise_param.coeff) not in (0, len(bottoms)):
        raise MisfitError(f"(Eltwise) has {len(layer.eltwise_param.coeff)} coeff for {len(bottoms)} bottoms")
    return [bottoms[0]]


def _reshape(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param, whole = layer.reshape_param, bottoms[0]
    start = param.axis if param.axis >= 0 else len(whole) + param.axis + 1
    end = len(whole) if param.num_axes == -1 else start + param.num_axes
    dims = list(param.shape.dim)
    if not 0 <= start <= end <= len(whole) or dims.count(-1) > 1 or any(dim < -1 for dim in dims):
        raise MisfitError(f"(Reshape) has dims {dims}, axis {param.axis}, num_axes {param.num_axes}")
    for index, dim in enumerate(dims):
        if dim == 0:
            if start + index >= len(whole):
                raise MisfitError(f"(Reshape) copies axis {start + index}, which {shape_text(whole)} lacks")
            dims[index] = whole[start + index]
    held, stated = math.prod(whole[start:end]), math.prod(dim for dim in dims if dim != -1)
    if -1 in dims and stated and held % stated == 0:
        dims[dims.index(-1)] = held // stated
    if math.prod(dims) != held:
        raise MisfitError(f"(Reshape) cannot turn {shape_text(whole)} into dims {list(param.shape.dim)}")
    return [(*whole[:start], *dims, *whole[end:])]


def _pooling(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param, whole = layer.pooling_param, bottoms[0]
    if len(whole) != 4:
        raise MisfitError(f"(Pooling) wants a bottom of 4 axes, not {shape_text(whole)}")
    if param.global_pooling:
        return [(*whole[:2], 1, 1)] * len(layer.top)
    sizes = []
    for size, letter in zip(whole[2:], "hw", strict=True):
        kernel = getattr(param, f"kernel_{letter}") or param.kernel_size
        stride = getattr(param, f"stride_{letter}") or param.stride
        pad = getattr(param, f"pad_{letter}") or param.pad
        if not 0 < kernel <= size + 2 * pad or not stride or pad >= kernel:
            raise MisfitError(f"(Pooling) has kernel {kernel}, stride {stride}, pad {pad} on {shape_text(whole)}")
        count = -(-(size + 2 * pad - kernel) // stride) + 1
        sizes.append(count - (pad > 0 and (count - 1) * stride >= size + pad))
    return [(*whole[:2], *sizes)] * len(layer.top)


def _tile(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    axis = _axis(layer.tile_param.axis, bottoms[0])
    if layer.tile_param.tiles <= 0:
        raise MisfitError("(Tile) has no tiles above 0")
    return [(*bottoms[0][:axis], bottoms[0][axis] * layer.tile_param.tiles, *bottoms[0][axis + 1 :])]


def _softmax(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    _axis(layer.softmax_param.axis, bottoms[0])
    return [bottoms[0]]


def _flatten(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    whole, param = bottoms[0], layer.flatten_param
    start, end = _axis(param.axis, whole), _axis(param.end_axis, whole)
    return [(*whole[:start], math.prod(whole[start : end + 1]), *whole[end + 1 :])]


def _reduction(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [bottoms[0][: _axis(layer.reduction_param.axis, bottoms[0])]]


def _argmax(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param, whole = layer.argmax_param, bottoms[0]
    if param.HasField("axis"):
        axis = _axis(param.axis, whole)
        return [(*whole[:axis], param.top_k, *whole[axis + 1 :])]
    return [(whole[0], 1 + param.out_max_val, param.top_k, *[1] * (len(whole) - 3))]


def _nothing(_layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    return []


MANY = 10**9
_ONE, _SOME = (1, 1), (1, MANY)
SCALAR = ("SoftmaxWithLoss", "Accuracy")
KINDS = {
    "Accuracy": Kind((2, 2), _ONE, lambda _layer, _bottoms: [()]),
    "ArgMax": Kind(_ONE, _ONE, _argmax),
    "Bias": Kind((1, 2), _ONE, _bias, _bias_parameters),
    "Concat": Kind(_SOME, _ONE, _concat),
    "Dropout": Kind(_ONE, _ONE, _same),
    "Eltwise": Kind((2, MANY), _ONE, _eltwise),
    "Embed": Kind(_ONE, _ONE, _embed, embed_parameters),
    "Flatten": Kind(_ONE, _ONE, _flatten),
    "HDF5Data": Kind((0, 0), _SOME, _nothing),
    "InnerProduct": Kind(_ONE, _ONE, _inner_product, _inner_product_parameters),
    "Input": Kind((0, 0), _SOME, _input),
    "Parameter": Kind((0, 0), _ONE, _parameter, _parameter),
    "Pooling": Kind(_ONE, (1, 2), _pooling),
    "Power": Kind(_ONE, _ONE, _same),
    "ReLU": Kind(_ONE, _ONE, _same),
    "Reduction": Kind(_ONE, _ONE, _reduction),
    "Reshape": Kind(_ONE, _ONE, _reshape),
    "Scale": Kind((1, 2), _ONE, _scale, _scale_parameters),
    "Sigmoid": Kind(_ONE, _ONE, _same),
    "Silence": Kind(_SOME, (0, 0), _nothing),
    "Slice": Kind(_ONE, _SOME, _slice),
    "Softmax": Kind(_ONE, _ONE, _softmax),
    # Caffe 1.0 fails on the second top that its header allows.
    "SoftmaxWithLoss": Kind((2, 3), _ONE, lambda _layer, _bottoms: [()]),
    "TanH": Kind(_ONE, _ONE, _same),
    "Threshold": Kind(_ONE, _ONE, _same),
    "Tile": Kind(_ONE, _ONE, _tile),
}
