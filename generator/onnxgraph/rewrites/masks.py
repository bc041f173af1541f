"""Mask all columns at once, before their ReLU.

Pattern: a Split into columns, each of which goes through ReLU, by way of a Gemm that adds it or not, and is multiplied
by its piece of one Split mask of 0 and 1.

Invariant: relu(x + (mask - 1)·1e30) is relu(x)·mask for every finite x, and its sign holds the mask too, so states and
gradients stay. onnxruntime fuses that ReLU with its Gemm, and the multiplications go.
"""

import numpy as np
from onnx import NodeProto

from generator.onnxgraph.graph import GraphEditor
from generator.onnxgraph.rewrites.patterns import other_input

__all__ = ["mask_before_relu"]

# Added where a state is absent: no input comes near it, so the ReLU gives exactly 0.
ABSENT = -1e30


def mask_before_relu(graph: GraphEditor) -> None:
    """Add a large negative number where the mask is 0, in place of multiplying each column by the mask."""
    for split in graph.of("Split"):
        found = [_column(graph, piece) for piece in split.output]
        columns = [column for column in found if column]
        mask = graph.maker(columns[0][1], "Split") if columns else None
        if mask is None or len(columns) != len(found) or [name for _, name, _ in columns] != list(mask.output):
            continue
        missing = graph.one("Sub", [mask.input[0], graph.constant(1.0, dtype=np.float32)], "absent")
        hold = graph.one("Mul", [missing, graph.constant(-ABSENT, dtype=np.float32)], "absent_offset")
        split.input[0] = graph.one("Add", [split.input[0], hold], "masked_input")
        for relu, name, masked in columns:
            _unmask(graph, relu, name, masked)


def _column(graph: GraphEditor, piece: str) -> tuple[NodeProto, str, NodeProto] | None:
    """Return ReLU, mask and Mul of a column: ``piece``, or a Gemm that adds it, then ReLU, then Mul by a mask."""
    users = graph.users(piece)
    if len(users) == 1 and users[0].op_type == "Gemm" and list(users[0].input)[2:] == [piece]:
        users = graph.users(users[0].output[0])
    if len(users) != 1 or users[0].op_type != "Relu":
        return None
    relu = users[0]
    masked = [node for node in graph.users(relu.output[0]) if node.op_type == "Mul"]
    others = [node for node in graph.users(relu.output[0]) if node.op_type not in ("Mul", "Sign")]
    if len(masked) != 1 or others:
        return None
    return relu, other_input(masked[0], relu.output[0]), masked[0]


def _unmask(graph: GraphEditor, relu: NodeProto, mask: str, masked: NodeProto) -> None:
    """Let the ReLU give the column, whose mask it now holds, forward and backward."""
    for sign in graph.users(relu.output[0]):
        if sign.op_type != "Sign":
            continue
        for product in graph.users(sign.output[0]):
            given = graph.maker(other_input(product, sign.output[0]), "Mul")
            if given and mask in given.input and graph.users(given.output[0]) == [product]:
                product.input[:] = [other_input(given, mask), sign.output[0]]
        sign.input[0] = masked.output[0]
    graph.drop(masked)
    relu.output[0] = masked.output[0]
