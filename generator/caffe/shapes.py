"""Shapes of a Caffe net's blobs and parameters from its prototxt alone, for any batch size."""

from collections.abc import Mapping
from dataclasses import dataclass

from generator.caffe.layers import BATCH, LAYERS, MANY, LayerError, Shape, shape_text
from generator.caffe.schema import Message
from generator.caffe.source import Prototxt
from generator.errors import ModelError

__all__ = ["Shapes", "batch_first", "infer"]


@dataclass(frozen=True)
class Shapes:
    """Blob name to shape, and parameter name (`learnable`) to shape; None where the prototxt does not tell."""

    blobs: dict[str, Shape | None]
    parameters: dict[str, Shape | None]


def infer(source: Prototxt, phase: str, known: Mapping[str, Shape] | None = None, declared: bool = False) -> Shapes:
    """Infer the shapes of a net in one phase.

    Parameters
    ----------
    source : the net
    phase : TRAIN or TEST
    known : shapes of tops of HDF5Data layers, whose sizes lie in the data; a top not named here is unknown
    declared : take the batch size that the Input layers state instead of `BATCH`

    Raises
    ------
    ModelError
        A layer's type is unknown, it has too few or too many bottoms, or its setting does not fit their shapes; two
        layers that share a parameter want it in different shapes. With file, line and layer.
    """
    places = source.places(phase)
    blobs: dict[str, Shape | None] = dict(_net_inputs(source, declared))
    uses: dict[tuple[str, int], Shape] = {}
    for layer in source.layers(phase):
        try:
            _check(layer)
            tops, parameters = _layer(layer, _bottoms(layer, blobs), known or {}, declared)
        except LayerError as error:
            raise ModelError(f'{places[layer.name]}: layer "{layer.name}" {error}') from error
        blobs.update(zip(layer.top, tops, strict=True))
        uses |= {(layer.name, index): shape for index, shape in enumerate(parameters)}
    return Shapes(blobs, _shared(source, phase, uses, places))


def _shared(
    source: Prototxt, phase: str, uses: Mapping[tuple[str, int], Shape], places: Mapping[str, str]
) -> dict[str, Shape | None]:
    """Return the shape of each parameter, which all its uses must agree on."""
    shapes: dict[str, Shape | None] = {}
    for parameter in source.learnable(phase):
        told = [(layer, shape) for layer, index in parameter.places if (shape := uses.get((layer, index))) is not None]
        for layer, shape in told[1:]:
            if shape != told[0][1]:
                raise ModelError(
                    f'{places[layer]}: layer "{layer}" wants param "{parameter.name}" as {shape_text(shape)}, '
                    f"but layer {told[0][0]} as {shape_text(told[0][1])}; layers that share it want one shape"
                )
        shapes[parameter.name] = told[0][1] if told else None
    return shapes


def batch_first(source: Prototxt, shapes: Shapes) -> None:
    """Check that every blob of a net has the batch on its first axis and nowhere else, whatever its size.

    Raises
    ------
    ModelError
        With file, line and layer, where a layer folds the batch into another axis or fixes its size.
    """
    places = source.places("TEST")
    for layer in source.layers("TEST"):
        for top in layer.top:
            shape = shapes.blobs[top]
            if shape is None or shape[:1] != (BATCH,) or any(size % BATCH == 0 for size in shape[1:]):
                raise ModelError(
                    f'{places[layer.name]}: layer "{layer.name}" ({layer.type}) gives {top} the shape '
                    f"{shape_text(shape)}; drn import wants the batch B on the first axis of every blob"
                )


def _check(layer: Message) -> None:
    """Check that a layer's type is known and has as many bottoms and tops as it takes."""
    if layer.type not in LAYERS:
        raise LayerError(
            f'has type "{layer.type}", which drn inspect does not know; known: {", ".join(sorted(LAYERS))}'
        )
    kind = LAYERS[layer.type]
    for what, names, (least, most) in (("bottom", layer.bottom, kind.bottoms), ("top", layer.top, kind.tops)):
        if not least <= len(names) <= most:
            wanted = str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"
            raise LayerError(f"({layer.type}) has {len(names)} {what}s, not {wanted}")


def _bottoms(layer: Message, blobs: Mapping[str, Shape | None]) -> list[Shape | None]:
    """Return the shapes of a layer's bottoms, refusing a bottom nobody makes and a top made already."""
    for bottom in layer.bottom:
        if bottom not in blobs:
            raise LayerError(f'reads the blob "{bottom}", which no layer before it makes')
    for index, top in enumerate(layer.top):
        if list(layer.top).count(top) > 1 or (top in blobs and list(layer.bottom)[index : index + 1] != [top]):
            raise LayerError(f'makes the blob "{top}", which is made already; only its own bottom may be a top')
    return [blobs[bottom] for bottom in layer.bottom]


def _layer(
    layer: Message, bottoms: list[Shape | None], known: Mapping[str, Shape], declared: bool
) -> tuple[list[Shape | None], list[Shape]]:
    """Return the shapes of a layer's tops and parameters; unknown bottoms make unknown what depends on them."""
    if layer.type == "HDF5Data":
        return [known.get(top) for top in layer.top], []
    kind = LAYERS[layer.type]
    whole = [shape for shape in bottoms if shape is not None]
    if len(whole) < len(bottoms):
        top: Shape | None = () if kind.scalar else None
        return [top] * len(layer.top), kind.blob_shapes(layer, []) if kind.free else []
    tops = kind.top_shapes(layer, whole)
    if layer.type == "Input" and not declared:
        tops = [_any_batch(shape) for shape in tops]
    return [*tops], kind.blob_shapes(layer, whole)


def _any_batch(shape: Shape) -> Shape:
    return (BATCH, *shape[1:]) if shape else shape


def _net_inputs(source: Prototxt, declared: bool) -> dict[str, Shape]:
    """Return the inputs in the old style: `input` with `input_shape`, or with four `input_dim` each."""
    net = source.net
    if net.input_shape:
        shapes = [tuple(shape.dim) for shape in net.input_shape]
    else:
        shapes = [tuple(net.input_dim[4 * index : 4 * index + 4]) for index in range(len(net.input))]
    if len(shapes) != len(net.input) or not all(shapes):
        raise ModelError(f"{source.filename}: {len(net.input)} inputs want as many input_shape, or four input_dim each")
    return {name: shape if declared else _any_batch(shape) for name, shape in zip(net.input, shapes, strict=True)}
