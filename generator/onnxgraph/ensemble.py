"""Nets of one architecture side by side: one net, as many times as wide, that answers with the mean of their scores."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["side_by_side"]

Array = NDArray[np.float32]


def side_by_side(nets: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Return the weights of the net that k nets of one architecture are side by side.

    Its layers hold those of the k nets one after another, and the weights between two nets are 0. The score of an item
    is the mean of the nets' scores, so the softmax is their geometric mean, normalised: what the output reads is
    divided by k. A table of the output that is the pages' too cannot be, so the projection before it is; where there is
    none, it becomes the identity, divided.

    Parameters
    ----------
    nets
        The parameters of each net by name, as the artefacts call them: tables (ids, width), other weights (out, in).

    Returns
    -------
    dict
        The parameters by name, k times as wide; of one net, its own.

    Examples
    --------
    >>> import numpy as np
    >>> from generator.onnxgraph.ensemble import side_by_side
    >>> one, two = ({"output_rnn_weight": np.full((2, 1), x, np.float32)} for x in (1, 3))
    >>> side_by_side([one, two])["output_rnn_weight"].tolist()
    [[0.5, 1.5], [0.5, 1.5]]
    """
    first = nets[0]
    if len(nets) == 1:
        return dict(first)
    tied = "page_embedding" in first and "output_rnn_weight" not in first
    if tied and "projection_weight" not in first:
        identity = np.eye(first["page_embedding"].shape[1], dtype=np.float32)
        nets = [{**net, "projection_weight": identity} for net in nets]
    divided = {"output_fnn_weight", *(("projection_weight", "skip_weight") if tied else ("output_rnn_weight",))}
    found = {name: _joined(name, [net[name] for net in nets]) for name in nets[0]}
    return {name: weight / np.float32(len(nets)) if name in divided else weight for name, weight in found.items()}


def _joined(name: str, parts: Sequence[Array]) -> Array:
    if name == "output_bias":
        return np.asarray(np.mean(parts, axis=0), np.float32)
    if name.endswith(("_embedding", "_bias")) or name.startswith("output_"):
        return np.concatenate(parts, axis=-1)
    return _block_diagonal(parts)


def _block_diagonal(parts: Sequence[Array]) -> Array:
    height, width = parts[0].shape
    found = np.zeros((len(parts) * height, len(parts) * width), np.float32)
    for number, part in enumerate(parts):
        found[number * height : (number + 1) * height, number * width : (number + 1) * width] = part
    return found
