"""What Caffe's net of a mixture reads beside the net's blobs, made of the tables and numbers of an inference graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.mixture.seen import Seen, probability_of_seen

__all__ = ["caffe_inputs", "newest_pages"]

Ints = NDArray[np.int64]


def caffe_inputs(
    parameters: Mapping[str, NDArray[Any]],
    page: NDArray[np.integer],
    dwell: NDArray[np.float32],
    items: int,
    slots: int = 0,
) -> dict[str, NDArray[np.float32]]:
    """Return the inputs that depend on the session, float32.

    Parameters
    ----------
    parameters
        Of the inference graph by name (`Mixture.parameters`): ``mix_follower``, ``mix_share``, ``mix_coefficient``,
        ``mix_repeat``, ``mix_weight``, and ``mix_item`` where pages are not the items.
    page, dwell
        The blobs ``seen_page`` and ``seen_dwell``, (B, S).
    items, slots
        N, and how many ids of slots follow.

    Returns
    -------
    dict
        ``mix_factor``, to multiply the softmax by, and ``mix_rest``, to add then, (B, N+1); with slots ``mix_slot``
        too, (B, slots): what these have.
    """
    follower, share, weight = (parameters[f"mix_{name}"] for name in ("follower", "share", "weight"))
    item = parameters.get("mix_item", np.arange(len(follower)))
    seen = Seen.of(page, dwell, item)
    row = np.arange(len(seen))[:, None]
    weight = weight[seen.length].astype(np.float64)
    rest = np.zeros((len(seen), 1 + items + slots))
    for column, newest in enumerate(newest_pages(seen, weight.shape[1] - 2)):
        np.add.at(rest, (row, follower[newest]), share[newest] * weight[:, column, None])
    factor = np.ones_like(rest)
    at = np.nonzero(seen.distinct)
    place = at[0], seen.item[at]
    repeat = float(parameters["mix_repeat"][0])
    factor[place] = repeat
    likely = probability_of_seen(seen, parameters["mix_coefficient"][0].astype(np.float64))
    rest[place] = rest[place] * repeat + (likely * weight[:, -1:])[at]
    found = {"mix_factor": factor[:, : items + 1], "mix_rest": rest[:, : items + 1]}
    if slots:
        found["mix_slot"] = rest[:, items + 1 :]
    return {name: values.astype(np.float32) for name, values in found.items()}


def newest_pages(seen: Seen, newest: int) -> list[Ints]:
    """Return the newest pages of each row, newest first, 0 for none, and then 0, which what is popular follows."""
    return [*(seen.page[:, -lag] for lag in range(1, newest + 1)), np.zeros(len(seen), np.int64)]
