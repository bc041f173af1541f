"""Gradient rules of ONNX operators, one function each, registered under the operator's name.

A rule takes the node, the gradients of its outputs (None where the loss does not depend on one) and the `Tape`,
appends nodes, and calls ``tape.give(input, gradient)`` for each input that wants one. A new operator joins by a
function under ``@rule("Name")``, here or in a user's file that ``gen-model --rules`` runs; one of another domain than
ONNX's own under ``@rule("domain.Name")``. What a rule does not cover it refuses by a NotImplementedError.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from onnx import NodeProto, TensorProto

from generator.onnxgraph.graph import GraphEditor, attributes_of

__all__ = ["FLOATS", "OPSET", "RULES", "Rule", "Tape", "row_loss", "rule"]

# The rules are those of the operators as this opset has them: before and after, some mean something else.
OPSET = 18
# The element types that have a derivative.
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})


class Tape(Protocol):
    """What a rule may ask of the differentiation that runs it."""

    build: GraphEditor

    def wants(self, name: str) -> bool:
        """Whether the tensor ``name`` leads back to a parameter."""

    def shape(self, name: str) -> list[int | str | None]:
        """Return the inferred shape of ``name``; symbolic and unknown sizes are strings and None.

        Raises NotImplementedError where not even the number of axes is known.
        """

    def sizes(self, name: str) -> list[int | str | None]:
        """Return the shape of ``name`` for some batch size, to tell what is broadcast; unknown sizes as in `shape`."""

    def kind(self, name: str) -> int:
        """Return the element type of ``name``, a TensorProto.DataType."""

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
    """Register the gradient rule of operator ``op``, ``Name`` or ``domain.Name``."""

    def register(function: Rule) -> Rule:
        RULES[op] = function
        return function

    return register


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    return attributes_of(node).get(name, default)


def _only(gradients: Sequence[str | None]) -> str:
    """Return the gradient of a node with one output; the differentiation calls no rule without one."""
    gradient = gradients[0]
    assert gradient is not None  # noqa: S101 - an invariant, not a check of input
    return gradient


def _like(gradient: str, result: str, name: str, tape: Tape) -> str:
    """Sum ``gradient``, shaped like ``result``, over the axes along which ``name`` was broadcast."""
    whole, part = tape.sizes(result), tape.sizes(name)
    extra = len(whole) - len(part)
    for axis, size in enumerate(part):
        if not isinstance(size, int) and (size is None or size != whole[axis + extra]):
            raise NotImplementedError(f"the size of axis {axis} of {name} is unknown: it may be broadcast or not")
    if extra:
        axes = tape.build.constant(list(range(extra)), "leading_axes")
        gradient = tape.build.one("ReduceSum", [gradient, axes], f"{name}_grad_sum", keepdims=0)
    stretched = [axis for axis, size in enumerate(part) if size == 1 and whole[axis + extra] != 1]
    if stretched:
        axes = tape.build.constant(stretched, "stretched_axes")
        gradient = tape.build.one("ReduceSum", [gradient, axes], f"{name}_grad_sum", keepdims=1)
    return gradient


def _axis(node: NodeProto, default: int, tape: Tape) -> int:
    """Return the attribute ``axis`` of a node, counted from the first axis of its first input."""
    axis: int = _attribute(node, "axis", default)
    return axis % len(tape.shape(node.input[0])) if axis < 0 else axis


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


@rule("Sub")
def _sub(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    gradient, (left, right) = _only(gradients), node.input
    if tape.wants(left):
        tape.give(left, _like(gradient, node.output[0], left, tape))
    if tape.wants(right):
        minus = tape.build.one("Neg", [gradient], f"{right}_grad")
        tape.give(right, _like(minus, node.output[0], right, tape))


@rule("Neg")
def _neg(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    tape.give(node.input[0], tape.build.one("Neg", [_only(gradients)], f"{node.input[0]}_grad"))


@rule("Div")
def _div(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    over, under = node.input
    quotient = tape.build.one("Div", [_only(gradients), under], f"{over}_grad")
    if tape.wants(over):
        tape.give(over, _like(quotient, node.output[0], over, tape))
    if tape.wants(under):
        product = tape.build.one("Mul", [quotient, node.output[0]], f"{under}_grad_product")
        minus = tape.build.one("Neg", [product], f"{under}_grad")
        tape.give(under, _like(minus, node.output[0], under, tape))


@rule("Exp")
def _exp(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    tape.give(node.input[0], tape.build.one("Mul", [_only(gradients), node.output[0]], f"{node.input[0]}_grad"))


@rule("Log")
def _log(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    tape.give(node.input[0], tape.build.one("Div", [_only(gradients), node.input[0]], f"{node.input[0]}_grad"))


@rule("Cast")
def _cast(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    kinds = tape.kind(node.input[0]), tape.kind(node.output[0])
    if not FLOATS.issuperset(kinds):
        names = " to ".join(TensorProto.DataType.Name(kind) for kind in kinds)
        raise NotImplementedError(f"{node.op_type} has a gradient rule between floats alone, not {names}")
    tape.give(node.input[0], tape.build.one("Cast", [_only(gradients)], f"{node.input[0]}_grad", to=kinds[0]))


RULES["CastLike"] = _cast  # the type alone is taken from the second input


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
    rank = len(tape.shape(node.input[0]))
    back = np.argsort(_attribute(node, "perm", list(range(rank))[::-1])).tolist()
    tape.give(node.input[0], tape.build.one("Transpose", [_only(gradients)], f"{node.input[0]}_grad", perm=back))


@rule("ReduceSum")
def _reduce_sum(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    gradient = _only(gradients)
    axes = [name for name in node.input[1:] if name]
    if axes and _attribute(node, "noop_with_empty_axes", 0):
        raise NotImplementedError("ReduceSum with noop_with_empty_axes has a gradient rule without axes alone")
    if _attribute(node, "noop_with_empty_axes", 0):
        tape.give(node.input[0], gradient)
        return
    # A sum over all axes gives a scalar, which Expand stretches as it is.
    if axes and not _attribute(node, "keepdims", 1):
        gradient = tape.build.one("Unsqueeze", [gradient, node.input[1]], f"{node.output[0]}_grad_kept")
    shape = tape.build.one("Shape", [node.input[0]], f"{node.input[0]}_shape")
    tape.give(node.input[0], tape.build.one("Expand", [gradient, shape], f"{node.input[0]}_grad"))


@rule("Concat")
def _concat(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    axis = _axis(node, 0, tape)
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
    axis = _axis(node, 0, tape)
    tape.give(node.input[0], tape.build.joined(parts, f"{node.input[0]}_grad", axis))


@rule("Gather")
def _gather(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    table, ids = node.input
    if _axis(node, 0, tape) != 0:
        raise NotImplementedError("Gather has a gradient rule on axis 0 alone")
    rows, values = ids, _only(gradients)
    if len(tape.shape(ids)) != 1:
        flat = tape.build.constant([-1], "flat_shape")
        sizes = tape.shape(table)[1:]
        if not all(isinstance(size, int) for size in sizes):
            raise NotImplementedError(f"Gather has a gradient rule for rows of known size alone, not {sizes}")
        width = tape.build.constant([-1, *sizes], f"{table}_row_shape")
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


@rule("TopK")
def _top_k(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    """Each value's gradient goes to the place it was taken from."""
    name, places = node.input[0], node.output[1]
    if not places:
        raise NotImplementedError("TopK has a gradient rule where its second output, the places, has a name")
    shape = tape.build.one("Shape", [name], f"{name}_shape")
    zero = tape.build.constant(0, f"{name}_zero", tape.dtype(name))
    zeros = tape.build.one("Expand", [zero, shape], f"{name}_grad_zero")
    axis = _axis(node, -1, tape)
    given = tape.build.one("ScatterElements", [zeros, places, _only(gradients)], f"{name}_grad", axis=axis)
    tape.give(name, given)


