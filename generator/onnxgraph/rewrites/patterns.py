"""What several rewrites look for."""

import numpy as np
from onnx import NodeProto

from generator.onnxgraph.graph import GraphEditor, attributes_of

__all__ = ["other_input", "sums_rows"]


def other_input(node: NodeProto, name: str) -> str:
    """Return the input of a node with two that is not ``name``."""
    return node.input[1] if node.input[0] == name else node.input[0]


def sums_rows(graph: GraphEditor, node: NodeProto) -> bool:
    """Whether a ReduceSum is over the first axis alone, and drops it."""
    return (
        len(node.input) == 2
        and np.array_equal(graph.value(node.input[1]), [0])
        and attributes_of(node) == {"keepdims": 0}
    )
