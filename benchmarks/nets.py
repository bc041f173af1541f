"""The nets and the synthetic sessions that drn, PyTorch and real Caffe are trained on by turns."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from generator.codegen.net import net_of
from generator.spec import load_spec
from generator.spec.schema import Spec

__all__ = ["NETS", "NEVER", "SAMPLED", "gflop", "make_rows", "make_sampled", "make_spec", "write_data"]

NEVER = 10**9

NETS: dict[str, dict[str, Any]] = {
    "M 20k, N 8k, widths 128x2, n 6, B 256": {"pages": 20_000, "items": 8_000, "n": 6, "widths": [128, 128], "B": 256},
    "M 2k, N 500, widths 64x2, n 4, B 64": {"pages": 2_000, "items": 500, "n": 4, "widths": [64, 64], "B": 64},
    "M 100k, N 50k, width 100, n 6, B 128": {"pages": 100_000, "items": 50_000, "n": 6, "widths": [100], "B": 128},
}


SAMPLED = "Globo: M = N 30k, width 64, n 4, B 256, 1,024 negatives, lazy Adam"
TUNED = Path(__file__).resolve().parents[1] / "arch_specs" / "globo-tuned.yaml"


def make_sampled() -> Spec:
    """Return the spec of Globo's net, tied, under a sampled softmax and the Adam that leaves rows alone."""
    never = [f"solver.{name}={NEVER}" for name in ("max_iter", "display", "snapshot", "test_interval")]
    return load_spec(TUNED, ["head.mix=null", "solver.recency=null", "solver.lazy=true", *never])


def make_spec(net: dict[str, Any], momentum: float) -> Spec:
    """Return the spec of a net: the paper's RNN with the loss at the last state, trained by SGD and nothing else."""
    solver = {"base_lr": 0.005, "momentum": momentum, "max_iter": NEVER, "batch_size": net["B"]}
    solver |= {"display": NEVER, "snapshot": NEVER, "test_interval": NEVER}
    rnn = {"window": net["n"], "widths": net["widths"]}
    table = {"table": {"type": "gaussian", "std": 0.1}}
    fields = {"name": "bench", "net": "rnn", "pages": net["pages"], "items": net["items"], "rnn": rnn, "init": table}
    return Spec.model_validate({**fields, "solver": solver})


def make_rows(spec: Spec, rows: int) -> dict[str, np.ndarray]:
    """Return synthetic sessions: pages by Zipf's law, the label by the newest page, before it the next page."""
    rng = np.random.default_rng(1)
    rank = 1 / np.arange(1, spec.pages + 1)
    page = rng.choice(np.arange(1, spec.pages + 1), (rows, spec.window), p=rank / rank.sum())
    page[np.arange(spec.window) < rng.integers(0, spec.window, rows)[:, None]] = 0
    label = page[:, -1] % spec.items + 1
    if spec.every:
        label = np.column_stack([np.where(page[:, :-1] > 0, page[:, 1:], 0), label])
    return {"page": page.astype(np.int32), "label": label.astype(np.int32)}


def write_data(folder: Path, spec: Spec, rows: dict[str, np.ndarray]) -> Path:
    """Write a data folder of such sessions, as `drn sessions` would, and return it."""
    count = len(rows["label"])
    folder.mkdir()
    with h5py.File(folder / "train.h5", "w") as file:
        for name, array in rows.items():
            file[name] = array
        file["rows/session"] = np.arange(count, dtype=np.int32)
        file["rows/position"] = np.full(count, spec.window, np.int32)
        file["rows/unknown"] = np.zeros(count, np.uint8)
    shutil.copy(folder / "train.h5", folder / "test.h5")  # Caffe opens it, and no more
    for kind, size in (("pages", spec.pages), ("items", spec.items)):
        (folder / f"{kind}.txt").write_text("".join(f"{number}\n" for number in range(1, size + 1)))
    return folder


def gflop(spec: Spec) -> float:
    """Return the products and sums, in 10⁹, of a step's matrix products: forward, and twice as much backward."""
    widths = spec.rnn.widths
    hidden = sum(a * a for a in widths) + sum(a * b for a, b in pairwise(widths))
    outputs = (net_of(spec).candidates or spec.items + 1) * (spec.window if spec.every else 1)
    return 3 * 2 * spec.solver.batch_size * (spec.window * hidden + outputs * widths[-1]) / 1e9
