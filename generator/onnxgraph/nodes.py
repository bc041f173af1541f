"""The nodes of an ONNX graph, to be searched and rewritten."""

from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

__all__ = ["Nodes"]


class Nodes:
    """A copy of a graph, whose nodes may be changed in place, added and dropped in any order.

    Parameters
    ----------
    model
        The graph; it stays as it is.
    """

    def __init__(self, model: ModelProto) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self._nodes = list(self._model.graph.node)
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self._model.graph.initializer}
        self._made = 0

    def of(self, op: str) -> list[NodeProto]:
        """Return the nodes of an operator."""
        return [node for node in self._nodes if node.op_type == op]

    def maker(self, name: str, op: str) -> NodeProto | None:
        """Return the node that makes ``name``, if its operator is ``op``."""
        return next((node for node in self._nodes if name in node.output and node.op_type == op), None)

    def users(self, name: str) -> list[NodeProto]:
        """Return the nodes that read ``name``."""
        return [node for node in self._nodes if name in node.input]

    def value(self, name: str) -> Any:
        """Return the array of a constant; None if ``name`` is none."""
        return self._constants.get(name)

    @staticmethod
    def attributes(node: NodeProto) -> dict[str, Any]:
        """Return the attributes of a node by name."""
        return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}

    def constant(self, value: Any, dtype: Any) -> str:
        """Return the name of a constant that holds ``value``."""
        array = np.asarray(value, dtype)
        for name, known in self._constants.items():
            if (known.dtype, known.shape) == (array.dtype, array.shape) and np.array_equal(known, array):
                return name
        name = self.name()
        self._constants[name] = array
        self._model.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return its name, a new one where none is given."""
        output = output or self.name()
        self._nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def name(self) -> str:
        """Return a name of no tensor of the graph: generated names hold no dot."""
        self._made += 1
        return f"quick.{self._made}"

    def replace(self, name: str, other: str) -> None:
        """Have the nodes that read ``name`` read ``other``."""
        for node in self.users(name):
            node.input[:] = [other if each == name else each for each in node.input]

    def drop(self, node: NodeProto) -> None:
        """Remove a node."""
        self._nodes = [each for each in self._nodes if each is not node]

    def is_output(self, name: str) -> bool:
        """Whether ``name`` is an output of the graph."""
        return any(info.name == name for info in self._model.graph.output)

    def give(self, output: str, name: str, kind: int, rank: int) -> None:
        """Add an output that is the tensor ``name``, of an element type and a rank."""
        self.add("Identity", [name], output)
        self._model.graph.output.append(helper.make_tensor_value_info(output, kind, [None] * rank))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the inputs; an axis of any length is 0."""
        return {info.name: _shape(info) for info in self._model.graph.input}

    def reshape(self, name: str, shape: Sequence[int]) -> None:
        """Declare another shape of an input or output."""
        for info in (*self._model.graph.input, *self._model.graph.output):
            if info.name == name:
                kind = info.type.tensor_type.elem_type
                info.CopyFrom(helper.make_tensor_value_info(name, kind, list(shape)))

    def fix(self, axis: str, size: int) -> None:
        """Give an axis of the inputs that is known by its name a size."""
        for info in self._model.graph.input:
            for dim in info.type.tensor_type.shape.dim:
                if dim.dim_param == axis:
                    dim.dim_value = size

    def model(self) -> ModelProto:
        """Return the graph: the nodes that lead to an output, each after those it reads."""
        makers = {name: place for place, node in enumerate(self._nodes) for name in node.output}
        reads: dict[int, list[int]] = {}
        waiting = [makers[info.name] for info in self._model.graph.output]
        while waiting:
            place = waiting.pop()
            if place not in reads:
                reads[place] = [makers[name] for name in self._nodes[place].input if name in makers]
                waiting += reads[place]
        ordered = [self._nodes[place] for place in TopologicalSorter(reads).static_order()]
        result = ModelProto()
        result.CopyFrom(self._model)
        del result.graph.node[:]
        result.graph.node.extend(ordered)
        return result


def _shape(info: ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
