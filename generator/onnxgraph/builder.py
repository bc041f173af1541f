"""A list of ONNX nodes under construction: fresh names, shared constants, no node twice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["Builder"]


class Builder:
    """Appends nodes to a graph; asking for a node that is there already returns its outputs."""

    def __init__(self, initializers: Sequence[TensorProto], taken: Iterable[str]):
        self.nodes: list[NodeProto] = []
        self.initializers = list(initializers)
        self._taken = set(taken)
        self._made: dict[tuple[Any, ...], list[str]] = {}

    def name(self, wish: str) -> str:
        """Return ``wish``, or ``wish_2``, ``wish_3`` ... where that is taken."""
        name, count = wish, 1
        while name in self._taken:
            count += 1
            name = f"{wish}_{count}"
        self._taken.add(name)
        return name

    def add(self, op: str, inputs: Sequence[str], wish: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Append ``op`` and return its output names, named after ``wish``."""
        key = (op, tuple(inputs), outputs, repr(sorted(attributes.items())))
        if key not in self._made:
            names = [self.name(wish if outputs == 1 else f"{wish}_{index}") for index in range(outputs)]
            self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
            self._made[key] = names
        return self._made[key]

    def one(self, op: str, inputs: Sequence[str], wish: str, **attributes: Any) -> str:
        """Append ``op`` with one output and return its name."""
        return self.add(op, inputs, wish, **attributes)[0]

    def constant(self, values: Any, wish: str, dtype: Any = np.int64) -> str:
        """Return the name of an initialiser that holds ``values``."""
        array = np.asarray(values, dtype)
        key = ("constant", array.dtype.str, array.shape, array.tobytes())
        if key not in self._made:
            name = self.name(wish)
            self.initializers.append(numpy_helper.from_array(array, name))
            self._made[key] = [name]
        return self._made[key][0]

    def joined(self, parts: Sequence[str], wish: str, axis: int = 0) -> str:
        """Return ``parts`` concatenated on ``axis``; a single part as it is."""
        return parts[0] if len(parts) == 1 else self.one("Concat", parts, wish, axis=axis)

    def publish(self, wishes: Mapping[str, str]) -> None:
        """Name the tensors (values) by the wishes (keys): rename what was appended, copy what has a name to keep."""
        renamed: dict[str, str] = {}
        for wish, name in wishes.items():
            if name in renamed or name not in self._free:
                self.nodes.append(helper.make_node("Identity", [renamed.get(name, name)], [wish]))
            else:
                renamed[name] = wish
        for node in self.nodes:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]

    @property
    def _free(self) -> set[str]:
        return {name for (op, *_), names in self._made.items() if op != "constant" for name in names}
