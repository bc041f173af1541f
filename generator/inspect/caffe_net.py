"""Reports on Caffe's text files: the prototxt of a net and of a solver."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from generator.caffe.layers import BATCH, Shape
from generator.caffe.prototxt import read_solver
from generator.caffe.schema import Message
from generator.caffe.shapes import infer
from generator.caffe.source import Prototxt
from generator.errors import ModelError
from generator.inspect.report import BlobReport, FileReport, LayerReport, ParameterReport, flop_of, is_ours, part_of

__all__ = ["net_report", "solver_report"]


def net_report(path: Path) -> FileReport:
    """Report on a net's prototxt: the layers of TRAIN, then those of TEST alone.

    The sizes of data layers come from the HDF5 files they name or from the deploy.prototxt beside the file; where
    neither is there, they and what hangs on them are unknown.

    Raises
    ------
    ModelError
        The file cannot be read or does not hold: with file, line and layer.
    """
    source = Prototxt.read(path)
    if not source.net.layer and not source.net.input:
        raise ModelError(f"{path}: holds no layer")
    known = _data_shapes(path, source)
    try:
        blobs, parameters = _shapes(source, known, declared=False)
        batch = BATCH
    except ModelError as complaint:
        # A net may hold for the one batch size it states. If not for that either, the first complaint counts.
        try:
            blobs, parameters = _shapes(source, known, declared=True)
        except ModelError:
            raise complaint from None
        batch = next((shape[0] for shape in blobs.values() if shape), 1)
    layers = _layers(source, blobs, {**blobs, **parameters}, batch)
    facts = {"name": source.net.name, "layers": len(layers), "batch": "any" if batch == BATCH else batch}
    made = [(top, layer) for layer in layers for top in layer.tops]
    read = {bottom for layer in layers for bottom in layer.bottoms}
    inputs = {*source.net.input, *(top for top, layer in made if layer.type in ("Input", "HDF5Data"))}
    return FileReport(
        path=str(path),
        kind="net",
        facts=facts,
        layers=layers,
        blobs=[
            BlobReport(name, shape, "input" if name in inputs else "" if name in read else "output")
            for name, shape in blobs.items()
        ],
        parameters=_parameters(source, parameters),
        flop=None if any(layer.flop is None for layer in layers) else sum(layer.flop or 0 for layer in layers),
    )


def _data_shapes(path: Path, source: Prototxt) -> dict[str, Shape]:
    """Return the shapes of the tops of HDF5Data layers, as far as files tell."""
    known: dict[str, Shape] = {}
    data = [layer for layer in source.net.layer if layer.type == "HDF5Data"]
    deploy = path.with_name("deploy.prototxt")
    if data and deploy.is_file():
        # Where the deploy net does not hold, its own report says so.
        with suppress(ModelError):
            inputs = infer(Prototxt.read(deploy), "TEST").blobs
            known = {top: shape for layer in data for top in layer.top if (shape := inputs.get(top)) is not None}
    for layer in data:
        known |= _hdf5_shapes(path.parent, layer)
    return known


def _hdf5_shapes(folder: Path, layer: Message) -> dict[str, Shape]:
    """Return the shapes of a data layer's tops in the first HDF5 file it names; none where it is not here."""
    import h5py

    try:
        first = (folder / layer.hdf5_data_param.source).read_text(encoding="utf-8").split()[0]
        with h5py.File(folder / first) as file:
            return {top: (BATCH, *file[top].shape[1:]) for top in layer.top}
    except (OSError, UnicodeDecodeError, IndexError, KeyError, AttributeError):
        return {}


def _shapes(
    source: Prototxt, known: Mapping[str, Shape], declared: bool
) -> tuple[dict[str, Shape | None], dict[str, Shape | None]]:
    """Return the shapes of blobs and parameters of both phases; a label has its scores' shape but for the classes."""
    blobs: dict[str, Shape | None] = {}
    parameters: dict[str, Shape | None] = {}
    for phase in ("TEST", "TRAIN"):
        shapes = infer(source, phase, known, declared)
        blobs |= shapes.blobs
        parameters |= shapes.parameters
        for layer in source.layers(phase):
            if (
                layer.type == "SoftmaxWithLoss"
                and blobs[layer.bottom[1]] is None
                and (scores := blobs[layer.bottom[0]])
            ):
                axis = layer.softmax_param.axis % len(scores)
                blobs[layer.bottom[1]] = scores[:axis] + scores[axis + 1 :]
    return blobs, parameters


def _layers(
    source: Prototxt, blobs: Mapping[str, Shape | None], shapes: Mapping[str, Shape | None], batch: int
) -> list[LayerReport]:
    """Return the layers of both phases, each once, with their work."""
    active = {layer.name: layer for phase in ("TRAIN", "TEST") for layer in source.layers(phase)}
    names = {
        place: parameter.name
        for phase in ("TRAIN", "TEST")
        for parameter in source.learnable(phase)
        for place in parameter.places
    }
    ours = is_ours(active)
    layers = [
        LayerReport(
            name=layer.name,
            type=layer.type,
            bottoms=tuple(layer.bottom),
            tops=tuple(layer.top),
            shapes=tuple(blobs[top] for top in layer.top),
            parameters=tuple(names[layer.name, index] for index in (0, 1) if (layer.name, index) in names),
            part=part_of(layer.name, layer.type, len(layer.top)) if ours else "",
        )
        for layer in active.values()
    ]
    flop = flop_of(layers, shapes, (), batch)
    return [replace(layer, flop=count) for layer, count in zip(layers, flop, strict=True)]


def _parameters(source: Prototxt, shapes: Mapping[str, Shape | None]) -> list[ParameterReport]:
    found = {parameter.name: parameter for phase in ("TEST", "TRAIN") for parameter in source.learnable(phase)}
    return [
        ParameterReport(
            name,
            shapes[name],
            tuple(dict.fromkeys(layer for layer, _ in parameter.places)),
            parameter.lr_mult,
            parameter.decay_mult,
        )
        for name, parameter in found.items()
    ]


def solver_report(path: Path) -> FileReport:
    """Report on a solver's prototxt: the settings it states, and the net it names where that can be read.

    Raises
    ------
    ModelError
        The file cannot be read or does not hold: with file, line and column.
    """
    solver = read_solver(path)
    facts = {field.name: _plain(field, value) for field, value in solver.ListFields()}
    return FileReport(str(path), "solver", facts)


def _plain(field: Any, value: Any) -> Any:
    """Return a field's value as text or number; a message as its text, repeated values as a list."""
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(f"{value:.7g}")
    return str(value) if hasattr(value, "ListFields") else [_plain(field, each) for each in value]
