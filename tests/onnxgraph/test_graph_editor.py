"""The editor of graphs: what it finds by its indices is what a walk over all nodes finds."""

import random

import pytest
from onnx import TensorProto, helper

from generator.onnxgraph.graph import GraphEditor


def chain(length: int) -> GraphEditor:
    """Return an editor of x -> Neg -> Neg ... -> t<length>."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Neg", [f"t{at}" if at else "x"], [f"t{at + 1}"]) for at in range(length)]
    inputs, outputs = ([value(name, TensorProto.FLOAT, [2])] for name in ("x", f"t{length}"))
    return GraphEditor(helper.make_model(helper.make_graph(nodes, "chain", inputs, outputs)))


def nodes_of(graph: GraphEditor) -> list:
    return [node for op in ("Neg", "Add", "Abs", "Identity") for node in graph.of(op)]


@pytest.mark.parametrize("seed", range(20))
def test_users_and_makers_are_those_of_a_walk_after_any_edits(seed: int) -> None:
    rng, graph = random.Random(seed), chain(6)
    for step in range(60):
        nodes = nodes_of(graph)
        names = sorted({name for node in nodes for name in (*node.input, *node.output)})
        node, name, other = rng.choice(nodes), rng.choice(names), rng.choice(names)
        edit = rng.randrange(6)
        if edit == 0 and len(nodes) > 2:
            graph.drop(node)
        elif edit == 1:
            graph.rewire(node, inputs=[name, *node.input[1:]], output=graph.name("rewired"))
        elif edit == 2:
            graph.replace(name, other)
        elif edit == 3:
            graph.one("Add", [name, other], "sum")
        elif edit == 4:
            graph.swap(node, "Abs", [name])
        else:
            graph.publish({f"wish_{step}": name})
        left = nodes_of(graph)
        for each in {name for node in left for name in (*node.input, *node.output)}:
            readers = [id(node) for node in left if each in node.input]
            assert sorted(map(id, graph.users(each))) == sorted(readers)
            makers = [node for node in left if each in node.output]
            assert all(graph.maker(each, node.op_type) is node for node in makers)


def test_users_come_in_the_order_of_the_graph() -> None:
    graph = chain(1)
    graph.put("Abs", ["x"], "a")
    graph.put("Add", ["x", "a"], "b")
    first = graph.of("Neg")[0]
    graph.rewire(first, inputs=["a"])
    graph.rewire(first, inputs=["x"])
    assert [node.op_type for node in graph.users("x")] == ["Neg", "Abs", "Add"]


def test_a_node_that_was_dropped_is_added_anew() -> None:
    graph = chain(1)
    name = graph.one("Abs", ["t1"], "size")
    graph.drop(graph.of("Abs")[0])
    assert graph.one("Abs", ["t1"], "size") != name
    assert len(graph.of("Abs")) == 1
