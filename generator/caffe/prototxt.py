"""Caffe's text files, and what a net learns.

Sources: BVLC Caffe 1.0, `Net::FilterNet` (phases), `Net::AppendParam` (shared parameters, order of
`learnable_params()`).
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from google.protobuf import text_format

from generator.caffe.fillers import BlobFiller
from generator.caffe.layers import LayerError, layer_type
from generator.caffe.schema import Message, NetParameter, ParamSpec, SolverParameter
from generator.errors import ModelError

__all__ = ["Parameter", "active_layers", "learnable", "parse_net", "parse_solver", "read_net", "read_solver"]


@dataclass(frozen=True)
class Parameter:
    """A learnable parameter of a net, shared by one or more layers.

    Attributes
    ----------
    name : its `param { name }`, or ``<layer>[<index>]`` where it has none
    lr_mult, decay_mult : factors on the learning rate and on the weight decay
    filler : how the layer that owns it (the first of `places`) fills it
    places : the (layer name, blob index) of every use, in the order of the net
    """

    name: str
    lr_mult: float
    decay_mult: float
    filler: BlobFiller
    places: tuple[tuple[str, int], ...]


def read_net(path: Path) -> Message:
    """Read a net's prototxt into a NetParameter.

    Raises
    ------
    ModelError
        The file cannot be read, or does not hold: with file, line and column.
    """
    return parse_net(_read(path), str(path))


def parse_net(text: str, filename: str) -> Message:
    """Parse the text of a net's prototxt into a NetParameter; `filename` is for messages. Raises ModelError."""
    return _parse(text, filename, NetParameter())


def read_solver(path: Path) -> Message:
    """Read solver.prototxt, as `parse_solver` does.

    Raises
    ------
    ModelError
        The file cannot be read, or does not hold: with file, line and column.
    """
    return parse_solver(_read(path), str(path))


def parse_solver(text: str, filename: str) -> Message:
    """Parse solver.prototxt into a SolverParameter with Caffe's defaults.

    As Caffe's `UpgradeSolverAsNeeded` does, the old `solver_type: ADAM` becomes `type: "Adam"`.

    Raises
    ------
    ModelError
        The text does not hold: with ``filename``, line and column.
    """
    solver = _parse(text, filename, SolverParameter())
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise ModelError(f"{filename}: type and solver_type are both given; keep type")
        solver.type = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")[solver.solver_type]
        solver.ClearField("solver_type")
    return solver


def _read(path: Path) -> str:
    """Return the UTF-8 text of a file."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ModelError(f"{path}: cannot be read: {reason}") from error


def _parse(text: str, filename: str, message: Message) -> Message:
    """Parse protobuf text into `message`."""
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        said = re.sub(r"^\d+:\d+ : ", "", str(error))
        line, column = error.GetLine() or 1, error.GetColumn() or 1
        raise ModelError(f"{filename}:{line}:{column}: {said}{_advice(said, message)}") from error


def _advice(said: str, message: Message) -> str:
    """Return what would be right, for a field or an enum value that protobuf does not know; else nothing."""
    pool = message.DESCRIPTOR.file.pool
    if match := re.search(r'Message type "([\w.]+)" has no field named "(\w+)"', said):
        known = list(pool.FindMessageTypeByName(match[1]).fields_by_name)
    elif match := re.search(r'Enum type "([\w.]+)" has no value named "?(\w+)', said):
        known = list(pool.FindEnumTypeByName(match[1]).values_by_name)
    else:
        return ""
    close = difflib.get_close_matches(match[2], known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known to drn: {', '.join(sorted(known))}."


def active_layers(net: Message, phase: str = "TRAIN") -> list[Message]:
    """Return the LayerParameters that `phase` (TRAIN or TEST) includes, as `FilterNet` does at level 0 without stages.

    Raises
    ------
    ModelError
        A layer has both include and exclude rules; two layers have one name (Caffe's files tell layers by name).
    """
    found: dict[str, Message] = {}
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise ModelError(f"layer {layer.name}: give include rules or exclude rules, not both")
        rules = layer.include or layer.exclude
        if bool(layer.include) != any(_meets(rule, phase) for rule in rules):
            continue
        if layer.name in found:
            raise ModelError(f'two layers of the {phase} net are named "{layer.name}"; give each its own name')
        found[layer.name] = layer
    return list(found.values())


def _meets(rule: Message, phase: str) -> bool:
    """Return whether the state (phase, level 0, no stages) meets a NetStateRule (`Net::StateMeetsRule`)."""
    return (
        (not rule.HasField("phase") or rule.phase == ("TRAIN", "TEST").index(phase))
        and rule.min_level <= 0
        and (not rule.HasField("max_level") or rule.max_level >= 0)
        and not rule.stage
    )


def learnable(net: Message, phase: str = "TRAIN") -> list[Parameter]:
    """Return the parameters of a net in the order of Caffe's `learnable_params()`: by first appearance.

    Raises
    ------
    ModelError
        A layer has a type drn does not know, or more `param` blocks than blobs; layers that share a parameter give it
        different lr_mult or decay_mult.
    """
    shared: dict[str, list[_Use]] = {}
    for layer in active_layers(net, phase):
        try:
            fillers = layer_type(layer).fillers(layer)
        except LayerError as error:
            raise ModelError(f"layer {layer.name} {error}") from error
        if len(layer.param) > len(fillers):
            raise ModelError(
                f"layer {layer.name} ({layer.type}) has {len(layer.param)} param blocks but {len(fillers)} blobs; "
                "give at most one a blob"
            )
        specs = [*layer.param, *(ParamSpec() for _ in fillers[len(layer.param) :])]
        for index, (spec, filler) in enumerate(zip(specs, fillers, strict=True)):
            name = spec.name or f"{layer.name}[{index}]"
            shared.setdefault(name, []).append(_Use(layer.name, index, spec, filler))
    return [
        Parameter(
            name=name,
            lr_mult=_agreed(name, "lr_mult", uses),
            decay_mult=_agreed(name, "decay_mult", uses),
            filler=uses[0].filler,
            places=tuple((use.layer, use.blob) for use in uses),
        )
        for name, uses in shared.items()
    ]


class _Use(NamedTuple):
    """One layer's use of a parameter: the number of the blob, its ParamSpec and its filler."""

    layer: str
    blob: int
    spec: Message
    filler: BlobFiller


def _agreed(name: str, field: str, uses: list[_Use]) -> float:
    """Return the factor that all layers which state it agree on, else 1."""
    stated = [(getattr(use.spec, field), use.layer) for use in uses if use.spec.HasField(field)]
    for value, layer in stated[1:]:
        if value != stated[0][0]:
            raise ModelError(
                f'shared param "{name}" has mismatched {field}: {stated[0][0]:g} in layer {stated[0][1]}, '
                f"{value:g} in layer {layer}; give it once or alike"
            )
    return float(stated[0][0]) if stated else 1.0
