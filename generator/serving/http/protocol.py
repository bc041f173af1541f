"""The Open Inference Protocol, version 2: JSON and binary tensors (KServe's and Triton's REST)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError
from generator.model.model import Model

__all__ = ["InferenceRequest", "metadata", "parse", "respond"]

TYPES = {"tensor(int64)": "INT64", "tensor(float)": "FP32"}
NUMPY: dict[str, np.dtype[Any]] = {"INT64": np.dtype("<i8"), "FP32": np.dtype("<f4")}
LARGEST = 1024  # rows, as max_batch_size in config.pbtxt


@dataclass(frozen=True)
class InferenceRequest:
    """An inference request: its id, the inputs, and the outputs wanted, each with whether in binary."""

    id: str | None
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, bool]


def metadata(model: Model, versions: list[str]) -> dict[str, Any]:
    """Return name, versions, platform, inputs and outputs of a model."""
    widths = {**model.sizes, "probability": model.width, "top_item": model.top_k, "top_probability": model.top_k}
    inputs, outputs = (
        [{"name": name, "datatype": TYPES[model.kinds[name]], "shape": [-1, widths[name]]} for name in names]
        for names in (model.sizes, [name for name in widths if name not in model.sizes])
    )
    return {
        "name": model.name,
        "versions": versions,
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": outputs,
    }


def parse(body: bytes, header_length: int | None, model: Model) -> InferenceRequest:
    """Return what a body asks of ``model``.

    Parameters
    ----------
    header_length
        Bytes of JSON before the binary tensors (``Inference-Header-Content-Length``); None: all of it is JSON.

    Raises
    ------
    DataError
        The body is no request, or does not fit the model.
    """
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise DataError(f"Inference-Header-Content-Length is {length}, but the body has {len(body)} bytes")
    try:
        asked = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is no JSON: {error}") from error
    asked = _typed(asked, dict, "the body")
    rest = memoryview(body)[length:]
    inputs: dict[str, NDArray[Any]] = {}
    for place, tensor in enumerate(_typed(asked.get("inputs"), list, "inputs")):
        name = _typed(_typed(tensor, dict, f"inputs[{place}]").get("name"), str, f"inputs[{place}].name")
        if name not in model.sizes or name in inputs:
            raise DataError(f"inputs[{place}].name is no input, or given twice: {', '.join(model.sizes)} are wanted")
        inputs[name], used = _tensor(tensor, rest, name, TYPES[model.kinds[name]], model.sizes[name])
        if inputs[name].max() > model.highest.get(name, np.inf):
            raise DataError(f"input {name}: an id is beyond the model's vocabulary, 0..{model.highest[name]}")
        rest = rest[used:]
    if len(rest):
        raise DataError(f"{len(rest)} bytes follow the last binary tensor")
    missing = [name for name in model.sizes if name not in inputs]
    if missing:
        raise DataError(f"the input {missing[0]} is missing")
    if len({len(values) for values in inputs.values()}) > 1:
        raise DataError("the inputs differ in their number of rows, shape[0]")
    identity = asked.get("id")
    return InferenceRequest(None if identity is None else _typed(identity, str, "id"), inputs, _outputs(asked, model))


def _typed(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(f"{where}: a JSON {kind.__name__} is wanted here")
    return value


def _parameters(holder: Mapping[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = _typed(holder.get("parameters", {}), dict, f"{where}.parameters")
    if any(name.startswith("shared_memory") for name in found):
        raise DataError(f"{where}.parameters: shared memory is not offered")
    return found


def _tensor(tensor: Mapping[str, Any], rest: memoryview, name: str, kind: str, size: int) -> tuple[NDArray[Any], int]:
    """Return the values of an input, (B, size), and the bytes of ``rest`` they took."""
    if tensor.get("datatype") != kind:
        raise DataError(f"input {name}: the datatype is {kind}")
    shape = [_typed(one, int, f"input {name}: shape") for one in _typed(tensor.get("shape"), list, f"input {name}")]
    if len(shape) != 2 or shape[1] != size or not 1 <= shape[0] <= LARGEST:
        raise DataError(f"input {name}: the shape is [rows, {size}], rows from 1 to {LARGEST}")
    given = _parameters(tensor, f"input {name}").get("binary_data_size")
    if given is None:
        return _values(_flat(_typed(tensor.get("data"), list, f"input {name}: data")), shape, name, kind), 0
    wanted = prod(shape) * NUMPY[kind].itemsize
    if given != wanted or len(rest) < wanted:
        raise DataError(f"input {name}: {wanted} bytes are wanted of this shape and datatype")
    return _checked(np.frombuffer(rest[:wanted], NUMPY[kind]).reshape(shape), name), wanted


def _flat(data: list[Any]) -> list[Any]:
    """Return row-major data that may be nested by rows, flat."""
    return [one for row in data for one in row] if data and all(isinstance(row, list) for row in data) else data


def _values(data: list[Any], shape: list[int], name: str, kind: str) -> NDArray[Any]:
    allowed = (int,) if kind == "INT64" else (int, float)
    if len(data) != prod(shape) or not all(isinstance(one, allowed) and not isinstance(one, bool) for one in data):
        raise DataError(f"input {name}: {prod(shape)} numbers of {kind} are wanted")
    try:
        return _checked(np.array(data, NUMPY[kind]).reshape(shape), name)
    except OverflowError as error:
        raise DataError(f"input {name}: a number is too large for {kind}") from error


def _checked(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Refuse negative ids, which would count from the end of a table, and weights that are no numbers."""
    if values.dtype.kind == "i" and values.size and values.min() < 0:
        raise DataError(f"input {name}: ids are not negative; 0 is none")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"input {name}: a weight is not finite")
    return values


def _outputs(asked: Mapping[str, Any], model: Model) -> dict[str, bool]:
    """Return the outputs asked for, all if none is named, and whether each goes out in binary."""
    binary = _parameters(asked, "the body").get("binary_data_output", False) is True
    known = [name for name in model.kinds if name not in model.sizes]
    if not asked.get("outputs"):
        return dict.fromkeys(known, binary)
    found = {}
    for place, output in enumerate(_typed(asked["outputs"], list, "outputs")):
        name = _typed(output, dict, f"outputs[{place}]").get("name")
        if name not in known:
            raise DataError(f"outputs[{place}].name is no output: {', '.join(known)} are offered")
        options = _parameters(output, f"outputs[{place}]")
        if options.get("classification"):
            raise DataError(f"outputs[{place}]: classification is not offered; top_item is the ranking")
        found[name] = options.get("binary_data", binary) is True
    return found


def respond(
    request: InferenceRequest, model: Model, version: int, values: list[NDArray[Any]]
) -> tuple[bytes, int | None]:
    """Return a response body, and the bytes of JSON before its binary tensors; None if there are none."""
    outputs, tensors = [], []
    for (name, binary), array in zip(request.outputs.items(), values, strict=True):
        kind = TYPES[model.kinds[name]]
        output: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(array.shape)}
        if binary:
            tensors.append(np.ascontiguousarray(array, NUMPY[kind]).tobytes())
            output["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            output["data"] = array.ravel().tolist()
        outputs.append(output)
    record: dict[str, Any] = {"model_name": model.name, "model_version": str(version), "outputs": outputs}
    if request.id is not None:
        record["id"] = request.id
    head = json.dumps(record).encode()
    return (head + b"".join(tensors), len(head)) if tensors else (head, None)
