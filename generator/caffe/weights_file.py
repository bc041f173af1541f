"""A file of weights as Caffe writes them: `.caffemodel`, or `.caffemodel.h5` of `snapshot_format: HDF5`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.caffe.blobs import has_field, read_message
from generator.caffe.hdf5 import is_hdf5, read_weights_hdf5
from generator.caffe.schema import Message, SolverState, WeightsParameter
from generator.errors import ModelError

__all__ = ["check_finite", "read_weights"]

# NetParameter.layers, of nets before LayerParameter.
_V1_LAYERS = 2


def check_finite(path: Path, weights: Mapping[str, NDArray[Any]]) -> None:
    """Refuse weights that a training which diverged left behind, or that are damaged.

    Raises
    ------
    ModelError
        A number is infinite or none.
    """
    for name, values in weights.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelError(
                f"{path}: {name} holds numbers that are not finite: the file is damaged, or of a training that diverged"
            )


def read_weights(path: Path) -> tuple[Message, bool]:
    """Read a file of weights.

    Returns
    -------
    WeightsParameter, bool
        And whether it is of HDF5, where a layer has the blobs alone that it owns: one that it shares with a layer
        before it is an empty BlobProto, or absent where no other follows it.

    Raises
    ------
    ModelError
        The file cannot be read, is cut short, or is no file of weights; it is one of an old kind, which the message
        names.
    """
    if is_hdf5(path):
        return read_weights_hdf5(path), True
    message = read_message(path, WeightsParameter(), "caffemodel")
    # A solverstate has its net's file name in the same field, and the iteration as a number before it.
    if (
        not message.layer
        and has_field(path.read_bytes(), _V1_LAYERS)
        and not read_message(path, SolverState(), "solverstate").HasField("iter")
    ):
        raise ModelError(
            f"{path}: has V1 layers, as Caffe wrote them before 2015; convert it by Caffe's own "
            "upgrade_net_proto_binary OLD NEW"
        )
    return message, False
