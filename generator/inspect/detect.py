"""What kind a file is, by its name and else by its content, and the report on it."""

import re
from collections.abc import Callable
from pathlib import Path

from generator.caffe.blobs import UNREADABLE
from generator.caffe.hdf5 import MAGIC
from generator.caffe.schema import Message, SolverState, WeightsParameter
from generator.caffe.source import read_text
from generator.errors import ModelError
from generator.inspect.report import FileReport

__all__ = ["inspect_file"]

KNOWN = (
    "a net or solver prototxt, a caffemodel (.caffemodel.h5 too), a solverstate, an ONNX model (.onnx, .onnxtxt), "
    "a run or generated folder"
)
_NET = re.compile(r"^[ \t]*(?:layers?|input|input_shape|input_dim)\s*[:{<\[]", re.MULTILINE)
_SOLVER = re.compile(r"^[ \t]*(?:net|train_net|base_lr|lr_policy|max_iter|solver_mode|momentum)\s*:", re.MULTILINE)
_ONNX_TEXT = re.compile(r"^[ \t]*<?\s*ir_version\s*:", re.MULTILINE)


def inspect_file(path: Path) -> FileReport:
    """Report on a prototxt, caffemodel, solverstate or ONNX file.

    Raises
    ------
    ModelError
        The file cannot be read, is of no kind known, or does not hold: with the file and why.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise ModelError(f"{path}: is empty")
    if head == MAGIC:
        for suffix in (".caffemodel", ".solverstate"):
            if path.name.removesuffix(".h5").endswith(suffix):
                return _BY_NAME[suffix](path)
        raise ModelError(f"{path}: is an HDF5 file; drn inspect explains {KNOWN}")
    reader = _BY_NAME.get(path.suffix.lower()) or _by_content(path)
    if reader is None:
        raise ModelError(f"{path}: is of no kind that drn inspect knows; it explains {KNOWN}")
    return reader(path)


def _prototxt(path: Path) -> FileReport:
    """Report on a prototxt: a solver's where it says what only solvers say, else a net's."""
    from generator.inspect.caffe_net import net_report, solver_report

    return (solver_report if _SOLVER.search(read_text(path)) else net_report)(path)


def _caffemodel(path: Path) -> FileReport:
    from generator.inspect.caffe_weights import caffemodel_report

    return caffemodel_report(path)


def _solverstate(path: Path) -> FileReport:
    from generator.inspect.caffe_weights import solverstate_report

    return solverstate_report(path)


def _onnx(path: Path) -> FileReport:
    from generator.inspect.onnx_model import onnx_report

    return onnx_report(path)


def _onnx_text(path: Path) -> FileReport:
    from generator.inspect.onnx_model import onnx_text_report

    return onnx_text_report(path)


_BY_NAME: dict[str, Callable[[Path], FileReport]] = {
    ".caffemodel": _caffemodel,
    ".onnx": _onnx,
    ".onnxtxt": _onnx_text,
    ".prototxt": _prototxt,
    ".solverstate": _solverstate,
}


def _by_content(path: Path) -> Callable[[Path], FileReport] | None:
    """Return the reader of a file whose name tells nothing."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and "\0" not in text:
        if _ONNX_TEXT.search(text):
            return _onnx_text
        return _prototxt if _NET.search(text) or _SOLVER.search(text) else None
    from onnx import ModelProto

    if (model := _parsed(ModelProto(), content)) is not None and model.ir_version and len(model.graph.node):
        return _onnx
    state = _parsed(SolverState(), content)
    if state is not None and state.HasField("iter") and state.HasField("current_step"):
        return _solverstate
    weights = _parsed(WeightsParameter(), content)
    return _caffemodel if weights is not None and any(layer.type for layer in weights.layer) else None


def _parsed(message: Message, content: bytes) -> Message | None:
    """Return `message` filled from `content`, or None where that is another kind of message."""
    try:
        message.ParseFromString(content)
    except UNREADABLE:
        return None
    return message
