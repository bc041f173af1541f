"""Let a Gemm add what is added to it.

Pattern: a Sum of two, one of them a Gemm without a third input that nothing else reads.

Invariant: the Gemm with the other summand as its third input gives the same sum, to rounding.
"""

from generator.onnxgraph.graph import GraphEditor
from generator.onnxgraph.rewrites.patterns import other_input

__all__ = ["add_in_gemm"]


def add_in_gemm(graph: GraphEditor) -> None:
    """Fold Sum into the Gemm before it."""
    for total in graph.of("Sum"):
        for name in total.input:
            product = graph.maker(name, "Gemm")
            if len(total.input) == 2 and product and len(product.input) == 2 and graph.users(name) == [total]:
                graph.drop(total)
                inputs = [*product.input, other_input(total, name)]
                graph.rewire(product, inputs=inputs, output=total.output[0])
                break
