"""Give out the rows that would be added to a table's gradient.

Pattern: an output ``<p>_grad`` that ScatterND adds rows to, onto a Gemm that nothing else reads: the gradient of a
table that is looked up and multiplied with (a tied head).

Invariant: ``<p>_grad`` and the rows ``<p>_grad_rows``, ``<p>_grad_values`` are the gradient together. Adding them
copies the whole of it, and onnxruntime's ScatterND loses sums where two threads add to one row.
"""

from onnx import TensorProto

from generator.onnxgraph.graph import GraphEditor

__all__ = ["give_rows"]


def give_rows(graph: GraphEditor) -> None:
    """Drop the ScatterND, and make its rows and values outputs."""
    for scatter in graph.of("ScatterND"):
        whole, place, values = scatter.input
        product, rows = graph.maker(whole, "Gemm"), graph.maker(place, "Unsqueeze")
        name = scatter.output[0]
        if not name.endswith("_grad") or not graph.is_output(name):
            continue
        if not product or not rows or graph.users(whole) != [scatter]:
            continue
        graph.drop(scatter)
        product.output[0] = name
        graph.add_output(f"{name}_rows", rows.input[0], TensorProto.INT64, 1)
        graph.add_output(f"{name}_values", values, TensorProto.FLOAT, 2)
