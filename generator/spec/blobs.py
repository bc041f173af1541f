"""The blobs of the nets: name, kind and size, the same in prototxt, HDF5 and ONNX, and how large a spec may ask.

Whatever reads, writes, checks or keeps blobs takes them from here: data folders, graphs, training, inference, stores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "BLOBS",
    "DRAWN",
    "INPUTS",
    "MAX_BOUGHT",
    "MAX_HISTORY",
    "MAX_SEEN",
    "MAX_SLOTS",
    "MAX_WINDOW",
    "Blob",
    "Sizes",
]

# What `rnn.window`, `rnn.history`, `fnn.bought`, `head.mix.pages` and `head.slots` may be at most.
MAX_WINDOW = 256
MAX_HISTORY = 4096
MAX_BOUGHT = 4096
MAX_SEEN = 256
MAX_SLOTS = 256

# The inputs of a gradient graph that are drawn for each batch, dropout's masks and the candidates of a sampled softmax.
DRAWN = (
    *("visit_dropout", "top_dropout"),
    *("candidate", "candidate_correction"),
)


class Sizes(Protocol):
    """What the sizes of blobs follow from, 0 for what the net does not read; a `Spec` is one."""

    @property
    def window(self) -> int:
        """States kept, n."""

    @property
    def history(self) -> int:
        """States of the history, H."""

    @property
    def seen(self) -> int:
        """Pages that the mixture reads, S."""

    @property
    def bought(self) -> int:
        """Purchases kept, K."""

    @property
    def every(self) -> bool:
        """Whether every state has a label of its own."""


@dataclass(frozen=True)
class Blob:
    """One blob.

    Attributes
    ----------
    name
        Its name in every artefact.
    ids
        The field of the spec that its ids go up to, ``pages`` or ``items``; None: it holds numbers, not ids.
    columns
        Which of `Sizes` gives its columns.
    field
        The field of the spec to blame where its size does not fit.

    Examples
    --------
    >>> from generator.spec.blobs import BLOBS
    >>> BLOBS["history_weight"].dtype
    'float32'
    """

    name: str
    ids: Literal["pages", "items"] | None
    columns: Literal["window", "history", "bought", "seen"]
    field: str

    @property
    def dtype(self) -> Literal["int64", "float32"]:
        """Type of its numbers in ONNX; data folders hold ids as int32."""
        return "int64" if self.ids else "float32"

    @property
    def tensor_type(self) -> Literal["tensor(int64)", "tensor(float)"]:
        """The same in onnxruntime's words."""
        return "tensor(int64)" if self.ids else "tensor(float)"

    @property
    def trained(self) -> bool:
        """Whether training reads it: what is mixed with the net's probabilities is fitted after it."""
        return self.columns != "seen"

    def size(self, sizes: Sizes) -> int:
        """Return its columns; 0 where the net does not read it."""
        found: int = getattr(sizes, self.columns)
        return found

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """Return its shape behind the batch axis: (columns,), or () for one label a row."""
        return () if self.name == "label" and not sizes.every else (self.size(sizes),)


INPUTS: Mapping[str, Blob] = {
    blob.name: blob
    for blob in (
        Blob("page", "pages", "window", "rnn.window"),
        Blob("history_page", "pages", "history", "rnn.history"),
        Blob("history_weight", None, "history", "rnn.history"),
        Blob("bought", "items", "bought", "fnn.bought"),
        Blob("bought_weight", None, "bought", "fnn.bought"),
        Blob("seen_page", "pages", "seen", "head.mix"),
        Blob("seen_dwell", None, "seen", "head.mix"),
    )
}
BLOBS: Mapping[str, Blob] = {**INPUTS, "label": Blob("label", "items", "window", "loss")}
