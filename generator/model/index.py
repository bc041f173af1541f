"""The best items of a large catalogue: all looked at by their codes of four bits a number, the best scored as ever."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import ModelError
from generator.model.codes import ItemCodes
from generator.model.session import open_session
from generator.spec.blobs import INPUTS

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["ItemIndex"]

CANDIDATES, PART = 400, 2000  # items that are scored: so many, or one in so many where that is more
SAMPLE = 4096  # items by which what all others add to the softmax is estimated
Array = NDArray[np.float32]
Ids = NDArray[np.int64]


class ItemIndex:
    """The output layer of an inference model, indexed.

    A session's score of an item is the inner product of a vector that the net makes of the session with the item's row
    of the output layer, its bias among it. `ItemCodes` find nearly all of the rows with the largest; what the session
    has seen and what followed its newest pages in training are added, and all of these are scored exactly. In the sum
    of the Softmax they are themselves, and all other items an estimate, by a sample drawn once. The rest of the model's
    graph, its mixture, then runs on them as it is.

    Parameters
    ----------
    model
        The inference model.
    name
        Its file, for messages.
    classes
        Those of its Softmax, N+1.
    kinds
        ONNX type of each input blob.

    Attributes
    ----------
    bytes
        Of memory, about: the rows and their codes.
    seconds
        Of CPU time that building took.

    Raises
    ------
    ModelError
        The model is not of a form that can be indexed, or its weights are no numbers.
    """

    def __init__(self, model: "ModelProto", name: Path, classes: int, kinds: Mapping[str, str]) -> None:
        from onnx import ModelProto

        from generator.onnxgraph.rewrites.candidates import PatternError, split_at_softmax

        began = time.thread_time()
        try:
            split = split_at_softmax(model)
        except PatternError as error:
            raise ModelError(f"{name}: no index can be built for it: {error}") from error
        self._head = open_session(split.head.SerializeToString())
        types = dict(kinds) | {one.name: one.type for one in self._head.get_outputs()}
        self._tail = open_session(_typed(split.tail, types).SerializeToString())
        self._split = split._replace(head=ModelProto(), tail=ModelProto())  # the sessions have the weights
        self._blobs = [one.name for one in self._head.get_inputs()]
        self._rows = self._output_rows(model, classes)
        if not np.isfinite(self._rows).all():
            raise ModelError(f"{name}: its weights are broken, some are no number: train again, smaller base_lr")
        self._candidates = min(max(CANDIDATES, classes // PART), classes)
        self._codes = ItemCodes(self._rows)
        sample = np.random.default_rng(0).permutation(classes)[:SAMPLE]
        self._sampled = open_session(_product(self._rows[sample]).SerializeToString())
        self._place = np.full(classes, -1, np.int32)  # of a class in the sample
        self._place[sample] = np.arange(len(sample))
        self.bytes = self._rows.nbytes + self._codes.bytes
        self.seconds = time.thread_time() - began

    def _output_rows(self, model: "ModelProto", classes: int) -> Array:
        """Return the weights of each class side by side, and its bias, (classes, d) float32."""
        from onnx import numpy_helper

        constants = {one.name: one for one in model.graph.initializer if one.name in self._split.weights}
        inputs = self._head.get_inputs()
        nothing = {one.name: np.zeros((2, one.shape[1]), INPUTS[one.name].dtype) for one in inputs}
        (bias,) = self._head.run([self._split.bias], nothing)
        weights = [numpy_helper.to_array(constants[weight])[:classes] for weight in self._split.weights]
        return np.concatenate([*weights, bias.reshape(-1, 1)[:classes]], axis=1, dtype=np.float32)

    def probabilities(self, blobs: Mapping[str, NDArray[Any]], rows: int) -> list[tuple[Ids, Array]]:
        """Return for each of the first rows the ids of the items scored, ascending from 0, and their probabilities.

        A row does not depend on the others. Slots are among the ids where the session fills them.

        Parameters
        ----------
        blobs
            The inputs of the model, (B, size) each.
        rows
            How many of the B are wanted.
        """
        split = self._split
        given = {name: blobs[name] for name in self._blobs}
        computed = dict.fromkeys(
            name for name in (*split.queries, *split.ids, *split.others) if name not in self._blobs
        )
        given |= zip(computed, self._head.run(list(computed), given), strict=True)
        ones = np.ones((len(given[split.queries[0]]), 1), np.float32)
        query = np.concatenate([*(given[name] for name in split.queries), ones], axis=1)
        (sample,) = self._sampled.run(None, {"query": query})
        near = self._near(query[:rows])
        scored = [
            self._scored(query[row], sample[row], [near[row], *(given[name][row] for name in split.ids)])
            for row in range(rows)
        ]
        scored += scored[-1:] * (len(query) - rows)
        feed = {name: given[name] for name in split.others}
        feed[split.scored] = np.zeros((len(scored), max(len(ids) for ids, _ in scored)), np.float32)
        for row, (ids, softmax) in enumerate(scored):
            feed[split.scored][row, : len(ids)] = softmax
        for name in split.ids:
            places = [np.searchsorted(ids, wanted) for (ids, _), wanted in zip(scored, given[name], strict=True)]
            feed[name] = np.array(places, given[name].dtype)
        (probability,) = self._tail.run(["probability"], feed)
        return [(ids, probability[row, : len(ids)]) for row, (ids, _) in enumerate(scored[:rows])]

    def _near(self, query: Array) -> Ids:
        """Return the ids of the largest products with each query, (B, candidates), -1 for none."""
        if self._candidates == len(self._rows):
            return np.broadcast_to(np.arange(len(self._rows)), (len(query), len(self._rows)))
        return self._codes.largest(query, self._candidates)

    def _scored(self, query: Array, sample: Array, wanted: Sequence[Ids]) -> tuple[Ids, Array]:
        """Return 0 and the ``wanted`` ids of a row, ascending, and their softmax over all classes."""
        classes = len(self._rows)
        ids = np.concatenate([[0], *wanted])
        ids = ids[ids >= 0]
        ids.sort()
        ids = ids[np.append(True, ids[1:] > ids[:-1])]
        inside = ids[ids < classes]  # slots have no score: the mixture alone recommends them
        # In this thread alone, which a BLAS would not keep to.
        score = np.einsum("ij,j->i", self._rows[inside], query)
        highest = score.max()
        worth = np.exp(score - highest)
        places = self._place[inside]
        sample[places[places >= 0]] = -np.inf  # what is scored is not among the others
        others = len(sample) - np.count_nonzero(places >= 0)
        rest = np.exp(sample - highest).sum(dtype=np.float64) / max(others, 1) * (classes - len(inside))
        softmax = np.zeros(len(ids), np.float32)
        softmax[: len(inside)] = worth / (worth.sum(dtype=np.float64) + rest)
        return ids, softmax


def _product(rows: Array) -> "ModelProto":
    """Return a model of the inner products of ``rows`` with each ``query``, (B, d) to (B, rows)."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ascontiguousarray(rows.T), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["query", "weight"], ["score"])],
        "product",
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["B", rows.shape[1]])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["B", len(rows)])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _typed(model: "ModelProto", kinds: Mapping[str, str]) -> "ModelProto":
    """Return a model whose inputs have the types that onnxruntime names, float32 where it names none."""
    from onnx import TensorProto, helper

    elements = {"tensor(int32)": TensorProto.INT32, "tensor(int64)": TensorProto.INT64}
    for info in model.graph.input:
        element = elements.get(kinds.get(info.name, ""), TensorProto.FLOAT)
        info.CopyFrom(helper.make_tensor_value_info(info.name, element, None))
    return model
