"""What deploy.portable.prototxt reads, made of sessions: vectors in place of ids, masks as wide as the layers."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.caffe.portable import input_sizes
from generator.caffe.prototxt import read_net
from generator.codegen.net import net_of
from generator.data.sessions.slots import Slots
from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import ModelError
from generator.mixture.caffe import caffe_inputs
from generator.model.query import Query
from generator.model.windows import input_blobs, window
from generator.spec import load_spec

__all__ = ["MIXTURE", "TABLES", "PortableInputs", "portable_inputs"]

Array = NDArray[np.float32]

# The tables that a portable net leaves out, where its catalogue is too large for one-hot vectors.
TABLES = "tables.npz"
# The tables and numbers of a mixture, by their names in model.onnx.
MIXTURE = "mixture.npz"
# The blobs of ids and of weights of each bag, by the names of its input: as a vector, and as the sum of rows.
_BAGS = {
    "history_page_bag": ("history_page", "history_weight"),
    "history": ("history_page", "history_weight"),
    "bought_bag": ("bought", "bought_weight"),
    "bag": ("bought", "bought_weight"),
}


class PortableInputs:
    """The inputs of a folder that ``drn export RUN --caffe`` wrote, for any reader of Caffe's files.

    Parameters
    ----------
    folder
        It, with deploy.portable.prototxt, spec.yaml and the vocabularies.

    Attributes
    ----------
    pages, items
        Vocabulary of each; column k of ``probability``, or of ``mixed``, is item ``items.labels[k - 1]``.
    output
        The blob to ask for: ``probability``, or, of a net with a mixture, ``mixed``, which divided by its sum is the
        probability; the columns after those of the items are the slots of the session.
    sizes
        Values of each input of the net for one session, by name.

    Raises
    ------
    ModelError, SpecError, DataError
        A file is missing or does not hold.

    Examples
    --------
    >>> inputs = PortableInputs("caffe")  # doctest: +SKIP
    >>> blobs = inputs([Query([("home", 4.0), ("item-3", 31.0)])])  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        net = read_net(folder / "deploy.portable.prototxt")
        self.sizes, self.output = input_sizes(net), str(net.layer[-1].top[0])
        spec = load_spec(folder / "spec.yaml")
        self._items, self._count = spec.items, spec.slots
        self._windows = dict(net_of(spec).blobs)
        self._slots = Slots(spec.pages, spec.slots) if spec.slots else None
        self.pages, self.items = (Vocabulary.read(folder / name) for name in ("pages.txt", "items.txt"))
        self._tables, self._mixture = (_arrays(folder / name) for name in (TABLES, MIXTURE))

    def __call__(self, queries: Sequence[Query]) -> dict[str, Array]:
        """Return the inputs for B queries by name, float32 (B, size) each; the net as written reads B = 1."""
        windows = [window(query, self.pages, self.items, self._windows, self._slots) for query in queries]
        blobs = input_blobs(windows, self._windows)
        if self._mixture:
            seen = blobs["seen_page"], blobs["seen_dwell"]
            blobs |= caffe_inputs(self._mixture, *seen, self._items, self._count)
        return portable_inputs(self.sizes, blobs, self._tables)


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file; none where it is absent."""
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def portable_inputs(
    sizes: Mapping[str, int], blobs: Mapping[str, NDArray[Any]], tables: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the inputs of a portable net from the blobs of the others.

    Parameters
    ----------
    sizes
        Of the inputs by name (`input_sizes`).
    blobs
        What deploy.prototxt reads, what it has of a mixture included, (B, size) each.
    tables
        ``page_embedding`` and ``bought_embedding``, as far as the net reads rows of them.

    Raises
    ------
    ModelError
        The net has an input that drn's have not.
    """
    return {name: np.ascontiguousarray(_input(name, size, blobs, tables), np.float32) for name, size in sizes.items()}


def _input(name: str, size: int, blobs: Mapping[str, NDArray[Any]], tables: Mapping[str, Array]) -> NDArray[Any]:
    if match := re.fullmatch(r"page_t(\d+)_onehot", name):
        return _bag(blobs["page"][:, [int(match[1])]], None, size)
    if match := re.fullmatch(r"visit_t(\d+)", name):
        return np.asarray(tables["page_embedding"][blobs["page"][:, int(match[1])]])
    if match := re.fullmatch(r"mask_(?:t(\d+)|history)(?:_\d+)?", name):
        ids = blobs["page"][:, int(match[1])] if match[1] else blobs["history_page"][:, -1]
        return np.repeat(ids[:, None] > 0, size, axis=1)
    if name in _BAGS:
        ids, weights = (blobs[blob] for blob in _BAGS[name])
        if name.endswith("_bag"):
            return _bag(ids, weights, size)
        table = tables["bought_embedding" if name == "bag" else "page_embedding"]
        return np.asarray((table[ids] * weights[..., None]).sum(axis=1))
    if name in blobs:
        return blobs[name]
    raise ModelError(f"input {name} is none that drn makes; take deploy.portable.prototxt as drn export wrote it")


def _bag(ids: NDArray[Any], weights: NDArray[Any] | None, size: int) -> Array:
    """Return the sums of the weights by id, 1..size, of each row of ids; (B, size)."""
    found = np.zeros((len(ids), size + 1), np.float32)
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    np.add.at(found, (rows, ids.reshape(-1)), 1 if weights is None else weights.reshape(-1))
    return found[:, 1:]
