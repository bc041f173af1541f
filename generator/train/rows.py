"""Sums of gradient rows that share an id, by onnxruntime's ScatterND: three times numpy's add.reduceat."""

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Ids", "Rows", "sum_rows"]

Ids: TypeAlias = npt.NDArray[np.int64]
# A sparse gradient: row ids (R,) with repeats, and the values (R, width) that belong to them.
Rows: TypeAlias = tuple[Ids, npt.NDArray[np.float32]]

_GRAPH = """<ir_version: 8, opset_import: ["": 18]>
sum_rows (float[U, W] zeros, int64[R, 1] places, float[R, W] values) => (float[U, W] sums) {
    sums = ScatterND <reduction = "add"> (zeros, places, values)
}"""


@cache
def _session() -> "onnxruntime.InferenceSession":
    import onnx.parser
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one thread adds in the order of the rows: the same bits every time
    model = onnx.parser.parse_model(_GRAPH).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def sum_rows(ids: Ids, values: npt.NDArray[np.float32], distinct: Ids | None = None) -> Rows:
    """Return the distinct ids and the sum of each one's rows.

    Parameters
    ----------
    ids
        Shape (R,), with repeats.
    values
        Shape (R, width), float32.
    distinct
        The distinct ids, ascending, where they are known.

    Returns
    -------
    ids, sums
        Shapes (U,), ascending, and (U, width): rows are added in the order given, always to the same bits.
    """
    if distinct is None:
        distinct, places = np.unique(ids, return_inverse=True)
    else:
        places = np.searchsorted(distinct, ids)
    zeros = np.zeros((distinct.size, values.shape[1]), np.float32)
    (sums,) = _session().run(None, {"zeros": zeros, "places": places.reshape(-1, 1), "values": values})
    return distinct, sums
