"""Caffe's HDF5 forms of its two binary files (`snapshot_format: HDF5`), which know no limit of 2 GiB.

Weights: a group `data`, in it one a layer, in that a dataset a blob, named by its index; a parameter that layers share
is in the first of them alone. A solver's state: `iter`, `learned_net`, `current_step`, and a group `history`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.caffe.blobs import encode
from generator.caffe.prototxt import learnable
from generator.caffe.schema import Message, WeightsParameter
from generator.errors import ModelError
from generator.files import replacing

__all__ = ["MAGIC", "is_hdf5", "read_state_hdf5", "read_weights_hdf5", "write_state_hdf5", "write_weights_hdf5"]

MAGIC = b"\x89HDF\r\n\x1a\n"
# What h5py raises for a file that is cut short, for one that lacks a group, and for other things under its name.
DAMAGED = (OSError, KeyError, ValueError, AttributeError, TypeError)


def is_hdf5(path: Path) -> bool:
    """Whether a file is of HDF5, by how it begins; ModelError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def read_weights_hdf5(path: Path) -> Message:
    """Return the weights as a WeightsParameter, whose layers have the blobs that they own: others are empty."""
    import h5py

    message = WeightsParameter()
    try:
        with h5py.File(path) as file:
            for name, group in file["data"].items():
                layer = message.layer.add(name=name)
                for index in range(max(map(int, group), default=-1) + 1):
                    blob = layer.blobs.add()
                    if str(index) in group:
                        encode(np.asarray(group[str(index)], np.float32), blob)
    except DAMAGED as error:
        what = f"is no caffemodel, or is cut short: an HDF5 file without Caffe's ({error})"
        raise ModelError(f"{path}: {what}") from error
    return message


def write_weights_hdf5(path: Path, nets: Iterable[Message], weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Write the weights of nets that share them by name, whole or not at all; each net finds what its layers own."""
    from generator.hdf5 import creating

    owners = {p.places[0]: p.name for net in nets for phase in ("TRAIN", "TEST") for p in learnable(net, phase)}
    with replacing(path) as beside, creating(beside) as (file, _):
        data = file.create_group("data")
        for (layer, index), name in owners.items():
            data.require_group(layer)[str(index)] = weights[name]


def write_state_hdf5(
    path: Path, iteration: int, learned_net: str, history: Sequence[NDArray[np.float32]], current_step: int
) -> None:
    """Write a solver's state, whole or not at all; the arguments are those of `write_solverstate`."""
    from generator.hdf5 import creating

    with replacing(path) as beside, creating(beside) as (file, _):
        file["iter"], file["current_step"] = np.array([iteration], np.int32), np.array([current_step], np.int32)
        file["learned_net"] = np.array(learned_net, f"S{len(learned_net.encode()) + 1}")  # ended by 0, as C has it
        group = file.create_group("history")
        for index, values in enumerate(history):
            group[str(index)] = values


def read_state_hdf5(path: Path) -> tuple[int, str, list[NDArray[np.float32]], int]:
    """Return iteration, learned_net, history and current_step of a solver's state."""
    import h5py

    try:
        with h5py.File(path) as file:
            history = [np.asarray(file["history"][str(index)], np.float32) for index in range(len(file["history"]))]
            learned = np.asarray(file["learned_net"]).item().decode().rstrip("\0")
            return int(file["iter"][0]), learned, history, int(file["current_step"][0])
    except DAMAGED as error:
        what = f"is no solverstate, or is cut short: an HDF5 file without Caffe's ({error})"
        raise ModelError(f"{path}: {what}") from error
