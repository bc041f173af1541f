"""Add in one scatter what a mixture adds page after page.

Pattern: a chain of steps, each a GatherElements of what the step before gave, an Add of a share, and a ScatterElements
of the sum to where it was read; the ids of the steps are the parts of one Split in its order, the shares of another.

Invariant: a part has an id once, or again with a share of 0, so a scatter that adds makes the same sums in the same
order: the same bits. Published graphs go page after page, for MNN overwrites where a scatter should add; onnxruntime
adds, in one pass over the probabilities of all items.
"""

from itertools import pairwise

from onnx import ModelProto, NodeProto

from generator.onnxgraph.graph import GraphEditor, attributes_of

__all__ = ["with_one_scatter"]

ALONG_ITEMS = {"axis": 1}


def with_one_scatter(model: ModelProto) -> ModelProto:
    """Return ``model`` with one ScatterElements that adds in place of a chain of those that write."""
    graph = GraphEditor(model)
    for shares in graph.of("Split"):
        steps = [step for share in shares.output if (step := _step(graph, share))]
        ids = graph.maker(steps[0].input[1], "Split") if steps else None
        if ids is None or not attributes_of(ids) == attributes_of(shares) == ALONG_ITEMS:
            continue
        whole = [step.input[1] for step in steps] == list(ids.output) and len(steps) == len(shares.output)
        if whole and all(step.input[0] == before.output[0] for before, step in pairwise(steps)):
            inputs = [steps[0].input[0], ids.input[0], shares.input[0]]
            graph.swap(steps[-1], "ScatterElements", inputs, axis=1, reduction="add")
    return graph.model()


def _step(graph: GraphEditor, share: str) -> NodeProto | None:
    """Return the ScatterElements that writes what was there plus ``share``."""
    for total in graph.users(share):
        before = graph.maker(total.input[0], "GatherElements")
        if total.op_type != "Add" or before is None or attributes_of(before) != ALONG_ITEMS:
            continue
        for step in graph.users(total.output[0]):
            if step.op_type == "ScatterElements" and attributes_of(step) == ALONG_ITEMS:
                return step if list(step.input) == [*before.input, total.output[0]] else None
    return None
