"""The same training twice, by drn and by real Caffe, and how far apart the two end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from caffe_process import Caffe, Trained
from draws import blobs
from numpy.typing import NDArray

from generator.caffe.caffemodel import read_caffemodel
from generator.caffe.prototxt import learnable, read_net
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec
from generator.training.run.train import TrainOptions, train

Weights = dict[str, NDArray[np.float32]]
# Intervals no run reaches: nothing but the last iteration has a table's rows brought up to date.
NEVER = 100_000


def small_spec(**changes: Any) -> Spec:
    """Return the spec of a small combined net; ``solver`` is merged, other fields are replaced."""
    solver = {
        "batch_size": 8,
        "base_lr": 0.02,
        "max_iter": 500,
        "display": NEVER,
        "snapshot": NEVER,
        "test_interval": NEVER,
        **changes.pop("solver", {}),
    }
    fields = {
        "name": "small",
        "net": "combined",
        "pages": 300,
        "items": 20,
        "rnn": {"window": 2, "widths": [5, 4], "history": 2},
        "fnn": {"bought": 2, "widths": [4, 3]},
        "top_k": 3,
        **changes,
    }
    return Spec.model_validate({**fields, "solver": solver})


def write_data(folder: Path, spec: Spec, rows: int, seed: int = 1) -> Path:
    """Write a data folder of sessions of every length, whose label follows from the newest page and purchase."""
    folder.mkdir()
    for name, count, draw in (("train", rows, seed), ("test", 20, seed + 1)):
        made = blobs(spec, count, draw)
        asked = made.pop("label") > 0
        page = made.get("page", np.zeros((count, 1), int))
        bought = made.get("bought", np.zeros((count, 1), int))
        rule = (page * 7 + bought[:, -1:]) % spec.items + 1
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for blob, array in made.items():
                file[blob] = array.astype(np.float32 if blob.endswith("weight") else np.int32)
            file["label"] = ((rule if spec.loss == "every" else rule[:, -1]) * asked).astype(np.int32)
            file["rows/session"] = np.arange(count, dtype=np.int32)
            file["rows/position"] = np.full(count, spec.window, np.int32)
            file["rows/unknown"] = np.zeros(count, np.uint8)
    for kind, size in (("page", spec.pages), ("item", spec.items)):
        (folder / f"{kind}s.txt").write_text("".join(f"{kind}-{number}\n" for number in range(1, size + 1)))
    return folder


def snapshot(run: Path, iteration: int, suffix: str = ".caffemodel") -> Path:
    """The path of one file of a snapshot of a run."""
    name = next((run / "snapshots").glob("*_iter_0.caffemodel")).name.removesuffix("_iter_0.caffemodel")
    return run / "snapshots" / f"{name}_iter_{iteration}{suffix}"


def weights_at(run: Path, iteration: int) -> Weights:
    """The weights of a snapshot of a run, by name."""
    net = read_net(run / "train_val.prototxt")
    shapes = parameter_shapes(parse((run / "gradient.onnxtxt").read_text(), "gradient.onnxtxt"))
    return read_caffemodel(snapshot(run, iteration), net, shapes)


def weights_of(trained: Trained, run: Path) -> Weights:
    """What Caffe trained with the net of a run, by name."""
    return {p.name: trained.weights[p.places[0]] for p in learnable(read_net(run / "train_val.prototxt"))}


def apart(ours: Mapping[str, NDArray[np.float32]], theirs: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Return for every parameter its largest difference, relative to its largest weight."""
    assert ours.keys() == theirs.keys()
    return {
        name: float(np.abs(ours[name] - array).max() / max(np.abs(array).max(), np.finfo(np.float32).tiny))
        for name, array in theirs.items()
    }


def both(caffe: Caffe, spec: Spec, data: Path, run: Path) -> tuple[Weights, Weights, list[float]]:
    """Train ``max_iter`` iterations on the rows in file order: return our weights, Caffe's, and Caffe's losses."""
    last = spec.solver.max_iter
    train(spec, data, run, TrainOptions(order="file", threads=1))
    trained = caffe.train(run / "solver.prototxt", last, weights=snapshot(run, 0))
    assert trained.iteration == last
    return weights_at(run, last), weights_of(trained, run), trained.losses
