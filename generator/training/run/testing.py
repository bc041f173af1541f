"""Loss and accuracy on held-out rows, as the TEST phase of the Caffe net reports them."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from generator.training.engine.batches import Batch
from generator.training.engine.graph import Graph
from generator.training.engine.solver import Array

__all__ = ["Tester", "accuracies"]


class Tester:
    """The test pass of a run.

    Parameters
    ----------
    loss, model
        ``loss.onnx`` and the inference graph ``model.onnx``, serialised, parameters as inputs.
    weights
        The parameters, read where they lie at every pass.
    batches
        The rows to test on, each once.
    split
        What the split is called, which begins the name of each number: ``valid`` or ``test``.
    top_k
        K of the top-K accuracy.
    threads
        Intra-op threads; 0: one for each core.
    """

    def __init__(
        self,
        loss: bytes,
        model: bytes,
        weights: Mapping[str, Array],
        batches: Sequence[Batch],
        *,
        split: str,
        top_k: int,
        threads: int = 0,
    ) -> None:
        self._loss, self._logit = Graph(loss, weights, threads), Graph(_logit_graph(model), weights, threads)
        self._batches, self._split, self._top_k = batches, split, top_k

    def run(self) -> dict[str, float]:
        """Return <split>_loss, <split>_accuracy and <split>_accuracy_top<K>.

        As Caffe's SoftmaxWithLoss and Accuracy with ignore_label 0: means over the labels that are not 0, and equal
        scores count against the label. The loss is over all states where the net is trained at every one, the accuracy
        at the newest state.
        """
        loss = first = top = 0.0
        losses = labels = 0
        for batch in self._batches:
            label = batch.blobs["label"]
            weight = int(np.count_nonzero(label))
            loss += weight * float(self._loss.run(batch.blobs)["loss"])
            losses += weight
            newest = label.reshape(len(label), -1)[:, -1]
            hits = accuracies(self._logit.run(batch.blobs)["logit"], newest, (1, self._top_k))
            first, top = first + hits[0], top + hits[1]
            labels += int(np.count_nonzero(newest))
        return {
            f"{self._split}_loss": loss / max(losses, 1),
            f"{self._split}_accuracy": first / max(labels, 1),
            f"{self._split}_accuracy_top{self._top_k}": top / max(labels, 1),
        }


def accuracies(logit: Array, label: npt.NDArray[np.int64], top_k: Sequence[int]) -> list[int]:
    """Return for each K how many labels are among the K best, as Caffe's Accuracy layer counts with ignore_label 0.

    Parameters
    ----------
    logit
        Scores (B, N + 1): column 0, "none", is one of those to beat.
    label
        Shape (B,): 1..N, or 0, which is left out.
    top_k
        The Ks.

    Notes
    -----
    ``AccuracyLayer::Forward_cpu`` of Caffe 1.0 counts every score that is not below the label's own, the label's
    too, and asks for at most K: of equal scores all others come before the label.
    """
    asked = label > 0
    scores = logit[asked]
    before = (scores >= scores[np.arange(len(scores)), label[asked]][:, None]).sum(axis=1)
    return [int((before <= k).sum()) for k in top_k]


def _logit_graph(model: bytes) -> bytes:
    """Return the inference graph with the scores before the Softmax as its only output."""
    proto = onnx.load_from_string(model)
    del proto.graph.output[:]
    proto.graph.output.append(onnx.helper.make_tensor_value_info("logit", onnx.TensorProto.FLOAT, None))
    return proto.SerializeToString()
