"""The table of Caffe's layers: what each type takes and gives, the parameters it learns, and how they are filled.

Sources: each layer's `LayerSetUp` and `Reshape` in BVLC Caffe 1.0.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from generator.caffe.fillers import BlobFiller
from generator.caffe.schema import FillerParameter, Message

__all__ = [
    "BATCH",
    "LAYERS",
    "MANY",
    "LayerError",
    "LayerType",
    "Shape",
    "axis_of",
    "concat_axis",
    "factor_shape",
    "layer_type",
    "pooling_windows",
    "shape_text",
    "slice_axis",
]

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


class LayerError(Exception):
    """What is wrong with a layer, said after its name."""


class LayerType(NamedTuple):
    """A layer type.

    Attributes
    ----------
    bottoms, tops : how many it takes and gives, least and most
    top_shapes : the layer and the shapes of its bottoms to the shapes of its tops
    blob_shapes : the same to the shapes of its parameters, one for each of `fillers`
    fillers : the layer to the fillers of its parameters, which are learnable blobs
    scalar : whether its tops are scalars whatever the bottoms
    free : whether its parameters' shapes depend on no bottom
    """

    bottoms: tuple[int, int]
    tops: tuple[int, int]
    top_shapes: Callable[[Message, list[Shape]], list[Shape]]
    blob_shapes: Callable[[Message, list[Shape]], list[Shape]] = lambda _layer, _bottoms: []
    fillers: Callable[[Message], list[BlobFiller]] = lambda _layer: []
    scalar: bool = False
    free: bool = False


def layer_type(layer: Message) -> LayerType:
    """Return the entry of a layer's type. Raises LayerError where the table has none."""
    if layer.type not in LAYERS:
        raise LayerError(f'has type "{layer.type}", unknown to drn; known are {", ".join(sorted(LAYERS))}')
    return LAYERS[layer.type]


def axis_of(axis: int, shape: Shape) -> int:
    """Return a non-negative axis of `shape`."""
    if not -len(shape) <= axis < len(shape):
        raise LayerError(f"has axis {axis}, but its bottom {shape_text(shape)} has {len(shape)} axes")
    return axis % len(shape)


