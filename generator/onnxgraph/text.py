"""A graph as the phrases of ONNX text, for the template that prints it."""

from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

__all__ = ["GraphText", "graph_text"]


@dataclass(frozen=True)
class GraphText:
    """The parts of one model, each a line of ONNX text."""

    name: str
    ir_version: int
    opset: int
    inputs: list[str]
    outputs: list[str]
    constants: list[str]
    nodes: list[str]


def graph_text(model: ModelProto) -> GraphText:
    """Return the phrases of ``model``, whose constants are small: numbers and lists of numbers."""
    graph = model.graph
    return GraphText(
        name=graph.name,
        ir_version=model.ir_version,
        opset=next(opset.version for opset in model.opset_import if not opset.domain),
        inputs=[_value(info) for info in graph.input],
        outputs=[_value(info) for info in graph.output],
        constants=[_constant(tensor) for tensor in graph.initializer],
        nodes=[_node(node) for node in graph.node],
    )


def _type(kind: int, dims: list[Any]) -> str:
    name = TensorProto.DataType.Name(kind).lower()
    return f"{name}[{', '.join(str(dim) for dim in dims)}]" if dims else name


def _value(info: ValueInfoProto) -> str:
    tensor = info.type.tensor_type
    return f"{_type(tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim])} {info.name}"


def _constant(tensor: TensorProto) -> str:
    values = ", ".join(repr(value) for value in numpy_helper.to_array(tensor).ravel().tolist())
    return f"{_type(tensor.data_type, list(tensor.dims))} {tensor.name} = {{{values}}}"


def _attribute(attribute: AttributeProto) -> str:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return f'{attribute.name} = "{value.decode()}"'
    if isinstance(value, float):
        return f"{attribute.name} = {value!r}"
    return f"{attribute.name} = {list(value) if attribute.ints else value}"


def _node(node: NodeProto) -> str:
    attributes = ", ".join(_attribute(attribute) for attribute in node.attribute)
    settings = f" <{attributes}>" if attributes else ""
    return f"{', '.join(node.output)} = {node.op_type}{settings} ({', '.join(node.input)})"
