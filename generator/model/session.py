"""A session of onnxruntime for inference."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

__all__ = ["open_session"]


def open_session(
    graph: Path | bytes, threads: int = 1, weights: Mapping[str, onnxruntime.OrtValue] | None = None
) -> onnxruntime.InferenceSession:
    """Return a session on the CPU that logs errors alone.

    Parameters
    ----------
    graph
        A model.onnx, or its content.
    threads
        Within an operator; 0 takes all cores.
    weights
        Initializers by name, in place of those that the model has in a file beside it; they must outlive the session.
    """
    options = onnxruntime.SessionOptions()
    if weights:
        options.add_external_initializers(list(weights), list(weights.values()))
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    session._model_bytes = None  # held to fall back from a GPU, beside the weights that the session has itself
    return session
