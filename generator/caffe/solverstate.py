"""Where a training run stands, in Caffe's binary format, `.solverstate`: real Caffe resumes from it.

Source: BVLC Caffe 1.0, `SGDSolver::SnapshotSolverStateToBinaryProto` and `RestoreSolverStateFromBinaryProto`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.caffe.blobs import decode, encode, read_message, write_message
from generator.caffe.hdf5 import is_hdf5, read_state_hdf5
from generator.caffe.schema import SolverState
from generator.errors import ModelError

__all__ = ["TrainingState", "read_solverstate", "write_solverstate"]


@dataclass(frozen=True)
class TrainingState:
    """A solver's state.

    Attributes
    ----------
    iteration : updates done so far
    learned_net : path of the caffemodel as it was written; "" where the file names none
    history : one array a parameter in the order of `learnable` (SGD, Nesterov: momentum; AdaGrad, RMSProp: squares);
        Adam and AdaDelta have as many again after those (Adam: all first moments, then all second moments)
    current_step : learning-rate steps done so far (lr_policy step and multistep)
    """

    iteration: int
    learned_net: str
    history: list[NDArray[np.float32]]
    current_step: int


def write_solverstate(
    path: Path, iteration: int, learned_net: str, history: Sequence[NDArray[np.float32]], current_step: int = 0
) -> None:
    """Write a solver's state, whole or not at all; the arguments are those of `TrainingState`.

    Caffe opens `learned_net` relative to the folder it runs in, and loads no weights where it is "".

    Raises
    ------
    ModelError
        The file would pass 2 GiB.
    """
    message = SolverState(iter=iteration, current_step=current_step)
    if learned_net:
        message.learned_net = learned_net
    for values in history:
        encode(values, message.history.add())
    write_message(path, message, sum(4 * values.size for values in history), "solverstate")


def read_solverstate(path: Path, shapes: Sequence[tuple[int, ...]]) -> TrainingState:
    """Read a solver's state, written by drn or by Caffe; `shapes` are those of the history, in order.

    Raises
    ------
    ModelError
        The file is no solverstate or cut short; it has another number of history blobs, or one of another shape or
        length.
    """
    if is_hdf5(path):
        iteration, learned, history, current_step = read_state_hdf5(path)
        if [values.shape for values in history] != [tuple(shape) for shape in shapes]:
            raise ModelError(f"{path}: holds other history blobs; is it of another net or solver type?")
        return TrainingState(iteration, learned, history, current_step)
    message = read_message(path, SolverState(), "solverstate")
    if not message.HasField("iter") or not message.HasField(
        "current_step"
    ):  # the first and the last field Caffe writes
        raise ModelError(f"{path}: is no solverstate, or is cut short: it lacks its iteration or its step")
    if len(message.history) != len(shapes):
        raise ModelError(
            f"{path}: holds {len(message.history)} history blobs, not {len(shapes)}. "
            "Is it of another net or solver type?"
        )
    history = [
        decode(blob, shape, f"{path}: history blob {index}")
        for index, (blob, shape) in enumerate(zip(message.history, shapes, strict=True))
    ]
    return TrainingState(message.iter, message.learned_net, history, message.current_step)
