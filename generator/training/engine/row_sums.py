"""Sums of gradient rows that share an id, by onnxruntime's ScatterND: three times numpy's add.reduceat."""

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Ids", "RowSums", "Rows", "distinct_ids"]

Ids: TypeAlias = npt.NDArray[np.int64]
# A sparse gradient: row ids (R,) with repeats, and the values (R, width) that belong to them.
Values: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = tuple[Ids, Values]

_GRAPH = """<ir_version: 8, opset_import: ["": 18]>
sum_rows (float[U, W] zeros, int64[R, 1] places, float[R, W] values) => (float[U, W] sums) {
    sums = ScatterND <reduction = "add"> (zeros, places, values)
}"""


def distinct_ids(ids: Ids) -> Ids:
    """Return the distinct ids of shape (R,), ascending: np.unique hashes first, which takes longer."""
    ids = np.sort(ids)
    new = np.ones(ids.size, bool)
    np.not_equal(ids[1:], ids[:-1], out=new[1:])
    return ids[new]


@cache
def _session() -> "onnxruntime.InferenceSession":
    import onnx.parser
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one thread adds in the order of the rows: the same bits every time
    model = onnx.parser.parse_model(_GRAPH).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class RowSums:
    """Sums the rows of each id. Values that lie where the last ones did are read there without being bound anew."""

    def __init__(self) -> None:
        self._binding = _session().io_binding()
        self._values = np.empty((0, 0), np.float32)
        self._bound: tuple[int, tuple[int, ...]] | None = None
        self._place = np.empty(0, np.int64)  # of an id among the distinct ones: found faster here than by bisection

    def __call__(self, ids: Ids, values: Values, distinct: Ids | None = None) -> Rows:
        """Return the distinct ids and the sum of each one's rows.

        Parameters
        ----------
        ids
            Shape (R,), with repeats.
        values
            Shape (R, width), float32, contiguous.
        distinct
            The distinct ids, ascending, where they are known, and perhaps more.

        Returns
        -------
        ids, sums
            Shapes (U,), ascending, and (U, width), which the next call overwrites: rows are added in the order given,
            always to the same bits.
        """
        distinct = distinct_ids(ids) if distinct is None else distinct
        if self._bound != (values.ctypes.data, values.shape) or distinct.size > len(self._sums):
            self._bind(values, max(len(ids), distinct.size))
        if distinct.size and distinct[-1] >= len(self._place):
            self._place = np.empty(2 * distinct[-1] + 2, np.int64)
        self._place[distinct] = np.arange(distinct.size)
        self._places[:, 0] = self._place[ids]
        _session().run_with_iobinding(self._binding)
        return distinct, self._sums[: distinct.size]

    def _bind(self, values: Values, most: int) -> None:
        """Read values where they lie, which are kept until others come, and make room for ``most`` sums."""
        self._values, self._bound = values, (values.ctypes.data, values.shape)
        self._places = np.zeros((len(values), 1), np.int64)
        self._zeros, self._sums = np.zeros((2, most, values.shape[1]), np.float32)
        for name, array in (("zeros", self._zeros), ("places", self._places), ("values", values)):
            self._binding.bind_cpu_input(name, array)
        sums = self._sums
        self._binding.bind_output("sums", "cpu", 0, np.float32, sums.shape, sums.ctypes.data)
