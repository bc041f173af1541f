"""A data folder written by hand after its description, and a model whose answers are known in closed form."""

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PAGES = ["a", "b", "c", "d", "e"]
ITEMS = ["b", "c", "a", "z"]  # d and e are pages only, z is an item only


@dataclass
class Shopper:
    """One session: pages by label with seconds, what it bought ("?": an unknown item), what it had bought."""

    views: list[tuple[str, float]]
    label: str
    bought: list[str] = field(default_factory=list)


def number(labels, label):
    return labels.index(label) + 1 if label in labels else 0


def aging(dwell):
    return [dwell[i] / sum(dwell[i:]) for i in range(len(dwell))]


def right(values, size):
    """The newest ``size`` of ``values``, right-aligned, zeros before them."""
    newest = list(values)[-size:] if size else []
    return [0] * (size - len(newest)) + newest


def write_part(path: Path, shoppers, window=3, history=2, bought=2, every=False):
    """Write one purchase split, row by row; the pages "?" of a shopper are unknown."""
    rows = {name: [] for name in ("page", "history_page", "history_weight", "bought", "bought_weight", "label")}
    index = {name: [] for name in ("session", "position", "unknown")}
    for session, shopper in enumerate(shoppers):
        known = [(number(PAGES, page), seconds) for page, seconds in shopper.views if page in PAGES]
        old = known[: max(0, len(known) - window)]
        label = number(ITEMS, shopper.label)
        owned = [number(ITEMS, item) for item in shopper.bought]
        page = right([page for page, _ in known], window)
        rows["page"].append(page)
        rows["history_page"].append(right([page for page, _ in old], history))
        rows["history_weight"].append(right(aging([seconds for _, seconds in old]), history))
        rows["bought"].append(right(owned, bought))
        rows["bought_weight"].append(right([1] * len(owned), bought))
        rows["label"].append([label if one else 0 for one in page] if every else label)
        index["session"].append(session)
        index["position"].append(len(known))
        index["unknown"].append(label == 0)
    with h5py.File(path, "w") as file:
        for name, values in rows.items():
            blob = np.array(values, np.float32 if "weight" in name else np.int32)
            if blob.ndim == 1 or blob.shape[1]:
                file[name] = blob
        for name, values in index.items():
            file[f"rows/{name}"] = np.array(values, np.uint8 if name == "unknown" else np.int32)
        group = file.create_group("sessions")
        group["offset"] = np.cumsum([0] + [len(shopper.views) for shopper in shoppers])
        group["page"] = np.array([number(PAGES, page) for one in shoppers for page, _ in one.views], np.int32)
        group["dwell"] = np.array([seconds for one in shoppers for _, seconds in one.views], np.float32)
        group["label"] = np.array([number(ITEMS, one.label) for one in shoppers], np.int32)
        group["bought_offset"] = np.cumsum([0] + [len(one.bought) for one in shoppers])
        group["bought"] = np.array([number(ITEMS, item) for one in shoppers for item in one.bought], np.int32)
        group["start"] = np.arange(len(shoppers), dtype=np.float64)
        group["user"] = np.full(len(shoppers), -1, np.int32)


TRAIN = [
    *(Shopper([("a", 1)], label) for label in "bbbccaz"),
    Shopper([("a", 1)], "?"),
]
TEST = [
    Shopper([("a", 5), ("b", 60), ("c", 20), ("a", 5), ("?", 9), ("d", 1)], "c", ["z", "b", "c"]),
    Shopper([("c", 2), ("b", 2)], "b"),
    Shopper([("d", 3), ("e", 1)], "a", ["a"]),
    Shopper([("a", 1)], "?"),
    Shopper([("b", 7), ("c", 3), ("c", 3), ("b", 1)], "z"),
]


def tables(items=4, seed=1):
    """The tables of the net: (M+1, N+1) for pages and (N+1, N+1) for purchases, row 0 zero."""
    random = np.random.default_rng(seed)
    page, bought = random.normal(size=(len(PAGES) + 1, items + 1)), random.normal(size=(items + 1, items + 1))
    page[0] = bought[0] = 0
    return page.astype(np.float32), bought.astype(np.float32)


def write_model(file: Path, window=3, history=2, bought=2, top_k=2, items=4, seed=1):
    """Write a net that adds up table rows: softmax(sum P[page] + sum weight P[history] + sum weight Q[bought])."""
    sizes = {
        "page": window,
        "history_page": history,
        "history_weight": history,
        "bought": bought,
        "bought_weight": bought,
    }
    kinds = {name: TensorProto.FLOAT if "weight" in name else TensorProto.INT64 for name in sizes}
    table, owned = tables(items, seed)
    constants = {"P": table, "Q": owned, "states": np.array([1]), "one": np.array([1]), "last": np.array([2])}
    constants |= {"k": np.array([top_k]), "width": np.array([items + 1])}
    parts = []
    nodes = []
    for ids, weight, rows in (
        ("page", None, "P"),
        ("history_page", "history_weight", "P"),
        ("bought", "bought_weight", "Q"),
    ):
        if not sizes[ids]:
            continue
        nodes.append(helper.make_node("Gather", [rows, ids], [f"{ids}_rows"]))
        if weight:
            nodes.append(helper.make_node("Unsqueeze", [weight, "last"], [f"{ids}_factor"]))
            nodes.append(helper.make_node("Mul", [f"{ids}_rows", f"{ids}_factor"], [f"{ids}_weighed"]))
        nodes.append(
            helper.make_node(
                "ReduceSum", [f"{ids}_weighed" if weight else f"{ids}_rows", "states"], [f"{ids}_sum"], keepdims=0
            )
        )
        parts.append(f"{ids}_sum")
    nodes += [
        helper.make_node("Sum", parts, ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probability"], axis=1),
        helper.make_node("Slice", ["probability", "one", "width", "one"], ["sold"]),
        helper.make_node("TopK", ["sold", "k"], ["top_probability", "top_index"], axis=1),
        helper.make_node("Add", ["top_index", "one"], ["top_item"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kinds[name], ["B", size]) for name, size in sizes.items() if size],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["B", items + 1]),
            helper.make_tensor_value_info("top_item", TensorProto.INT64, ["B", top_k]),
            helper.make_tensor_value_info("top_probability", TensorProto.FLOAT, ["B", top_k]),
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)
    (file.parent / "pages.txt").write_text("".join(f"{label}\n" for label in PAGES))
    (file.parent / "items.txt").write_text("".join(f"{label}\n" for label in ITEMS))
    return file


def probabilities(pages, history=(), bought=(), seed=1):
    """The same net in numpy for one session: page ids of the window, (page, weight) of the history, item ids."""
    table, owned = (values.astype(np.float64) for values in tables(seed=seed))
    logits = table[list(pages)].sum(axis=0) + owned[list(bought)].sum(axis=0)
    for page, weight in history:
        logits = logits + weight * table[page]
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()
