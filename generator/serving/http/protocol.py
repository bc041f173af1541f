"""The Open Inference Protocol, version 2: JSON and binary tensors (KServe's and Triton's REST)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from generator.errors import DataError
from generator.model.model import Model

__all__ = ["JSON", "GoneError", "InferenceRequest", "infer", "metadata", "parse", "respond"]

TYPES = {"tensor(int64)": "INT64", "tensor(float)": "FP32"}
NUMPY: dict[str, np.dtype[Any]] = {"INT64": np.dtype("<i8"), "FP32": np.dtype("<f4")}
LARGEST = 1024  # rows, as max_batch_size in config.pbtxt
JSON = 4 * 2**20  # bytes of JSON: what is parsed in one go, while nothing else of Python runs
NUMBERS, TEXT_NUMBERS = 2**24, 2**20  # values of an answer: all of them, those in JSON
SLICE = 2**22  # probabilities computed in one go
CHUNK = 2**14  # numbers turned to text in one go


class GoneError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class InferenceRequest:
    """An inference request: its id, the inputs, and the outputs wanted, each with whether in binary."""

    id: str | None
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, bool]


def metadata(model: Model, versions: list[str]) -> dict[str, Any]:
    """Return name, versions, platform, inputs and outputs of a model."""
    widths = _widths(model)
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


def _widths(model: Model) -> dict[str, int]:
    """Return the columns of each input and output."""
    outputs = {"probability": model.width, "top_item": model.top_k, "top_probability": model.top_k}
    return {**model.sizes, **outputs}


def parse(body: bytes, header_length: int | None, model: Model) -> InferenceRequest:
    """Return what a body asks of ``model``.

    Parameters
    ----------
    header_length
        Bytes of JSON before the binary tensors (``Inference-Header-Content-Length``); None: all of it is JSON.

    Raises
    ------
    DataError
        The body is no request, does not fit the model, or asks for more than an answer may hold.
    """
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise DataError(f"Inference-Header-Content-Length is {length}, but the body has {len(body)} bytes")
    if length > JSON:
        raise DataError(f"{JSON} bytes of JSON are taken at most: send the tensors in binary, or fewer rows")
    try:
        asked = from_json(body[:length], allow_inf_nan=False, cache_strings=False)
    except ValueError as error:
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
    outputs = _outputs(asked, model)
    _check_size(len(next(iter(inputs.values()))), outputs, _widths(model))
    return InferenceRequest(None if identity is None else _typed(identity, str, "id"), inputs, outputs)


def _check_size(rows: int, outputs: Mapping[str, bool], widths: Mapping[str, int]) -> None:
    """Refuse what would be answered by more numbers than an answer may hold."""
    for kind, most, names in (
        ("numbers", NUMBERS, list(outputs)),
        ("numbers in JSON", TEXT_NUMBERS, [name for name, binary in outputs.items() if not binary]),
    ):
        asked = rows * sum(widths[name] for name in names)
        if asked > most:
            raise DataError(
                f"{rows} rows of {', '.join(names)} are {asked} {kind}, and {most} are answered at most: "
                "ask for fewer rows, for top_item and top_probability alone, or for binary data"
            )


def _typed(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(f"{where}: a JSON {kind.__name__} is wanted here")
    return value


def _parameters(holder: Mapping[str, Any], where: str) -> dict[str, Any]:
    given = holder.get("parameters")
    found: dict[str, Any] = {} if given is None else _typed(given, dict, f"{where}.parameters")
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
    kinds = set(map(type, data))
    if (
        kind == "INT64"
        and float in kinds
        and all(type(one) is int or one.is_integer() for one in data if type(one) in (int, float))
    ):
        data, kinds = [int(one) if type(one) is float else one for one in data], kinds - {float} | {int}
    if len(data) != prod(shape) or not kinds <= ({int} if kind == "INT64" else {int, float}):
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


def infer(asked: InferenceRequest, model: Model, gone: Callable[[], bool]) -> list[NDArray[Any]]:
    """Return the outputs asked for, (rows, columns) each, computed some rows at a time.

    Parameters
    ----------
    gone
        Whether nobody waits for the answer any more.

    Raises
    ------
    GoneError
        Nobody does.
    ModelError
        The net fails.
    """
    rows = len(next(iter(asked.inputs.values())))
    step = max(1, SLICE // model.width)
    parts = []
    for first in range(0, rows, step):
        if gone():
            raise GoneError
        blobs = {name: values[first : first + step] for name, values in asked.inputs.items()}
        parts.append(model.infer(list(asked.outputs), blobs))
    return parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


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
            outputs.append(to_json(output))
        else:
            outputs.append(to_json(output)[:-1] + b',"data":[' + b",".join(_texts(array.ravel())) + b"]}")
    record: dict[str, Any] = {"model_name": model.name, "model_version": str(version)}
    if request.id is not None:
        record["id"] = request.id
    head = to_json(record)[:-1] + b',"outputs":[' + b",".join(outputs) + b"]}"
    return (b"".join([head, *tensors]), len(head)) if tensors else (head, None)


def _texts(values: NDArray[Any]) -> Iterator[bytes]:
    """Yield numbers as JSON, some at a time: other threads wait for each."""
    for first in range(0, len(values), CHUNK):
        yield to_json(values[first : first + CHUNK].tolist())[1:-1]
