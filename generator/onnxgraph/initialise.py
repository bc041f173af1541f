"""Initial weights after Caffe's fillers, and graphs with the weights inside."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, StringStringEntryProto, TensorProto, helper, load, numpy_helper

from generator.caffe.prototxt import Parameter
from generator.caffe.weights_file import check_finite
from generator.errors import ModelError
from generator.files import write_bytes
from generator.jobs.memory import require
from generator.spec.schema import Spec

__all__ = ["embed_weights", "fill", "model_files", "nothing_mixed", "read_weights", "save"]

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


def nothing_mixed(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Return the tables and weights of a mixture that leaves the net's probabilities as they are, by name."""
    found = {}
    for info in model.graph.input:
        if info.name.startswith("mix_"):
            of = info.type.tensor_type
            shape = tuple(dim.dim_value for dim in of.shape.dim)
            value = info.name == "mix_repeat"  # a factor; all else adds
            found[info.name] = np.full(shape, value, helper.tensor_dtype_to_np_dtype(of.elem_type))
    return found


def embed_weights(model: ModelProto, weights: Mapping[str, NDArray[Any]]) -> ModelProto:
    """Return ``model`` with ``weights`` as initialisers in place of graph inputs.

    Raises
    ------
    ModelError
        A weight has another shape than the graph declares, or is missing.
    """
    result, inside = _parted(model, weights)
    result.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in inside.items())
    return result


def _parted(model: ModelProto, weights: Mapping[str, NDArray[Any]]) -> tuple[ModelProto, dict[str, NDArray[Any]]]:
    """Return ``model`` without the inputs that have weights, and these weights in their order."""
    result, inside = ModelProto(), {}
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
        inside[info.name] = array
    return result, inside


def model_files(model: ModelProto, weights: Mapping[str, NDArray[Any]], name: str) -> dict[str, bytes]:
    """Return the files of ``model`` with ``weights`` in place of graph inputs.

    They are ``name``, and past 2 GiB ``<name>.data`` with the weights, of which ``name`` then holds the hash: other
    weights are another model, though all else is equal. Raises what `embed_weights` raises.
    """
    if sum(array.nbytes for array in weights.values()) < LARGEST:
        return {name: embed_weights(model, weights).SerializeToString(deterministic=True)}
    result, inside = _parted(model, weights)
    parts: list[bytes | memoryview] = []
    at = 0
    for weight, array in inside.items():
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data  # as it lies, not copied
        padding = -at % PAGE  # where a page begins, it can be mapped
        parts += [bytes(padding), content]
        at += padding
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = TensorProto(name=weight, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", f"{name}.data"), ("offset", at), ("length", len(content))):
            tensor.external_data.append(StringStringEntryProto(key=key, value=str(value)))
        result.graph.initializer.append(tensor)
        at += len(content)
    data = b"".join(parts)
    result.metadata_props.append(StringStringEntryProto(key="data_sha256", value=hashlib.sha256(data).hexdigest()))
    return {name: result.SerializeToString(deterministic=True), f"{name}.data": data}


def save(model: ModelProto, path: Path, weights: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Write ``model``, with ``weights`` in place of graph inputs if given, at ``path``, whole or not at all.

    Past 2 GiB the weights go to ``<path>.data`` beside it. A kill between the two files leaves no model: one never
    finds the weights of another.
    """
    if weights is None:
        write_bytes(path, model.SerializeToString(deterministic=True))
        return
    for name, content in sorted(model_files(model, weights, path.name).items(), reverse=True):
        if name != path.name:
            path.unlink(missing_ok=True)
        write_bytes(path.with_name(name), content)


def read_weights(file: Path, names: Sequence[str]) -> dict[str, Array]:
    """Return the weights of a model.onnx by name, in the order of ``names``.

    Raises
    ------
    ModelError
        The model lacks one: it is of another spec; a number is not finite.
    """
    held = {each.name: each for each in load(file).graph.initializer}
    if missing := [name for name in names if name not in held]:
        raise ModelError(f"{file}: holds no {', '.join(missing)}; is spec.yaml of the run that made it?")
    found = {name: numpy_helper.to_array(held[name]) for name in names}
    check_finite(file, found)
    return found
