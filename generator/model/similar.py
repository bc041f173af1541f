"""Items, or pages, that a trained net has much the same row for."""

import difflib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from generator.caffe.weights_file import check_finite
from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import DataError, ModelError
from generator.model.model import Model

__all__ = ["Kind", "Similar"]

Kind = Literal["items", "pages"]
# The tables whose rows an item's score is a product with: those of a page, where items are scored by its table.
OUTPUTS = ("output_rnn_weight", "output_fnn_weight")
PAGES = "page_embedding"
EDGE, CLOSE = 2, 20_000  # letters that an id nearly right begins or ends with; ids compared letter by letter


class Similar:
    """The rows of a net, to be compared by the cosine of the angle between them.

    An item's row is what the net's state is multiplied by for its score, of a combined net both rows one after the
    other; a page's is what the net reads of a visit to it. A head that is `tied` has one for both. The bias, the
    mixture and the trend are no part of it: these say how often an item is wanted, not after what. Slots share one row,
    which is of no one page.

    Parameters
    ----------
    model
        A trained model.
    kind
        ``items`` or ``pages``.

    Raises
    ------
    ModelError
        The model holds no such table: it reads no pages, or was not written by drn; its numbers are not finite.

    Examples
    --------
    >>> Similar(Model("runs/shop")).nearest("item-15", 2)  # doctest: +SKIP
    (('item-16', 0.93), ('item-14', 0.88))
    """

    def __init__(self, model: Model, kind: Kind = "items") -> None:
        self._vocabulary = model.items if kind == "items" else model.pages
        self._kind, self._name = kind, model.name
        table = _rows(model, kind)
        check_finite(model.file, {f"the table of {kind}": table})
        rows = table[1 : len(self._vocabulary) + 1]
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        self._rows = rows / np.where(length > 0, length, 1)

    def nearest(self, label: str, count: int) -> tuple[tuple[str, float], ...]:
        """Return the ``count`` others whose rows are most like that of ``label``, each with the cosine, best first.

        Raises
        ------
        DataError
            The model does not know it, or ``count`` is less than 1.
        """
        if count < 1:
            raise DataError(f"the {count} most similar {self._kind} were asked for: at least 1")
        (identity,) = self._vocabulary.ids([label]).tolist()
        if not identity:
            raise DataError(
                f"{self._name} knows no {self._kind[:-1]} {label!r}; {_hint(label, self._vocabulary, self._kind)}"
            )
        cosine = self._rows @ self._rows[identity - 1]
        order = np.argsort(-cosine, kind="stable")
        order = order[order != identity - 1][:count]
        return tuple((self._vocabulary.label(place + 1), float(cosine[place])) for place in order.tolist())


def _rows(model: Model, kind: Kind) -> NDArray[np.float32]:
    """Return the rows of all ids, that of "none" first, (N+1 or more, width)."""
    import onnx

    held = {each.name: each for each in onnx.load(model.file).graph.initializer}
    names = [PAGES] if kind == "pages" else [name for name in OUTPUTS if name in held]
    if kind == "items" and "page" in model.sizes and OUTPUTS[0] not in held:
        names = [PAGES, *names]  # a tied head
    tables = [onnx.numpy_helper.to_array(held[name]) for name in names if name in held]
    if not tables:
        raise ModelError(
            f"{model.file}: holds no table of {kind}: "
            + ("it reads none" if kind == "pages" else "export it again by drn train")
        )
    # A tied table may have a row for the slots after those of the items.
    found: NDArray[np.float32] = np.concatenate([table[: min(map(len, tables))] for table in tables], axis=1)
    return found


def _hint(label: str, vocabulary: Vocabulary, kind: Kind) -> str:
    """Return which id may be meant: the one that is written most alike, or where they all are."""
    edges = label[:EDGE].lower(), label[-EDGE:].lower()
    alike = [
        each
        for each in vocabulary.labels
        if abs(len(each) - len(label)) <= EDGE and (each[:EDGE].lower() == edges[0] or each[-EDGE:].lower() == edges[1])
    ]
    found = difflib.get_close_matches(label, alike[:CLOSE], 1)
    return f"did you mean {found[0]!r}?" if found else f"{kind}.txt beside its model.onnx lists them"
