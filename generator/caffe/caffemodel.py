"""Weights in Caffe's binary format, `.caffemodel`: a NetParameter whose layers carry blobs.

Caffe's `Net::CopyTrainedLayersFrom` goes layer by layer: a layer the file has must have all its blobs, a layer it lacks
is left alone. Parameters are shared between layers, so drn stores as few layers as hold them all, where Caffe itself
stores a copy for every use; so does drn if asked, for readers that know no sharing.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from generator.caffe.blobs import decode, encode, write_message
from generator.caffe.prototxt import active_layers, learnable
from generator.caffe.schema import Message, WeightsParameter
from generator.caffe.weights_file import read_weights
from generator.errors import ModelError

__all__ = ["read_caffemodel", "write_caffemodel", "write_layers"]

PHASES = ("TRAIN", "TEST")


def write_caffemodel(
    path: Path,
    net: Message,
    weights: Mapping[str, NDArray[np.float32]],
    also: Sequence[Message] = (),
    *,
    all_uses: bool = False,
) -> None:
    """Write the weights of a net, whole or not at all.

    Parameters
    ----------
    path : the `.caffemodel` to write
    net : NetParameter (`read_net`) whose layers carry the weights
    weights : parameter name (`learnable`) to float32 array in Caffe's shape
    also : other NetParameters that must find all their weights in the file (deploy.prototxt), under the same names
    all_uses : whether each layer gets a copy of the parameters that it shares, as in files of Caffe's

    Raises
    ------
    ModelError
        `weights` lacks a parameter or has one more; two nets give a layer different parameters; the file would pass
        2 GiB.
    """
    views = [_blobs_by_layer(each, phase) for each in (net, *also) for phase in PHASES]
    names = {name for view in views for blobs in view.values() for name in blobs}
    _same_names(path, names, set(weights))
    layers = _merge(views)
    chosen = list(layers) if all_uses else _cover(views, layers, {name: weights[name].nbytes for name in names})
    definitions = {layer.name: layer for each in (*also, net) for layer in each.layer if layer.name in chosen}
    write_layers(path, net.name, [(definitions[layer], [weights[name] for name in layers[layer]]) for layer in chosen])


def write_layers(path: Path, name: str, layers: Sequence[tuple[Message, Sequence[NDArray[np.float32]]]]) -> None:
    """Write layers, each a LayerParameter with its blobs, as the caffemodel of a net of a name, whole or not at all.

    Raises
    ------
    ModelError
        The file would pass 2 GiB.
    """
    message = WeightsParameter(name=name)
    for definition, blobs in layers:
        layer = message.layer.add()
        layer.ParseFromString(definition.SerializeToString())
        for blob in blobs:
            encode(blob, layer.blobs.add())
    write_message(path, message, sum(blob.nbytes for _, blobs in layers for blob in blobs), "caffemodel")


def _blobs_by_layer(net: Message, phase: str) -> dict[str, list[str]]:
    """Return the parameter names of each layer that has any, by layer name, in the order of the net."""
    found: dict[str, dict[int, str]] = {}
    for parameter in learnable(net, phase):
        for layer, index in parameter.places:
            found.setdefault(layer, {})[index] = parameter.name
    ordered = (layer.name for layer in active_layers(net, phase) if layer.name in found)
    return {layer: [found[layer][index] for index in sorted(found[layer])] for layer in ordered}


def _same_names(path: Path, needed: set[str], given: set[str]) -> None:
    """Refuse weights that are not exactly those of the nets."""
    if missing := sorted(needed - given):
        raise ModelError(f"{path}: no weights are given for {', '.join(missing)}")
    if foreign := sorted(given - needed):
        raise ModelError(f"{path}: the net has no parameter {', '.join(foreign)}; it has {', '.join(sorted(needed))}")


def _merge(views: Iterable[dict[str, list[str]]]) -> dict[str, list[str]]:
    """Return the layers of several nets as one, refusing a layer that differs between them."""
    layers: dict[str, list[str]] = {}
    for view in views:
        for layer, names in view.items():
            if layers.setdefault(layer, names) != names:
                raise ModelError(f"layer {layer} has parameters {layers[layer]} in one net and {names} in another")
    return layers


def _cover(
    views: Sequence[dict[str, list[str]]], layers: Mapping[str, list[str]], size: Mapping[str, int]
) -> list[str]:
    """Return layers that hold, in every net, every parameter of that net, none of them to spare."""
    chosen = dict(layers)
    # The largest goes first, and of equals the last, so that a table stays where it takes the least room.
    for layer in sorted(layers, key=lambda layer: sum(size[name] for name in layers[layer]))[::-1]:
        rest = [other for other in chosen if other != layer]
        if all(_names(view, rest) == _names(view, view) for view in views):
            del chosen[layer]
    return list(chosen)


def _names(view: Mapping[str, list[str]], layers: Iterable[str]) -> set[str]:
    """Return the parameters that `layers` hold in one net."""
    return {name for layer in layers for name in view.get(layer, ())}


def read_caffemodel(
    path: Path, net: Message, shapes: Mapping[str, tuple[int, ...]], *, partial: bool = False
) -> dict[str, NDArray[np.float32]]:
    """Read the weights of a net, written by drn or by Caffe.

    Layers that the net lacks are passed over, as in Caffe. Caffe writes a shared parameter once for
    every use of it.

    Parameters
    ----------
    path : the `.caffemodel` to read, or `.caffemodel.h5`
    net : NetParameter (`read_net`) that the weights belong to
    shapes : parameter name (`learnable`) to its shape in Caffe
    partial : whether the file may lack parameters, as Caffe's `Net::CopyTrainedLayersFrom` lets it. drn stores a shared
        parameter in one layer; where the net has another for it, its name (`param { name }`) tells, as every layer
        would in a file of Caffe's

    Returns
    -------
    dict
        Parameter name to a new float32 array, in the order of `learnable(net)`; with `partial` of those in the file.

    Raises
    ------
    ModelError
        The file is no caffemodel, of an old format, or cut short; a layer has another number of blobs, a blob another
        shape or length; the copies of a shared parameter differ; a parameter is in no layer of the file, unless
        `partial`.
    """
    message, owned = read_weights(path)
    layers = _blobs_by_layer(net, "TRAIN")
    found = _copies(path, message, layers, owned=owned)
    elsewhere = _named(path, message, layers) if partial else {}
    weights = {}
    for parameter in learnable(net):
        copies = found.get(parameter.name) or elsewhere.get(parameter.name)
        if copies:
            weights[parameter.name] = _agreed(path, parameter.name, copies, shapes[parameter.name])
        elif not partial:
            places = ", ".join(dict.fromkeys(layer for layer, _ in parameter.places))
            raise ModelError(f"{path}: holds no {parameter.name}; it would be in layer {places}. Is it of another net?")
    return weights


class _Copy(NamedTuple):
    """One of the places where a file holds a parameter."""

    layer: str
    where: str
    blob: Message


def _agreed(path: Path, name: str, copies: Sequence[_Copy], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return what all copies of a parameter hold."""
    first, *rest = copies
    values = decode(first.blob, shape, first.where)
    for copy in rest:
        other = decode(copy.blob, shape, copy.where)
        if not np.array_equal(values, other, equal_nan=True):
            raise ModelError(
                f"{path}: layers {first.layer} and {copy.layer} share {name} in the net, but the file gives them "
                "different numbers; take weights of a net that shares them too"
            )
    return values


