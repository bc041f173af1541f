"""Initial weights after Caffe's fillers, and graphs with the weights inside."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, StringStringEntryProto, TensorProto, numpy_helper

from generator.caffe.prototxt import Parameter
from generator.errors import ModelError
from generator.files import write_bytes
from generator.jobs.memory import require
from generator.spec.schema import Spec

__all__ = ["embed_weights", "fill", "model_files", "save"]

Array = NDArray[np.float32]

# A protobuf message holds at most 2 GiB; past this the weights lie in a file beside the model.
LARGEST = 2**31 - 2**20
PAGE = 4096


def _identities(spec: Spec) -> dict[str, float]:
    """Return the matrices that start as a number times the identity, which no filler of Caffe's gives."""
    found: dict[str, float] = {}
    if spec.rnn and spec.has_rnn:
        if spec.head.projection:
            found["projection_weight"] = 1.0
        if spec.init.recurrent is not None:
            layers = range(1, len(spec.rnn.widths) + 1)
            found |= {f"hidden{layer}_recurrent_weight": spec.init.recurrent for layer in layers}
    return found


def fill(
    spec: Spec, parameters: Iterable[Parameter], shapes: Mapping[str, tuple[int, ...]], seed: int
) -> dict[str, Array]:
    """Return initial float32 weights by name, of the ``parameters`` of the net of ``spec``.

    Each parameter draws from a generator of its own, seeded by (seed, position), so that one parameter's shape does
    not change another's start. The distributions are Caffe's (`BlobFiller.draw`). What the spec lets start as a number
    times the identity does so instead.

    Raises
    ------
    DrnError
        The weights are larger than the memory there is.
    """
    size = sum(math.prod(shape) for shape in shapes.values()) * np.dtype(np.float32).itemsize
    require(size, f"{spec.name}: the net's weights", "lower widths, pages or items")
    identities = _identities(spec)
    return {
        parameter.name: _identity(shapes[parameter.name], identities[parameter.name])
        if parameter.name in identities
        else parameter.filler.draw(shapes[parameter.name], np.random.default_rng([seed, position]))
        for position, parameter in enumerate(parameters)
    }


def _identity(shape: tuple[int, ...], scale: float) -> Array:
    return np.eye(*shape, dtype=np.float32) * np.float32(scale)


def embed_weights(model: ModelProto, weights: Mapping[str, Array]) -> ModelProto:
    """Return ``model`` with ``weights`` as initialisers in place of graph inputs.

    Raises
    ------
    ModelError
        A weight has another shape than the graph declares, or is missing.
    """
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.input[:]
    for info in model.graph.input:
        shape = tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        if info.name not in weights:
            if all(dim.HasField("dim_value") for dim in info.type.tensor_type.shape.dim):
                raise ModelError(f"{model.graph.name}: no weights for parameter {info.name} {shape}")
            result.graph.input.append(info)
            continue
        array = weights[info.name]
        if array.shape != shape:
            raise ModelError(f"{model.graph.name}: weights of {info.name} have shape {array.shape}, not {shape}")
        result.graph.initializer.append(numpy_helper.from_array(array, info.name))
    return result


def model_files(model: ModelProto, name: str) -> dict[str, bytes]:
    """Return the files that hold a model, by name: ``name``, and past 2 GiB ``<name>.data`` with its weights.

    The model is used up where there are two: its weights move out of it. The same model gives the same bytes.
    """
    tensors = [tensor for tensor in model.graph.initializer if tensor.raw_data]
    if sum(len(tensor.raw_data) for tensor in tensors) < LARGEST:
        return {name: model.SerializeToString(deterministic=True)}
    parts, at = [], 0
    for tensor in tensors:
        content = tensor.raw_data
        padding = -at % PAGE  # where a page begins, it can be mapped
        parts += [bytes(padding), content]
        at += padding
        place = {"location": f"{name}.data", "offset": str(at), "length": str(len(content))}
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.extend(StringStringEntryProto(key=key, value=value) for key, value in place.items())
        at += len(content)
    data = b"".join(parts)
    # Other weights are another model, though all else is equal.
    model.metadata_props.append(StringStringEntryProto(key="data_sha256", value=hashlib.sha256(data).hexdigest()))
    return {name: model.SerializeToString(deterministic=True), f"{name}.data": data}


def save(model: ModelProto, path: Path) -> None:
    """Write ``model`` at ``path``, whole or not at all; past 2 GiB its weights go to ``<path>.data`` beside it.

    A kill between the two files leaves neither: a model never finds the weights of another.
    """
    for name, content in sorted(model_files(model, path.name).items(), reverse=True):
        if name != path.name:
            path.unlink(missing_ok=True)
        write_bytes(path.with_name(name), content)
