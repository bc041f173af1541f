"""Reports on Caffe's binary files: caffemodel and solverstate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from generator.caffe.blobs import decode, read_message
from generator.caffe.hdf5 import is_hdf5, read_state_hdf5
from generator.caffe.layers import Shape, shape_text
from generator.caffe.schema import Message, SolverState
from generator.caffe.weights_file import read_weights
from generator.errors import ModelError
from generator.inspect.report import FileReport, LayerReport, ParameterReport, is_ours, part_of
from generator.inspect.strings import require_text

__all__ = ["caffemodel_report", "solverstate_report"]


def caffemodel_report(path: Path) -> FileReport:
    """Report on weights: the layers stored with blobs, and each parameter once, however often the file holds it.

    Raises
    ------
    ModelError
        The file is no caffemodel or cut short; a blob has not as many numbers as its shape says; a shared parameter
        is stored in two shapes.
    """
    message, hdf5 = read_weights(path)
    require_text(path, message)
    if not message.layer or not all(layer.name for layer in message.layer):
        raise ModelError(f"{path}: is no caffemodel of Caffe 1.0: it holds no layers with names")
    ours = is_ours(layer.name for layer in message.layer)
    layers, parameters, stored = [], dict[str, ParameterReport](), 0
    for layer in message.layer:
        # An empty blob is one of HDF5, shared with a layer that has it.
        held = [index for index, blob in enumerate(layer.blobs) if blob.ByteSize()]
        uses = [(_name(layer, index), _shape(path, layer, index)) for index in held]
        for index, (name, shape) in zip(held, uses, strict=True):
            parameters[name] = _shared(
                path, layer, index, parameters.get(name), ParameterReport(name, shape, (layer.name,))
            )
            stored += 1
        layers.append(
            LayerReport(
                name=layer.name,
                type=layer.type,
                bottoms=tuple(layer.bottom),
                tops=tuple(layer.top),
                shapes=(),  # the file holds none
                parameters=tuple(name for name, _ in uses),
                flop=None,
                part=part_of(layer.name, layer.type, len(layer.top)) if ours else "",
            )
        )
    if hdf5:
        layers = [layer for layer in layers if layer.parameters]
    facts: dict[str, Any] = {"net": message.name, "layers": len(layers), "blobs": stored, "size": path.stat().st_size}
    return FileReport(str(path), "caffemodel", facts, layers=layers, parameters=list(parameters.values()))


def _name(layer: Message, index: int) -> str:
    """Return the name of a layer's parameter, as `learnable` does."""
    named: str = layer.param[index].name if index < len(layer.param) else ""
    return named or f"{layer.name}[{index}]"


def _shape(path: Path, layer: Message, index: int) -> Shape:
    """Return the shape of a layer's blob after checking that it has as many numbers."""
    return _checked(layer.blobs[index], f"{path}: layer {layer.name}, blob {index} ({_name(layer, index)})")


def _checked(blob: Message, where: str) -> Shape:
    legacy = ("num", "channels", "height", "width")
    old = any(blob.HasField(field) for field in legacy)
    shape: Shape = tuple(getattr(blob, field) for field in legacy) if old else tuple(blob.shape.dim)
    decode(blob, shape, where)
    return shape


def _shared(
    path: Path, layer: Message, index: int, before: ParameterReport | None, now: ParameterReport
) -> ParameterReport:
    """Return a parameter with one use more, and with the factors of whichever use states them."""
    if before is not None and before.shape != now.shape:
        raise ModelError(
            f"{path}: layer {layer.name} holds {now.name} as {shape_text(now.shape)}, "
            f"layer {before.layers[0]} as {shape_text(before.shape)}"
        )
    spec = layer.param[index] if index < len(layer.param) else None
    uses = dict.fromkeys([*(before.layers if before else ()), *now.layers])
    factors: Sequence[float] = (spec.lr_mult, spec.decay_mult) if spec is not None else (1.0, 1.0)
    return ParameterReport(now.name, now.shape, tuple(uses), *factors)


def solverstate_report(path: Path) -> FileReport:
    """Report on where a training run stands: its iteration, the weights it goes with, its history blobs.

    Raises
    ------
    ModelError
        The file is no solverstate or cut short; a blob has not as many numbers as its shape says.
    """
    if is_hdf5(path):
        iteration, learned_net, arrays, current_step = read_state_hdf5(path)
        facts = {"iteration": iteration, "current_step": current_step, "learned_net": learned_net,
                 "history": len(arrays), "size": path.stat().st_size}  # fmt: skip
        blobs = [ParameterReport(f"history[{index}]", array.shape, ()) for index, array in enumerate(arrays)]
        return FileReport(str(path), "solverstate", facts, parameters=blobs)
    message = read_message(path, SolverState(), "solverstate")
    require_text(path, message)
    if not message.HasField("iter") or not message.HasField("current_step"):  # the first and the last that Caffe writes
        raise ModelError(f"{path}: is no solverstate, or is cut short: it lacks its iteration or its step")
    facts = {"iteration": message.iter, "current_step": message.current_step, "learned_net": message.learned_net,
             "history": len(message.history), "size": path.stat().st_size}  # fmt: skip
    history = [
        ParameterReport(f"history[{index}]", _checked(blob, f"{path}: history blob {index}"), ())
        for index, blob in enumerate(message.history)
    ]
    return FileReport(str(path), "solverstate", facts, parameters=history)
