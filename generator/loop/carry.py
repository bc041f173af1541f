"""Weights carried over to another vocabulary: each label keeps its rows, a new one starts afresh."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import ModelError
from generator.files import replacing
from generator.spec.schema import Spec
from generator.training.run.generated import Generated

__all__ = ["carry", "keep"]

WEIGHTS, PAGES, ITEMS = "weights.caffemodel", "pages.txt", "items.txt"

Array = NDArray[np.float32]


def keep(folder: Path, weights: Path, data: Path) -> None:
    """Keep ``weights``, a .caffemodel, with the vocabularies of ``data``, for `carry`."""
    for source, name in ((data / PAGES, PAGES), (data / ITEMS, ITEMS), (weights, WEIGHTS)):
        with replacing(folder / name) as beside:
            shutil.copyfile(source, beside)


def carry(folder: Path, spec: Spec, data: Path, target: Path) -> Path | None:
    """Write the weights kept in ``folder`` to ``target``, their rows in the order of the vocabularies of ``data``.

    Returns
    -------
    Path or None
        ``target``; None if nothing is kept, or if it is of another net, so that training starts afresh.
    """
    if not (folder / WEIGHTS).is_file():
        return None
    made = Generated.of(spec)
    try:
        weights: Mapping[str, Array] = read_caffemodel(folder / WEIGHTS, made.net, made.shapes)
    except ModelError:
        return None
    before, now = ({name: Vocabulary.read(place / name) for name in (PAGES, ITEMS)} for place in (folder, data))
    fresh = made.fresh()
    moved = {name: _moved(name, spec, values, fresh[name], before, now) for name, values in weights.items()}
    write_caffemodel(target, made.net, moved, also=[made.deploy])
    return target


def _moved(
    name: str,
    spec: Spec,
    values: Array,
    fresh: Array,
    before: Mapping[str, Vocabulary],
    now: Mapping[str, Vocabulary],
) -> Array:
    """Return a parameter with the rows of each label at its new id; one that has no row a label stays as it is."""
    if name == "page_embedding":
        which = PAGES
    elif name.startswith(("bought_embedding", "output_")) and len(values) > spec.items:
        which = ITEMS
    else:
        return values
    found = fresh.copy()
    found[0], after = values[0], max(spec.items, spec.pages) + 1
    found[after:] = values[after:]  # the row of slots, where there is one
    ids = before[which].ids(now[which].labels)
    known = np.flatnonzero(ids)
    found[known + 1] = values[ids[known]]
    return found
