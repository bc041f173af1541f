"""Hypothesis strategies: specs of every kind of net, and blobs and weights that fit them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from generator.spec.schema import Spec

WIDTHS = st.lists(st.integers(1, 6), min_size=1, max_size=3)


@st.composite
def specs(draw: st.DrawFn, dropout: bool = False, mix: bool = False) -> Spec:
    """A spec; with ``dropout`` one that drops half in training, and so has a recurrent net; ``mix``: one that mixes."""
    net = draw(st.sampled_from(["rnn", "combined"] if dropout else ["fnn", "rnn", "combined"]))
    values: dict[str, Any] = {
        "name": "drawn",
        "net": net,
        "pages": draw(st.integers(1, 12)),
        "items": draw(st.integers(2, 9)),
        "top_k": 2,
        "loss": draw(st.sampled_from(["last", "every"] if net != "fnn" else ["last"])),
    }
    if net != "fnn":
        history = draw(st.one_of(st.just(0), st.integers(1, 5)))
        values["rnn"] = {"window": draw(st.integers(1, 4)), "widths": draw(WIDTHS), "history": history}
        head: dict[str, Any] = {name: draw(st.booleans()) for name in ("tied", "projection", "skip")}
        if head["tied"]:
            values["pages"] = values["items"]
        if head["tied"]:
            head["projection"] |= values["rnn"]["widths"][0] != values["rnn"]["widths"][-1]
        values["head"] = head | {"dropout": 0.5 if dropout else 0.0}
    if mix:
        pages = draw(st.integers(1, 6))
        newest, followers = draw(st.integers(1, pages)), draw(st.integers(1, 3))
        values.setdefault("head", {})["mix"] = {"pages": pages, "newest": newest, "followers": followers}
        values["head"]["slots"] = draw(st.sampled_from([0, 0, 3]))
        if values["head"]["slots"]:
            values["pages"] = values["items"]
    if net != "rnn":
        values["fnn"] = {"bought": draw(st.integers(1, 4)), "widths": draw(WIDTHS)}
    return Spec.model_validate(values)


def blobs(spec: Spec, batch: int, seed: int) -> dict[str, np.ndarray]:
    """Sessions of every length from none to longer than window and history, as blobs with labels (0 among them)."""
    rng = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    pages = spec.pages + (spec.slots > 0)  # the last is that of all slots
    if spec.has_rnn:
        seen = rng.integers(0, spec.window + spec.history + 1, batch)
        made["page"] = _right_aligned(rng, np.minimum(seen, spec.window), spec.window, pages)
        if spec.history:
            older = np.maximum(seen - spec.window, 0)
            made["history_page"] = _right_aligned(rng, older, spec.history, pages)
            weight = np.sort(rng.random((batch, spec.history)).astype(np.float32), axis=1)
            weight[:, -1] = 1
            made["history_weight"] = weight * (made["history_page"] > 0)
    if spec.seen:
        seen = rng.integers(0, spec.seen + 1, batch)
        few = min(spec.pages, 4)  # so that pages come again
        ids = _right_aligned(rng, seen, spec.seen, few + spec.slots)
        made["seen_page"] = np.where(ids > few, ids - few + spec.pages, ids)
        dwell = np.log(rng.uniform(1, 600, made["seen_page"].shape)).astype(np.float32)
        made["seen_dwell"] = dwell * (made["seen_page"] > 0)
    if spec.has_fnn:
        made["bought"] = _right_aligned(rng, rng.integers(0, spec.bought + 1, batch), spec.bought, spec.items)
        made["bought_weight"] = (made["bought"] > 0).astype(np.float32)
    shape = (batch, spec.window) if spec.loss == "every" else (batch,)
    made["label"] = rng.integers(0, spec.items + 1, shape)
    return made


def _right_aligned(rng: np.random.Generator, lengths: np.ndarray, size: int, largest: int) -> np.ndarray:
    ids = rng.integers(1, largest + 1, (len(lengths), size))
    return np.where(np.arange(size) >= size - lengths[:, None], ids, 0)


def weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Scaled by fan-in, so that the scores of wide nets too stay of order 1.
    scale = {name: min(0.5, shape[-1] ** -0.5) for name, shape in shapes.items()}
    made = {name: rng.normal(0, scale[name], shape).astype(np.float32) for name, shape in shapes.items()}
    return made | (_mixture(shapes, rng) if "mix_follower" in shapes else {})


def _mixture(shapes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Tables of a mixture: followers that differ, of some pages none, shares that sum to less than 1."""
    items = shapes["mix_trend"][0] - 1
    pages, followers = shapes["mix_follower"]
    follower = np.zeros((pages, followers), np.int32)
    share = np.zeros((pages, followers), np.float32)
    for page in range(pages):
        held = rng.integers(0, min(followers, items) + 1)
        follower[page, :held] = rng.permutation(items)[:held] + 1
        share[page, :held] = np.sort(rng.dirichlet(np.ones(held + 1))[:held])[::-1]
    made = {
        "mix_follower": follower,
        "mix_share": share,
        "mix_repeat": rng.uniform(0, 3, 1).astype(np.float32),
        "mix_weight": rng.uniform(0, 2, shapes["mix_weight"]).astype(np.float32),
    }
    item = rng.integers(0, items + 1, pages) * (np.arange(pages) > 0)
    return made | ({"mix_item": item} if "mix_item" in shapes else {})
