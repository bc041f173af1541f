"""A trained model: its inference graph and its vocabularies, asked in original ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.slots import Slots
from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import DataError, ModelError
from generator.model.filter import Filter
from generator.model.find import find_model, version_number
from generator.model.graph import InferenceGraph
from generator.model.query import Answer, Query
from generator.model.windows import Window, input_blobs, window
from generator.spec.blobs import INPUTS

__all__ = ["Model"]

Ranked = tuple[list[int], list[float]]  # ids of items and their probabilities, best first


class Model:
    """A trained net with its vocabularies, ready to recommend and to score.

    Parameters
    ----------
    path
        A run, a model repository, a model of one, a version of one, or a model.onnx, as `find_model` takes it.
    threads
        Of onnxruntime within an operator; 0 takes all cores. One is best for single requests. `scores` takes one
        whatever their number: for more, call it in several threads, with some of the rows in each.
    int8
        Whether the output layer multiplies in 8 bits, for speed where items are many; its last digits suffer.
    resident
        Whether it stays for long, as in a server: see `InferenceGraph`.
    index
        Whether `recommend` and `scores` look at some items alone, those that an `ItemIndex` finds: for speed where
        items are very many. Its probabilities are then estimates, and those of other items 0 in `scores`.

    Attributes
    ----------
    file
        The model.onnx.
    name
        The model's name in its repository, or the file's name outside one.
    pages, items
        Vocabulary of each.
    sizes
        Columns of each input blob: n of ``page``, H of ``history_page``, K of ``bought``; absent when not read.
    kinds
        ONNX type of each input and output of the graph.
    width
        The columns of the graph's ``probability``: N+1 and the slots.
    slots
        The ids of the pages that the vocabulary lacks; None: such pages are left out.
    top_k
        How many items the graph ranks by itself.
    index
        The `ItemIndex`; None: all items are scored.

    Raises
    ------
    ModelError
        The file is missing, broken, or is no model of drn.

    Examples
    --------
    >>> model = Model("runs/shop")  # doctest: +SKIP
    >>> (answer,) = model.recommend([Query([("home", 4.0), ("item-3", 31.0)])], top=3)  # doctest: +SKIP
    >>> answer  # doctest: +SKIP
    Answer(item-3 0.2112, item-8 0.0734, item-1 0.0519)
    """

    def __init__(
        self,
        path: str | Path,
        threads: int = 1,
        *,
        int8: bool = False,
        index: bool = False,
        resident: bool = False,
    ) -> None:
        self.file = find_model(path)
        version = self.file.parent
        in_repository = version_number(version.name) is not None and self.file.name == "model.onnx"
        self.name = version.parent.name if in_repository else self.file.stem
        self._graph = InferenceGraph(self.file, self.name, threads, int8=int8, resident=resident)
        self.sizes, self.kinds = self._graph.sizes, self._graph.kinds
        self.width, self.top_k = self._graph.width, self._graph.top_k
        self.pages = self._vocabulary("pages.txt")
        self.items = self._vocabulary("items.txt")
        self._largest_item = self.width - 1 - self._graph.slots
        self.slots = Slots(self._largest_item, self._graph.slots) if self._graph.slots else None
        if len(self.items) > self._largest_item:
            raise ModelError(
                f"{version / 'items.txt'}: it lists {len(self.items)} items but model.onnx knows {self._largest_item}; "
                "the two are not of one training, export the model again by drn train"
            )

        self.index = self._graph.indexed() if index else None

    def __repr__(self) -> str:
        """Return the file, and how many pages and items the model knows and ranks."""
        return f"Model({str(self.file)!r}: {len(self.pages)} pages, {len(self.items)} items, top_k {self.top_k})"

    def _vocabulary(self, name: str) -> Vocabulary:
        file = self.file.parent / name
        if not file.is_file():
            raise ModelError(f"{file}: it is missing; model.onnx needs the {name} of its data folder beside it")
        return Vocabulary.read(file)

    @property
    def highest(self) -> dict[str, int]:
        """The highest id that each input of ids may hold."""
        vocabularies = {"pages": len(self.pages), "items": len(self.items)}
        found = {name: vocabularies[ids] for name in self.sizes if (ids := INPUTS[name].ids)}
        if self.slots:
            rows = {"seen_page": self.slots.after + self.slots.count}
            found |= {name: rows.get(name, self.slots.after + 1) for name in found if INPUTS[name].ids == "pages"}
        return found

    def infer(self, outputs: Sequence[str], blobs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return ``outputs`` of the graph for B rows of ``blobs``: see `InferenceGraph.run`."""
        return self._graph.run(outputs, blobs)

    def scores(self, blobs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the probability of each item, (B, N+1) float32; any number of threads may call it.

        Parameters
        ----------
        blobs
            At least the inputs of the net, (B, size) each; other blobs are not read.

        Raises
        ------
        DataError
            A blob is missing or of another size.
        ModelError
            onnxruntime fails, as on an id above M.
        """
        if self.index is None:
            return self._graph.probabilities(blobs)
        found = self._graph.near(self.index, blobs)
        scores = np.zeros((len(found), self.width), np.float32)
        for row, (ids, probability) in zip(scores, found, strict=True):
            row[ids] = probability
        return scores

    def window(self, query: Query) -> Window:
        """Return what of ``query`` the net sees."""
        return window(query, self.pages, self.items, self.sizes, self.slots)

    def recommend(
        self, queries: Sequence[Query], top: int | None = None, filters: Sequence[Sequence[Filter]] | None = None
    ) -> list[Answer]:
        """Return the ``top`` items for each query, best first; ``top_k`` of the model by default.

        With ``filters``, some for each query, they are the best of the items that all of them allow, as many as there
        are; the probabilities are those of all items, and so do not add up to 1 over the ones allowed.

        Up to ``top_k`` they come from the graph's own TopK, beyond it from all probabilities. A page or a purchase
        that the vocabulary lacks is left out as if it had not been, and counted; but where the net has slots, the first
        such pages are not: they are recommended as any other. An answer does not depend on the queries beside it.

        Raises
        ------
        DataError
            ``top`` is less than 1.
        ModelError
            The model gives a probability that is no number.
        """
        if top is not None and top < 1:
            raise DataError(f"the {top} best items were asked for: at least 1")
        if not queries:
            return []
        windows = [self.window(query) for query in queries]
        blobs, top = input_blobs(windows, self.sizes), min(top or self.top_k, len(self.items))
        chosen = filters or [()] * len(windows)
        best = self._near(blobs, windows, chosen, top) if self.index else {}
        if left := [row for row in range(len(windows)) if row not in best]:
            rows = {name: values[left] for name, values in blobs.items()}
            exact = self._exact(rows, [windows[row] for row in left], filters and [chosen[row] for row in left], top)
            best |= zip(left, exact, strict=True)
        return [
            Answer(
                tuple(zip(seen.labels(ids, self.items), figures, strict=True)),
                unknown_pages=seen.unknown_pages,
                unknown_bought=seen.unknown_bought,
            )
            for seen, (ids, figures) in ((seen, best[row]) for row, seen in enumerate(windows))
        ]

    def _near(
        self,
        blobs: Mapping[str, NDArray[Any]],
        windows: Sequence[Window],
        filters: Sequence[Sequence[Filter]],
        top: int,
    ) -> dict[int, Ranked]:
        """Return by row ids and probabilities of the best allowed items near the session, where those are enough."""
        best: dict[int, Ranked] = {}
        for row, (ids, probability) in enumerate(self._graph.near(self.index, blobs) if self.index else ()):
            self._refuse_nan(probability)
            allowed = self._are_allowed(ids, windows[row], filters[row])
            if np.count_nonzero(allowed) >= top:
                places = np.flatnonzero(allowed)
                places = places[_largest(probability[places], top)]
                best[row] = ids[places].tolist(), probability[places].tolist()
        return best

    def _are_allowed(self, ids: NDArray[np.int64], seen: Window, filters: Sequence[Filter]) -> NDArray[np.bool_]:
        """Return which ids are of items with an original id that all filters allow."""
        known, slots = (ids > 0) & (ids <= len(self.items)), ids > self._largest_item
        found = np.zeros(len(ids), np.bool_)
        found[known] = self._items_allowed(ids[known] - 1, filters)
        found[slots] = _slots_allowed(ids[slots] - self._largest_item - 1, seen, filters)
        return found

    def _items_allowed(self, places: slice | NDArray[np.int64], filters: Sequence[Filter]) -> NDArray[np.bool_]:
        """Return which items of the vocabulary, of those at ``places`` from 0, all filters allow."""
        found = np.broadcast_to(np.True_, len(self.items))[places].copy()  # as few as are asked for
        for one in filters:
            found &= one.mask(self.items)[places]
        return found

    def _exact(
        self,
        blobs: Mapping[str, NDArray[Any]],
        windows: Sequence[Window],
        filters: Sequence[Sequence[Filter]] | None,
        top: int,
    ) -> list[Ranked]:
        """Return for each row ids and probabilities of the best of all items that are allowed."""
        if filters is None:
            return list(zip(*self._best(blobs, top), strict=True))
        every = self._probabilities(blobs)
        return [self._best_allowed(*each, top) for each in zip(every, windows, filters, strict=True)]

    def _best_allowed(
        self, probability: NDArray[np.float32], seen: Window, filters: Sequence[Filter], top: int
    ) -> Ranked:
        """Return ids and probabilities of the best items that all filters allow, of one row of `_probabilities`."""
        slots = np.arange(len(probability) - len(self.items))
        allowed = [self._items_allowed(slice(None), filters), _slots_allowed(slots, seen, filters)]
        places = np.flatnonzero(np.concatenate(allowed))
        places = places[_largest(probability[places], min(top, len(places)))]
        return self._ids(places).tolist(), probability[places].tolist()

    def _probabilities(self, blobs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the probability of each item that has an original id, and of each slot, (B, places)."""
        every = self.infer(("probability",), blobs)[0]
        found = np.concatenate([every[:, 1 : len(self.items) + 1], every[:, self._largest_item + 1 :]], axis=1)
        self._refuse_nan(found)
        return found

    def _ids(self, places: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
        """Return the ids of places of `_probabilities`."""
        gap = self._largest_item - len(self.items)
        return np.asarray(np.where(places < len(self.items), places, places + gap) + 1)

    def _refuse_nan(self, probability: NDArray[np.float32]) -> None:
        if not np.isfinite(probability).all():
            raise ModelError(f"{self.file}: it answers NaN, so its weights are broken: train again, smaller base_lr")

    def _best(self, blobs: Mapping[str, NDArray[Any]], top: int) -> tuple[list[list[int]], list[list[float]]]:
        """Return ids and probabilities of the ``top`` items of each row, best first."""
        # The graph's TopK may name items beyond a vocabulary shorter than N, which have no original id.
        if top <= self.top_k and len(self.items) == self._largest_item:
            item, probability = self.infer(("top_item", "top_probability"), blobs)
            self._refuse_nan(probability)
            return item[:, :top].tolist(), probability[:, :top].tolist()
        probability = self._probabilities(blobs)
        places = np.array([_largest(row, top) for row in probability])
        return self._ids(places).tolist(), np.take_along_axis(probability, places, axis=1).tolist()


def _slots_allowed(slots: NDArray[np.int64], seen: Window, filters: Sequence[Filter]) -> NDArray[np.bool_]:
    """Return which slots, numbered from 0, are of a page of the session that all filters allow."""
    labels = [seen.unseen[slot] if slot < len(seen.unseen) else None for slot in slots.tolist()]
    return np.array([label is not None and all(one.allows(label) for one in filters) for label in labels], np.bool_)


def _largest(row: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the places of the ``count`` largest, largest first, of equals the first: as a stable sort of all does."""
    if count >= len(row):
        return np.argsort(-row, kind="stable")
    least = np.partition(row, len(row) - count)[len(row) - count]
    above = np.flatnonzero(row > least)
    chosen = np.concatenate([above, np.flatnonzero(row == least)[: count - len(above)]])
    return np.asarray(chosen[np.argsort(-row[chosen], kind="stable")])
