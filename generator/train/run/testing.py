"""Loss and accuracy on held-out rows, as the TEST phase of the Caffe net reports them."""

from collections.abc import Mapping, Sequence

import numpy as np

from generator.train.engine.batches import Batch
from generator.train.engine.graph import Graph
from generator.train.engine.solver import Array

__all__ = ["Tester"]


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
        top_k: int,
        threads: int = 0,
    ) -> None:
        self._loss, self._model = Graph(loss, weights, threads), Graph(model, weights, threads)
        self._batches, self._top_k = batches, top_k

    def run(self) -> dict[str, float]:
        """Return test_loss, test_accuracy and test_accuracy_top<K>.

        As Caffe's SoftmaxWithLoss and Accuracy with ignore_label 0: means over the labels that are not 0. The loss is
        over all states where the net is trained at every one, the accuracy at the newest state.
        """
        loss = first = top = 0.0
        losses = labels = 0
        for batch in self._batches:
            label = batch.blobs["label"]
            weight = int(np.count_nonzero(label))
            loss += weight * float(self._loss.run(batch.blobs)["loss"])
            losses += weight
            newest = label.reshape(len(label), -1)[:, -1:]
            hits = (self._model.run(batch.blobs)["top_item"] == newest) & (newest > 0)
            first += int(hits[:, 0].sum())
            top += int(hits.sum())
            labels += int(np.count_nonzero(newest))
        return {
            "test_loss": loss / max(losses, 1),
            "test_accuracy": first / max(labels, 1),
            f"test_accuracy_top{self._top_k}": top / max(labels, 1),
        }
