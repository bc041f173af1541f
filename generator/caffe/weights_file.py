"""A file of weights as Caffe writes them: `.caffemodel`, or `.caffemodel.h5` of `snapshot_format: HDF5`."""

from pathlib import Path

import numpy as np

from generator.caffe.blobs import encode, has_field, read_message
from generator.caffe.schema import Message, WeightsParameter
from generator.errors import ModelError

__all__ = ["HDF5", "read_weights"]

HDF5 = b"\x89HDF\r\n\x1a\n"
# NetParameter.layers, of nets before LayerParameter.
_V1_LAYERS = 2


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
    try:
        with path.open("rb") as stream:
            head = stream.read(len(HDF5))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if head == HDF5:
        return _of_hdf5(path), True
    message = read_message(path, WeightsParameter(), "caffemodel")
    if not message.layer and has_field(path.read_bytes(), _V1_LAYERS):
        raise ModelError(
            f"{path}: has V1 layers, as Caffe wrote them before 2015; convert it by Caffe's own "
            "upgrade_net_proto_binary OLD NEW"
        )
    return message, False


def _of_hdf5(path: Path) -> Message:
    """Read Caffe's HDF5 form: a group ``data``, in it one a layer, in that a dataset a blob, named by its index."""
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
    # h5py raises these for a file that is cut short, for one without the group, and for other names in it.
    except (OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{path}: is no caffemodel, or is cut short: an HDF5 file without Caffe's ({error})"
        ) from error
    return message