def _copies(
    path: Path, message: Message, layers: Mapping[str, Sequence[str]], *, owned: bool
) -> dict[str, list[_Copy]]:
    """Return where a file holds the parameters of a net, by its layers' names; ``owned``: see `read_weights`."""
    found: dict[str, list[_Copy]] = {}
    for layer in message.layer:
        names = layers.get(layer.name)
        if names is None:
            continue
        if len(names) != len(layer.blobs) and not (owned and len(layer.blobs) < len(names)):
            raise ModelError(
                f"{path}: layer {layer.name} has {len(layer.blobs)} blobs, not {len(names)} ({', '.join(names)})"
            )
        for index, (name, blob) in enumerate(zip(names, layer.blobs, strict=False)):
            if blob.ByteSize():
                found.setdefault(name, []).append(_copy(path, layer.name, index, name, blob))
    return found


def _named(path: Path, message: Message, passed: Container[str]) -> dict[str, list[_Copy]]:
    """Return where a file holds parameters under the names it gives them itself, but for the layers in `passed`."""
    found: dict[str, list[_Copy]] = {}
    for layer in message.layer:
        if layer.name not in passed:
            for index, (param, blob) in enumerate(zip(layer.param, layer.blobs, strict=False)):
                if param.name:
                    found.setdefault(param.name, []).append(_copy(path, layer.name, index, param.name, blob))
    return found


def _copy(path: Path, layer: str, index: int, name: str, blob: Message) -> _Copy:
    return _Copy(layer, f"{path}: layer {layer}, blob {index} ({name})", blob)
