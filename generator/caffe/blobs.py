"""A BlobProto's numbers to and from numpy, and the two binary files that hold blobs read and written whole."""

import contextlib
import math
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from generator.caffe.schema import Message
from generator.errors import ModelError
from generator.files import write_bytes

__all__ = ["UNREADABLE", "decode", "encode", "has_field", "read_message", "write_message"]

# What protobuf raises on bytes that are no message; the second where it is pure Python, as version 3 may be.
UNREADABLE = (DecodeError, UnicodeDecodeError)

# protobuf, and so Caffe, reads no message of 2 GiB or more.
LIMIT = 2**31 - 1
# BlobProto.raw_data of NVIDIA's Caffe, which Caffe's own format has not.
_RAW_DATA = 12


def encode(values: NDArray[np.float32], blob: Message) -> None:
    """Put an array into a BlobProto as little-endian float32, with its shape, as Caffe's `Blob::ToProto` does."""
    blob.shape.dim.extend(values.shape)
    blob.data = values.astype("<f4", copy=False).tobytes()


def decode(blob: Message, shape: tuple[int, ...], where: str) -> NDArray[np.float32]:
    """Return a BlobProto's numbers as a new float32 array of `shape`; `where` names the blob in messages.

    Doubles are narrowed. The old four-dimensional shape (num, channels, height, width) matches `shape` with ones before
    it, as in Caffe's `Blob::ShapeEquals`.

    Raises
    ------
    ModelError
        The blob has another shape, or not as many numbers as its shape says; or holds them in another format.
    """
    legacy = ("num", "channels", "height", "width")
    if any(blob.HasField(field) for field in legacy):
        seen = tuple(getattr(blob, field) for field in legacy)
        right = (1,) * (4 - len(shape)) + shape
    else:
        seen, right = tuple(blob.shape.dim), shape
    if seen != right:
        raise ModelError(f"{where} has shape {_text(seen)}, not {_text(shape)}")
    if not blob.data and not blob.double_data and has_field(blob.SerializeToString(), _RAW_DATA):
        raise ModelError(
            f"{where} holds raw_data, as NVIDIA's Caffe writes it; write the file again with "
            "store_blobs_in_old_format: true in its solver"
        )
    data, kind = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    held, needed = len(data) / np.dtype(kind).itemsize, math.prod(shape)
    if held != needed:
        raise ModelError(f"{where} holds {held:g} numbers, not the {needed} of shape {_text(shape)}")
    return np.frombuffer(data, kind).astype(np.float32).reshape(shape)


def _text(shape: tuple[int, ...]) -> str:
    """Return a shape as ``20x8``."""
    return "x".join(map(str, shape)) or "scalar"


def has_field(message: bytes, number: int) -> bool:
    """Whether a serialised protobuf message holds a field, known or not."""
    at = 0
    with contextlib.suppress(IndexError, KeyError):  # of a message that is cut short
        while at < len(message):
            tag, at = _varint(message, at)
            if tag >> 3 == number:
                return True
            value, after = _varint(message, at)
            at = {0: after, 1: at + 8, 2: after + value, 5: at + 4}[tag & 7]
    return False


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place of a message, in groups of 7 bits, and the place after it."""
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 0x80:
            return value, at


def read_message(path: Path, message: Message, kind: str) -> Message:
    """Parse the binary file at `path` into `message`; `kind` (caffemodel, solverstate) is for messages.

    Raises
    ------
    ModelError
        The file cannot be read, is empty, cut short or no such message.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if not content:
        raise ModelError(f"{path}: is empty, no {kind}")
    try:
        message.ParseFromString(content)
    except UNREADABLE as error:
        raise ModelError(f"{path}: is no {kind}, or is cut short") from error
    return message


def write_message(path: Path, message: Message, size: int, kind: str) -> None:
    """Write `message`, whose blobs take about `size` bytes, to `path`, whole or not at all.

    Raises
    ------
    ModelError
        The message would be larger than protobuf and Caffe can read (2 GiB).
    """
    if size + 2**20 > LIMIT:
        raise ModelError(
            f"{path}: a {kind} of {size:,} bytes is more than Caffe can read ({LIMIT:,} bytes); "
            "take narrower or shorter tables"
        )
    write_bytes(path, message.SerializeToString())