def _input(layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
    if len(shapes) == 1:
        shapes *= len(layer.top)
    if len(shapes) != len(layer.top):
        raise LayerError(f"(Input) has {len(shapes)} shapes for {len(layer.top)} tops; give one, or one a top")
    if any(size < 0 for shape in shapes for size in shape):
        raise LayerError("(Input) has a negative dim")
    return shapes


def _same(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [bottoms[0]] * len(layer.top)


def _wide(number: int) -> int:
    if number <= 0:
        raise LayerError("has no num_output above 0")
    return number


def _embed(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [(*bottoms[0], _wide(layer.embed_param.num_output))]


def _embed_blobs(layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    param = layer.embed_param
    return [(param.input_dim, param.num_output), (param.num_output,)][: 1 + param.bias_term]


def _weight_and_bias(param: Message) -> list[BlobFiller]:
    """Return the fillers of an InnerProduct or Embed layer."""
    return [BlobFiller.of(param.weight_filler), BlobFiller.of(param.bias_filler)][: 1 + param.bias_term]


def _parameter(layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    return [tuple(layer.parameter_param.shape.dim)]


def _zero(_layer: Message) -> list[BlobFiller]:
    """Return the filler of a Parameter layer, which can state none: Caffe leaves its blob at 0."""
    return [BlobFiller.of(FillerParameter())]


def _inner_product(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param = layer.inner_product_param
    return [(*bottoms[0][: axis_of(param.axis, bottoms[0])], _wide(param.num_output))]


def _inner_product_blobs(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param = layer.inner_product_param
    width = math.prod(bottoms[0][axis_of(param.axis, bottoms[0]) :])
    weight: Shape = (width, param.num_output) if param.transpose else (param.num_output, width)
    return [weight, (param.num_output,)][: 1 + param.bias_term]


def factor_shape(layer: Message, bottoms: Sequence[Shape]) -> Shape:
    """Return the shape of the factor of a Scale or the summand of a Bias: the second bottom's or the parameter's."""
    param = layer.scale_param if layer.type == "Scale" else layer.bias_param
    whole = bottoms[0]
    if len(bottoms) > 1:
        factor = bottoms[1]
        axis = axis_of(param.axis, whole) if factor else 0
        if factor != whole[axis : axis + len(factor)]:
            raise LayerError(
                f"({layer.type}) cannot lay {layer.bottom[1]} {shape_text(factor)} on {layer.bottom[0]} "
                f"{shape_text(whole)} at axis {param.axis}"
            )
        return factor
    axis = axis_of(param.axis, whole)
    return whole[axis:] if param.num_axes == -1 else whole[axis : axis + param.num_axes]


def _factored(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    factor_shape(layer, bottoms)
    return [bottoms[0]]


def _factor_blobs(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [factor_shape(layer, bottoms)] * len(layer_type(layer).fillers(layer))


def _scale_fillers(layer: Message) -> list[BlobFiller]:
    """Return the fillers of a Scale layer: with two bottoms the factor is no parameter, and an unfilled factor is 1."""
    param = layer.scale_param
    factor = [] if len(layer.bottom) > 1 else [BlobFiller.of(param.filler, default=1.0)]
    return [*factor, BlobFiller.of(param.bias_filler)] if param.bias_term else factor


def _bias_fillers(layer: Message) -> list[BlobFiller]:
    return [] if len(layer.bottom) > 1 else [BlobFiller.of(layer.bias_param.filler)]


def slice_axis(layer: Message, whole: Shape) -> int:
    """Return the axis that a Slice layer cuts, not negative."""
    param = layer.slice_param
    return axis_of(param.slice_dim if param.HasField("slice_dim") else param.axis, whole)


def concat_axis(layer: Message, first: Shape) -> int:
    """Return the axis on which a Concat layer joins, not negative."""
    param = layer.concat_param
    return axis_of(param.concat_dim if param.HasField("concat_dim") else param.axis, first)


def _slice(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    whole, points = bottoms[0], list(layer.slice_param.slice_point)
    axis = slice_axis(layer, whole)
    if not points:
        if whole[axis] % len(layer.top):
            raise LayerError(f"(Slice) cannot part {shape_text(whole)} at axis {axis} into {len(layer.top)} equal tops")
        points = [whole[axis] // len(layer.top) * part for part in range(1, len(layer.top))]
    edges = [0, *points, whole[axis]]
    if len(points) != len(layer.top) - 1 or any(a >= b for a, b in pairwise(edges)):
        raise LayerError(f"(Slice) has slice points {points} for {len(layer.top)} tops of {shape_text(whole)}")
    return [(*whole[:axis], b - a, *whole[axis + 1 :]) for a, b in pairwise(edges)]


def _concat(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    axis = concat_axis(layer, bottoms[0])
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in bottoms}) > 1 or len({*map(len, bottoms)}) > 1:
        raise LayerError(f"(Concat) cannot join {', '.join(map(shape_text, bottoms))} on axis {axis}")
    return [(*bottoms[0][:axis], sum(shape[axis] for shape in bottoms), *bottoms[0][axis + 1 :])]


def _eltwise(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    if len(set(bottoms)) > 1:
        raise LayerError(f"(Eltwise) has bottoms of different shapes: {', '.join(map(shape_text, bottoms))}")
    if len(layer.eltwise_param.coeff) not in (0, len(bottoms)):
        raise LayerError(f"(Eltwise) has {len(layer.eltwise_param.coeff)} coeff for {len(bottoms)} bottoms")
    return [bottoms[0]]


def _reshape(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param, whole = layer.reshape_param, bottoms[0]
    start = param.axis if param.axis >= 0 else len(whole) + param.axis + 1
    end = len(whole) if param.num_axes == -1 else start + param.num_axes
    dims = list(param.shape.dim)
    if not 0 <= start <= end <= len(whole) or dims.count(-1) > 1 or any(dim < -1 for dim in dims):
        raise LayerError(f"(Reshape) has dims {dims}, axis {param.axis}, num_axes {param.num_axes}")
    for index, dim in enumerate(dims):
        if dim == 0:
            if start + index >= len(whole):
                raise LayerError(f"(Reshape) copies axis {start + index}, which {shape_text(whole)} lacks")
            dims[index] = whole[start + index]
    held, stated = math.prod(whole[start:end]), math.prod(dim for dim in dims if dim != -1)
    if -1 in dims and stated and held % stated == 0:
        dims[dims.index(-1)] = held // stated
    if math.prod(dims) != held:
        raise LayerError(f"(Reshape) cannot turn {shape_text(whole)} into dims {list(param.shape.dim)}")
    return [(*whole[:start], *dims, *whole[end:])]


def pooling_windows(layer: Message) -> list[tuple[int, int, int]]:
    """Return kernel, stride and pad of a Pooling layer by height and by width."""
    param = layer.pooling_param
    return [
        (
            getattr(param, f"kernel_{letter}") or param.kernel_size,
            getattr(param, f"stride_{letter}") or param.stride,
            getattr(param, f"pad_{letter}") or param.pad,
        )
        for letter in "hw"
    ]


def _pooling(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param, whole = layer.pooling_param, bottoms[0]
    if len(whole) != 4:
        raise LayerError(f"(Pooling) wants a bottom of 4 axes, not {shape_text(whole)}")
    if param.global_pooling:
        return [(*whole[:2], 1, 1)] * len(layer.top)
    sizes = []
    for size, (kernel, stride, pad) in zip(whole[2:], pooling_windows(layer), strict=True):
        if not 0 < kernel <= size + 2 * pad or not stride or pad >= kernel:
            raise LayerError(f"(Pooling) has kernel {kernel}, stride {stride}, pad {pad} on {shape_text(whole)}")
        count = -(-(size + 2 * pad - kernel) // stride) + 1
        sizes.append(count - (pad > 0 and (count - 1) * stride >= size + pad))
    return [(*whole[:2], *sizes)] * len(layer.top)


def _tile(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    axis = axis_of(layer.tile_param.axis, bottoms[0])
    if layer.tile_param.tiles <= 0:
        raise LayerError("(Tile) has no tiles above 0")
    return [(*bottoms[0][:axis], bottoms[0][axis] * layer.tile_param.tiles, *bottoms[0][axis + 1 :])]


def _softmax(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    axis_of(layer.softmax_param.axis, bottoms[0])
    return [bottoms[0]]


def _flatten(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    whole, param = bottoms[0], layer.flatten_param
    start, end = axis_of(param.axis, whole), axis_of(param.end_axis, whole)
    return [(*whole[:start], math.prod(whole[start : end + 1]), *whole[end + 1 :])]


def _reduction(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    return [bottoms[0][: axis_of(layer.reduction_param.axis, bottoms[0])]]


def _argmax(layer: Message, bottoms: list[Shape]) -> list[Shape]:
    param, whole = layer.argmax_param, bottoms[0]
    if param.HasField("axis"):
        axis = axis_of(param.axis, whole)
        return [(*whole[:axis], param.top_k, *whole[axis + 1 :])]
    return [(whole[0], 1 + param.out_max_val, param.top_k, *[1] * (len(whole) - 3))]


def _nothing(_layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    return []


# As many bottoms or tops as there are.
MANY = 10**9
_ONE, _SOME = (1, 1), (1, MANY)


def _scalar(_layer: Message, _bottoms: list[Shape]) -> list[Shape]:
    return [()]


LAYERS = {
    "Accuracy": LayerType((2, 2), _ONE, _scalar, scalar=True),
    "ArgMax": LayerType(_ONE, _ONE, _argmax),
    "Bias": LayerType((1, 2), _ONE, _factored, _factor_blobs, _bias_fillers),
    "Concat": LayerType(_SOME, _ONE, _concat),
    "Dropout": LayerType(_ONE, _ONE, _same),
    "Eltwise": LayerType((2, MANY), _ONE, _eltwise),
    "Embed": LayerType(_ONE, _ONE, _embed, _embed_blobs, lambda layer: _weight_and_bias(layer.embed_param), free=True),
    "Flatten": LayerType(_ONE, _ONE, _flatten),
    "HDF5Data": LayerType((0, 0), _SOME, _nothing),
    "InnerProduct": LayerType(
        _ONE, _ONE, _inner_product, _inner_product_blobs, lambda layer: _weight_and_bias(layer.inner_product_param)
    ),
    "Input": LayerType((0, 0), _SOME, _input),
    # It states no filler: Caffe leaves it at 0.
    "Parameter": LayerType(
        (0, 0), _ONE, _parameter, _parameter, lambda layer: [BlobFiller.of(layer.bias_param.filler)]
    ),
    "Pooling": LayerType(_ONE, (1, 2), _pooling),
    "Power": LayerType(_ONE, _ONE, _same),
    "ReLU": LayerType(_ONE, _ONE, _same),
    "Reduction": LayerType(_ONE, _ONE, _reduction),
    "Reshape": LayerType(_ONE, _ONE, _reshape),
    "Scale": LayerType((1, 2), _ONE, _factored, _factor_blobs, _scale_fillers),
    "Sigmoid": LayerType(_ONE, _ONE, _same),
    "Silence": LayerType(_SOME, (0, 0), _nothing),
    "Slice": LayerType(_ONE, _SOME, _slice),
    "Softmax": LayerType(_ONE, _ONE, _softmax),
    # Caffe 1.0 fails on the second top that its header allows.
    "SoftmaxWithLoss": LayerType((2, 3), _ONE, _scalar, scalar=True),
    "TanH": LayerType(_ONE, _ONE, _same),
    "Threshold": LayerType(_ONE, _ONE, _same),
    "Tile": LayerType(_ONE, _ONE, _tile),
}