@rule("Gemm")
def _gemm(node: NodeProto, gradients: Sequence[str | None], tape: Tape) -> None:
    """Y = alpha·A'·B' + beta·C, where A' is A or, by transA, its transpose, and B' likewise."""
    alpha, beta = _attribute(node, "alpha", 1.0), _attribute(node, "beta", 1.0)
    turned, turned_weight = _attribute(node, "transA", 0), _attribute(node, "transB", 0)
    (left, weight), gradient, build = node.input[:2], _only(gradients), tape.build
    scale = {} if alpha == 1 else {"alpha": alpha}
    if tape.wants(left):
        pair = [weight, gradient] if turned else [gradient, weight]
        turns = {"transA": turned_weight, "transB": 1} if turned else {"transB": 1 - turned_weight}
        turns = {name: turn for name, turn in turns.items() if turn}
        tape.give(left, build.one("Gemm", pair, f"{left}_grad", **turns, **scale))
    if tape.wants(weight):
        if alpha == 1 and not turned:
            tape.give_product(weight, *((gradient, left) if turned_weight else (left, gradient)))
        else:
            pair = [gradient, left] if turned_weight else [left, gradient]
            turns = {"transA": 1 if turned_weight else 1 - turned, "transB": turned if turned_weight else 0}
            turns = {name: turn for name, turn in turns.items() if turn}
            tape.give(weight, build.one("Gemm", pair, f"{weight}_grad", **turns, **scale))
    if len(node.input) > 2 and tape.wants(node.input[2]):
        if beta != 1:
            factor = build.constant(beta, "beta", tape.dtype(node.input[2]))
            gradient = build.one("Mul", [gradient, factor], f"{node.output[0]}_grad_scaled")
        tape.give(node.input[2], _like(gradient, node.output[0], node.input[2], tape))


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
    logit, label = node.input[:2]
    if len(node.input) > 2 or len(node.output) > 1 or len(tape.shape(logit)) != 2:
        raise NotImplementedError(
            "SoftmaxCrossEntropyLoss has a gradient rule for a matrix of logits, without weights and log_prob"
        )
    build = tape.build
    probability = build.one("Softmax", [logit], "softmax", axis=-1)
    place = build.one("Unsqueeze", [label, build.constant([-1], "flat_shape")], f"{label}_place")
    ignored = build.constant([_attribute(node, "ignore_index", -1)], "ignored_label")
    valid = build.one("Not", [build.one("Equal", [place, ignored], f"{label}_ignored")], f"{label}_valid")
    counted = build.one("Cast", [valid], f"{label}_counted", to=tape.kind(logit))
    entry = build.one("GatherElements", [probability, place], "label_probability", axis=1)
    kept = build.one("Max", [entry, build.constant(np.finfo(np.float32).tiny, "tiny", tape.dtype(logit))], "kept")
    minus = build.one("Neg", [build.one("Log", [kept], "log_probability")], "negative_log")
    return RowLoss(probability, place, entry, counted, build.one("Mul", [minus, counted], "counted_loss"))
