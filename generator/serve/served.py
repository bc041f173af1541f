"""One version of a model at work: proven on a probe, answering in batches."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import ModelError
from generator.evaluate.model import Answer, Model, Query
from generator.serve.windows import Window, blobs, window
from generator.spec.blobs import INPUTS

__all__ = ["Served"]

PROBES = 8


class Served(Model):
    """A model version loaded from its folder, and tried.

    Parameters
    ----------
    folder
        NAME/VERSION of a model repository.
    int8
        See `Model`.

    Raises
    ------
    ModelError
        It cannot be loaded, differs from the hashes of its manifest, or answers a probe with anything but
        probabilities.
    """

    def __init__(self, folder: Path, *, int8: bool = False) -> None:
        _compare_with_manifest(folder)
        super().__init__(folder / "model.onnx", int8=int8)
        self.version = int(folder.name)
        self.kinds = {one.name: one.type for one in (*self._session.get_inputs(), *self._session.get_outputs())}
        self._whole = len(self.items) == self.width - 1
        self._probe()

    @property
    def label(self) -> str:
        """The model and its version, for people and metrics."""
        return f"{self.name}/{self.version}"

    def infer(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the ``outputs`` of the graph for B rows of ``inputs``; a row's do not depend on the others."""
        return self._run(outputs, inputs)

    @property
    def highest(self) -> dict[str, int]:
        """The highest id each input of ids may hold."""
        vocabularies = {"pages": len(self.pages), "items": len(self.items)}
        return {name: vocabularies[ids] for name in self.sizes if (ids := INPUTS[name].ids)}

    def window(self, query: Query) -> Window:
        """Return what the net sees of a query."""
        return window(query, self.pages, self.items, self.sizes)

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the top K items for each query, best first: what `Model.recommend` answers, for less work."""
        windows = [self.window(query) for query in queries]
        inputs = blobs(windows, self.sizes)
        if self._whole:
            item, probability = self.infer(("top_item", "top_probability"), inputs)
        else:  # the graph's TopK may name items beyond the vocabulary
            every = self.infer(("probability",), inputs)[0][:, 1 : len(self.items) + 1]
            item = np.array([_top(row, self.top_k) for row in every])
            probability, item = np.take_along_axis(every, item, axis=1), item + 1
        if not np.isfinite(probability).all():
            raise ModelError(f"{self.label}: it answers NaN, so its weights are broken")
        labels = self.items.labels
        return [
            Answer(
                tuple((labels[i - 1], p) for i, p in zip(ids, figures, strict=True)),
                unknown_pages=one.unknown_pages,
                unknown_bought=one.unknown_bought,
            )
            for one, ids, figures in zip(windows, item.tolist(), probability.tolist(), strict=True)
        ]

    def _probe(self) -> None:
        """Try an empty session, a new user, and drawn sessions."""
        random = np.random.default_rng(0)
        queries = [Query([])]
        for length in range(1, PROBES):
            pages = random.integers(0, max(len(self.pages), 1), length * 3)
            items = random.integers(0, max(len(self.items), 1), length)
            queries.append(
                Query(
                    [(self.pages.labels[page], float(page % 60)) for page in pages] if len(self.pages) else [],
                    [self.items.labels[item] for item in items] if len(self.items) else [],
                )
            )
        inputs = blobs([self.window(query) for query in queries], self.sizes)
        probability, item, top = self.infer(("probability", "top_item", "top_probability"), inputs)
        if not np.isfinite(probability).all() or (probability < 0).any():
            raise ModelError(f"{self.label}: a probe is answered with something that is no probability")
        if not np.allclose(probability.sum(axis=1), 1, atol=1e-3):
            raise ModelError(f"{self.label}: the probabilities of a probe add up to {probability.sum(axis=1)[0]:.4f}")
        if item.min() < 1 or item.max() >= self.width or (np.diff(top, axis=1) > 0).any():
            raise ModelError(f"{self.label}: the top items of a probe are no ranking of the items 1..{self.width - 1}")
        self.answer(queries)


def _top(row: NDArray[np.float32], top: int) -> NDArray[np.int64]:
    """Return the places of the ``top`` largest, largest first, of equals the first: as a stable sort of all does."""
    top = min(top, len(row))
    least = np.partition(row, len(row) - top)[len(row) - top]
    above = np.flatnonzero(row > least)
    chosen = np.concatenate([above, np.flatnonzero(row == least)[: top - len(above)]])
    return np.asarray(chosen[np.argsort(-row[chosen], kind="stable")])


def _compare_with_manifest(folder: Path) -> None:
    """Refuse a version whose files are not those it was written with; one without hashes goes unchecked."""
    file = folder / "manifest.json"
    if not file.is_file():
        return
    try:
        manifest = json.loads(file.read_bytes())
        hashes = {name: str(digest) for name, digest in manifest.get("sha256", {}).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{file}: is no manifest of drn: {error}") from error
    for name in ("model.onnx", "pages.txt", "items.txt"):
        if name in hashes and (folder / name).is_file():
            with (folder / name).open("rb") as stream:
                digest = hashlib.sha256(stream.read()).hexdigest()
            if digest != hashes[name]:
                raise ModelError(f"{folder / name}: is not the file its manifest.json names: damaged or half copied")
