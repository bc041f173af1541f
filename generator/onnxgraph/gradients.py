"""Gradient rules of ONNX operators, one function each, registered under the operator's name.

A rule takes the node, the gradients of its outputs (None where the loss does not depend on one) and the `Tape`,
appends nodes, and calls ``tape.give(input, gradient)`` for each input that wants one. A new operator joins by a
function under ``@rule("Name")``, here or in a user's file that ``gen-model --rules`` runs.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from onnx import NodeProto, helper

from generator.onnxgraph.builder import Builder

__all__ = ["RULES", "Rule", "Tape", "row_loss", "rule"]


class Tape(Protocol):
    """What a rule may ask of the differentiation that runs it."""

    build: Builder

    def wants(self, name: str) -> bool:
        """Whether the tensor ``name`` leads back to a parameter."""

    def shape(self, name: str) -> list[int | str | None]:
        """Return the inferred shape of ``name``; symbolic and unknown sizes are strings and None."""

    def dtype(self, name: str) -> Any:
        """Return the numpy dtype of ``name``."""

    def give(self, name: str, gradient: str) -> None:
        """Add ``gradient``, shaped like ``name``, to the gradient of ``name``."""

    def give_rows(self, name: str, rows: str, values: str) -> None:
        """Add a gradient of ``name`` that is ``values`` (R, width) in ``rows`` (R) and zero elsewhere."""

    def give_product(self, name: str, left: str, right: str) -> None:
        """Add ``left``ᵀ·``right`` to the gradient of ``name``; all products of one name become one Gemm."""


Rule = Callable[[NodeProto, Sequence[str | None], Tape], None]
RULES: dict[str, Rule] = {}


def rule(op: str) -> Callable[[Rule], Rule]:
    """Register the gradient rule of operator ``op``."""

    def register(function: Rule) -> Rule:
        RULES[op] = function
        return function

    return register


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _only(gradients: Sequence[str | None]) -> str:
    """Return the gradient of a node with one output; the differentiation calls no rule without one."""
    gradient = gradients[0]
    assert gradient is not None  # noqa: S101 - an invariant, not a check of input
    return gradient


def _like(gradient: str, result: str, name: str, tape: Tape) -> str:
    """Sum ``gradient``, shaped like ``result``, over the axes along which ``name`` was broadcast."""
    whole, part = tape.shape(result), tape.shape(name)
    extra = len(whole) - len(part)
    if extra:
        axes = tape.build.constant(list(range(extra)), "leading_axes")
        gradient = tape.build.one("ReduceSum", [gradient, axes], f"{name}_grad_sum", keepdims=0)
    stretched = [axis for axis, size in enumerate(part) if size == 1 and whole[axis + extra] != 1]
    if stretched:
        axes = tape.build.constant(stretched, "stretched_axes")
        gradient = tape.build.one("ReduceSum", [gradient, axes], f"{name}_grad_sum", keepdims=1)
    return gradient


@rule("Identity")
def _identity(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    tape.give(node.input[0], _only(gradients))


@rule("Add")
def _add(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    for name in node.input:
        if tape.wants(name):
            tape.give(name, _like(_only(gradients), node.output[0], name, tape))


@rule("Mul")
def _mul(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    for name, other in (node.input, reversed(node.input)):
        if tape.wants(name):
            product = tape.build.one("Mul", [_only(gradients), other], f"{name}_grad")
            tape.give(name, _like(product, node.output[0], name, tape))


@rule("Div")
def _div(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    over, under = node.input
    if tape.wants(under):
        raise NotImplementedError("Div by a value that leads back to a parameter has no gradient rule")
    quotient = tape.build.one("Div", [_only(gradients), under], f"{over}_grad")
    tape.give(over, _like(quotient, node.output[0], over, tape))


@rule("Relu")
def _relu(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    # Caffe's ReLU too passes no gradient at exactly 0. Sign of the output is 0 or 1.
    step = tape.build.one("Sign", [node.output[0]], f"{node.output[0]}_step")
    tape.give(node.input[0], tape.build.one("Mul", [_only(gradients), step], f"{node.input[0]}_grad"))


@rule("Reshape")
def _reshape(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    shape = tape.build.one("Shape", [node.input[0]], f"{node.input[0]}_shape")
    tape.give(node.input[0], tape.build.one("Reshape", [_only(gradients), shape], f"{node.input[0]}_grad"))


@rule("Transpose")
def _transpose(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    back = np.argsort(_attribute(node, "perm", None)).tolist()
    tape.give(node.input[0], tape.build.one("Transpose", [_only(gradients)], f"{node.input[0]}_grad", perm=back))


@rule("ReduceSum")
def _reduce_sum(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    gradient = _only(gradients)
    # A sum over all axes gives a scalar, which Expand stretches as it is.
    if len(node.input) > 1 and not _attribute(node, "keepdims", 1):
        gradient = tape.build.one("Unsqueeze", [gradient, node.input[1]], f"{node.output[0]}_grad_kept")
    shape = tape.build.one("Shape", [node.input[0]], f"{node.input[0]}_shape")
    tape.give(node.input[0], tape.build.one("Expand", [gradient, shape], f"{node.input[0]}_grad"))


@rule("Concat")
def _concat(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    axis = _attribute(node, "axis", 0)
    lengths = [tape.build.one("Shape", [name], f"{name}_length", start=axis, end=axis + 1) for name in node.input]
    sizes = tape.build.one("Concat", lengths, f"{node.output[0]}_lengths", axis=0)
    pieces = tape.build.add("Split", [_only(gradients), sizes], f"{node.output[0]}_grad", len(lengths), axis=axis)
    for name, piece in zip(node.input, pieces, strict=True):
        if tape.wants(name):
            tape.give(name, piece)


@rule("Split")
def _split(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    parts = []
    for name, gradient in zip(node.output, gradients, strict=True):
        # An output the loss does not depend on counts with zeros.
        parts.append(gradient or tape.build.one("Sub", [name, name], f"{name}_grad_zero"))
    axis = _attribute(node, "axis", 0)
    tape.give(node.input[0], tape.build.joined(parts, f"{node.input[0]}_grad", axis))


@rule("Gather")
def _gather(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    table, ids = node.input
    if _attribute(node, "axis", 0) != 0:
        raise NotImplementedError("Gather has a gradient rule on axis 0 alone")
    rows, values = ids, _only(gradients)
    if len(tape.shape(ids)) != 1:
        flat = tape.build.constant([-1], "flat_shape")
        width = tape.build.constant([-1, *tape.shape(table)[1:]], f"{table}_row_shape")
        rows = tape.build.one("Reshape", [ids, flat], f"{ids}_flat")
        values = tape.build.one("Reshape", [values, width], f"{node.output[0]}_grad_flat")
    tape.give_rows(table, rows, values)


@rule("ScatterElements")
def _scatter_elements(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    if _attribute(node, "reduction", b"none") != b"add":
        raise NotImplementedError('ScatterElements has a gradient rule for reduction = "add" alone')
    data, places, updates = node.input
    gradient = _only(gradients)
    tape.give(data, gradient)
    if tape.wants(updates):
        axis = _attribute(node, "axis", 0)
        tape.give(updates, tape.build.one("GatherElements", [gradient, places], f"{updates}_grad", axis=axis))


@rule("Gemm")
def _gemm(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    settings = {name: _attribute(node, name, default) for name, default in _GEMM.items()}
    if settings != _GEMM | {"transB": 1}:
        raise NotImplementedError(f"Gemm has a gradient rule for transB = 1 alone, not {settings}")
    left, weight = node.input[:2]
    gradient = _only(gradients)
    if tape.wants(left):
        tape.give(left, tape.build.one("Gemm", [gradient, weight], f"{left}_grad"))
    if tape.wants(weight):
        tape.give_product(weight, gradient, left)
    if len(node.input) > 2 and tape.wants(node.input[2]):
        tape.give(node.input[2], _like(gradient, node.output[0], node.input[2], tape))


_GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}


@rule("Softmax")
def _softmax(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    axis = _attribute(node, "axis", -1)
    gradient, output = _only(gradients), node.output[0]
    weighted = tape.build.one("Mul", [gradient, output], f"{output}_weighted")
    axes = tape.build.constant([axis], "softmax_axis")
    total = tape.build.one("ReduceSum", [weighted, axes], f"{output}_total", keepdims=1)
    part = tape.build.one("Mul", [output, total], f"{output}_part")
    tape.give(node.input[0], tape.build.one("Sub", [weighted, part], f"{node.input[0]}_grad"))


@rule("SoftmaxCrossEntropyLoss")
def _cross_entropy(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    """Z's gradient is (softmax(z) - onehot(label)) * the row's own gradient, 0 where the label is ignored."""
    row, build = row_loss(node, tape), tape.build
    less = build.one("Sub", [row.entry, row.counted], "label_error")
    error = build.one("ScatterElements", [row.probability, row.place, less], "error", axis=1)
    gradient = build.one("Unsqueeze", [_only(gradients), build.constant([-1], "flat_shape")], "row_gradient")
    weight = build.one("Mul", [gradient, row.counted], "row_weight")
    tape.give(node.input[0], build.one("Mul", [error, weight], f"{node.input[0]}_grad"))


class RowLoss(NamedTuple):
    """The tensors of a cross-entropy by row: probability (R, C); label, its probability, counted and loss (R, 1)."""

    probability: str
    place: str
    entry: str
    counted: str
    loss: str


def row_loss(node: NodeProto, tape: Tape) -> RowLoss:
    """Write SoftmaxCrossEntropyLoss as Softmax and -log of one entry, as Caffe's SoftmaxWithLoss layer does.

    The softmax then serves the loss and the gradient alike. An entry is kept off 0 by the smallest float.
    """
    if _attribute(node, "reduction", b"mean") != b"none":
        raise NotImplementedError('SoftmaxCrossEntropyLoss has a gradient rule for reduction = "none" alone')
    logit, label = node.input
    build = tape.build
    probability = build.one("Softmax", [logit], "softmax", axis=-1)
    place = build.one("Unsqueeze", [label, build.constant([-1], "flat_shape")], f"{label}_place")
    ignored = build.constant([_attribute(node, "ignore_index", -1)], "ignored_label")
    valid = build.one("Not", [build.one("Equal", [place, ignored], f"{label}_ignored")], f"{label}_valid")
    kind = helper.np_dtype_to_tensor_dtype(tape.dtype(logit))
    counted = build.one("Cast", [valid], f"{label}_counted", to=kind)
    entry = build.one("GatherElements", [probability, place], "label_probability", axis=1)
    kept = build.one("Max", [entry, build.constant(np.finfo(np.float32).tiny, "tiny", tape.dtype(logit))], "kept")
    minus = build.one("Neg", [build.one("Log", [kept], "log_probability")], "negative_log")
    return RowLoss(probability, place, entry, counted, build.one("Mul", [minus, counted], "counted_loss"))
