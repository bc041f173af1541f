"""A small net with all that drn's nets have: shared tables, a tied output, learned scale and bias, two phases."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

LEARNABLE = [
    "page_embedding",
    "scale[0]",
    "scale_bias",
    "recurrent",
    "shared_bias",
    "hidden[0]",
    "hidden[1]",
    "output_bias",
]
PAGES, WIDTH, ROWS = 6, 3, 8

_COLUMNS = """
layer { name: "slice" type: "Slice" bottom: "page" top: "page1" top: "page2" slice_param { axis: 1 slice_point: 1 } }
layer { name: "embed1" type: "Embed" bottom: "page1" top: "e1" param { name: "page_embedding" lr_mult: 2 decay_mult: 0 }
  embed_param { input_dim: 7 num_output: 3 bias_term: false weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "embed2" type: "Embed" bottom: "page2" top: "e2" param { name: "page_embedding" }
  embed_param { input_dim: 7 num_output: 3 bias_term: false } }
layer { name: "flat1" type: "Reshape" bottom: "e1" top: "x1" reshape_param { shape { dim: 0 dim: 3 } } }
layer { name: "flat2" type: "Reshape" bottom: "e2" top: "x2" reshape_param { shape { dim: 0 dim: 3 } } }
layer { name: "scale" type: "Scale" bottom: "x1" top: "s1" param { } param { name: "scale_bias" lr_mult: 0.5 }
  scale_param { bias_term: true bias_filler { value: 0.25 } } }
layer { name: "recurrent1" type: "InnerProduct" bottom: "s1" top: "r1" param { name: "recurrent" }
  inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" variance_norm: AVERAGE } } }
layer { name: "bias1" type: "Bias" bottom: "r1" top: "b1" param { name: "shared_bias" }
  bias_param { filler { value: 0.125 } } }
layer { name: "recurrent2" type: "InnerProduct" bottom: "x2" top: "r2" param { name: "recurrent" }
  param { name: "shared_bias" } inner_product_param { num_output: 3 } }
layer { name: "sum" type: "Eltwise" bottom: "b1" bottom: "r2" top: "h" }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "hidden" type: "InnerProduct" bottom: "h" top: "g"
  inner_product_param { num_output: 3 weight_filler { type: "uniform" min: -1 max: 1 } } }
layer { name: "output" type: "InnerProduct" bottom: "g" top: "z" param { name: "page_embedding" lr_mult: 2 }
  param { name: "output_bias" decay_mult: 0 } inner_product_param { num_output: 7 } }
"""
TRAIN_VAL = (
    """name: "small"
layer { name: "train_data" type: "HDF5Data" top: "page" top: "label" include { phase: TRAIN }
  hdf5_data_param { source: "rows.txt" batch_size: 8 } }
layer { name: "test_data" type: "HDF5Data" top: "page" top: "label" exclude { phase: TRAIN }
  hdf5_data_param { source: "rows.txt" batch_size: 4 } }
"""
    + _COLUMNS
    + """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "label" top: "loss"
  loss_param { ignore_label: 0 normalization: VALID } }
layer { name: "accuracy" type: "Accuracy" bottom: "z" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
)
DEPLOY = (
    """name: "small"
layer { name: "input" type: "Input" top: "page" input_param { shape { dim: 1 dim: 2 } } }
"""
    + _COLUMNS
    + """
layer { name: "probability" type: "Softmax" bottom: "z" top: "probability" }
"""
)
SOLVER = """net: "train_val.prototxt"
type: "{type}" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 momentum: 0.9 weight_decay: {decay}
max_iter: 100 display: 0 snapshot_prefix: "nowhere/small" solver_mode: CPU random_seed: 7
"""


def shapes() -> dict[str, tuple[int, ...]]:
    """The shape of each learnable parameter."""
    return {
        "page_embedding": (PAGES + 1, WIDTH),
        "scale[0]": (WIDTH,),
        "scale_bias": (WIDTH,),
        "recurrent": (WIDTH, WIDTH),
        "shared_bias": (WIDTH,),
        "hidden[0]": (WIDTH, WIDTH),
        "hidden[1]": (WIDTH,),
        "output_bias": (PAGES + 1,),
    }


def weights(seed: int = 1) -> dict[str, NDArray[np.float32]]:
    """Random weights of the net."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes().items()}


def rows() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pages (rows, 2) and labels (rows,), one of them ignored."""
    generator = np.random.default_rng(2)
    page = generator.integers(0, PAGES + 1, (ROWS, 2)).astype(np.int32)
    label = generator.integers(1, PAGES + 1, ROWS).astype(np.int32)
    label[3] = 0
    return page, label


def probability(w: dict[str, NDArray[np.float32]], page: NDArray[np.int32]) -> NDArray[np.float32]:
    """What the net computes, (rows, pages + 1), in numpy."""
    x1, x2 = w["page_embedding"][page[:, 0]], w["page_embedding"][page[:, 1]]
    first = (x1 * w["scale[0]"] + w["scale_bias"]) @ w["recurrent"].T + w["shared_bias"]
    h = np.maximum(first + x2 @ w["recurrent"].T + w["shared_bias"], 0)
    z = (h @ w["hidden[0]"].T + w["hidden[1]"]) @ w["page_embedding"].T + w["output_bias"]
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True), np.float32)


def write_folder(folder: Path, solver_type: str = "SGD", decay: float = 0.01) -> Path:
    """Write the net, its solver and its rows into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    page, label = rows()
    with h5py.File(folder / "rows.h5", "w") as file:
        file["page"], file["label"] = page, label
    (folder / "rows.txt").write_text("rows.h5\n")
    (folder / "train_val.prototxt").write_text(TRAIN_VAL)
    (folder / "deploy.prototxt").write_text(DEPLOY)
    (folder / "solver.prototxt").write_text(SOLVER.format(type=solver_type, decay=decay))
    return folder
