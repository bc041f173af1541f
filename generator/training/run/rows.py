"""The rows a net is trained and tested on: read from a split, and cut into batches as the spec says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.codegen.net import net_of
from generator.data.stages.write import rows_in_windows
from generator.data.store.split import Split
from generator.data.windows import row_counts
from generator.errors import DataError
from generator.mixture.tables import age_of
from generator.spec.blobs import BLOBS, Blob
from generator.spec.schema import Spec
from generator.training.engine.batches import Batches, Dropout, Hiding, Order
from generator.training.engine.candidates import SampledItems

__all__ = [
    "candidates_of",
    "dropout_of",
    "fits",
    "leaves_newest",
    "load_split",
    "load_training",
    "newest_sessions",
    "rows_at_a_time",
    "training_batches",
]

CELLS = 2**20  # scores of the net held at a time
# The mixture is fitted to so many sessions of train.h5, the newest, where none are held out: to a share within bounds.
HELD_OUT, LEAST, MOST = 500, 0.1, 0.3


def training_batches(
    spec: Spec,
    rows: Mapping[str, npt.NDArray[Any]],
    *,
    order: Order,
    tables: Sequence[str],
    worth: npt.NDArray[np.float64] | None = None,
) -> Batches:
    """Return the training batches of ``spec``: the same wherever they are made.

    Parameters
    ----------
    rows
        What `load_split` or `load_training` read.
    order
        ``shuffle`` or ``file``.
    tables
        The parameters that are updated row by row.
    worth
        How often each row comes in order ``shuffle``, (R,); None: all alike.
    """
    return Batches(
        rows,
        spec.solver.batch_size,
        order=order,
        seed=spec.solver.random_seed,
        tables=tables,
        tied=spec.head.tied,
        dropout=dropout_of(spec),
        candidates=candidates_of(spec, rows["label"]),
        hiding=Hiding(spec.pages + 1, spec.solver.random_seed) if spec.slots and order == "shuffle" else None,
        worth=worth,
    )


def dropout_of(spec: Spec) -> Dropout:
    """Return the masks of the net: of the visits (B·n, a1), and of the states the output reads."""
    ratio = spec.head.dropout
    if not (ratio and spec.rnn and spec.has_rnn):
        return Dropout()
    visits = spec.window * spec.solver.batch_size
    tops = visits if spec.loss == "every" else spec.solver.batch_size
    shapes = {"visit_dropout": (visits, spec.rnn.widths[0]), "top_dropout": (tops, spec.rnn.widths[-1])}
    return Dropout(ratio, shapes, spec.solver.random_seed)


def candidates_of(spec: Spec, label: npt.NDArray[Any]) -> SampledItems | None:
    """Return the candidates of ``solver.sampled``, by the labels of the training rows; None: all items are."""
    sampled, solver = spec.solver.sampled, spec.solver
    if sampled is None:
        return None
    return SampledItems(
        label,
        spec.items,
        size=net_of(spec).candidates,
        alpha=sampled.alpha,
        seed=solver.random_seed,
    )


def load_split(path: Path, spec: Spec) -> dict[str, npt.NDArray[Any]]:
    """Read the blobs that training the net of ``spec`` takes, and ``label``, of an HDF5 split into memory.

    Parameters
    ----------
    path
        ``train.h5``, ``valid.h5`` or ``test.h5`` as `drn sessions` writes them. Rows cut for other windows than the
        spec's are made anew from the sessions the file holds.
    spec
        The spec; says which blobs, how wide, and the largest id of each.

    Returns
    -------
    dict
        page (R, n), history_page (R, H), bought (R, K), label (R,) or (R, n) as int32; history_weight (R, H) and
        bought_weight (R, K) as float32; those of size 0 are absent.

    Raises
    ------
    DataError
        If the file or a blob is absent, or a shape or an id does not fit the spec.
    """
    with Split(path) as split:
        if not split.rows:
            raise DataError(f"{path}: holds no rows to train or test with")
        anew = rows_in_windows(path, spec) if split.has_sessions and not _fits(split, spec) else None
        return {name: _blob(split, blob, spec, anew) for name, blob in _wanted(spec).items()}


def load_training(
    data: Path, spec: Spec, *, fitted: bool
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.float64] | None]:
    """Read the rows to train on: all of train.h5, but those of the newest sessions where a mixture is fitted to them.

    Parameters
    ----------
    data
        The data folder.
    spec
        As for `load_split`.
    fitted
        Whether the mixture is fitted already, so that no rows are needed for it.

    Returns
    -------
    tuple
        The blobs as of `load_split`; and by ``solver.recency`` how often each row comes, (R,), None: all alike.
    """
    path, recency = data / "train.h5", spec.solver.recency
    rows, kept, worth = load_split(path, spec), None, None
    held_out = leaves_newest(data, spec, fitted=fitted)
    if not held_out and recency is None:
        return rows, None
    with Split(path) as split:
        sessions, session = split.sessions(), split.index("session", 0, split.rows)
        if not _fits(split, spec):  # the rows are those made anew
            session = np.repeat(np.arange(len(sessions)), row_counts(sessions, spec.window, spec.loss))
    start = sessions.start
    if recency is not None and not np.isnan(start).any():
        worth = 0.5 ** (age_of(start)[session] / recency)
    if held_out:
        kept = ~newest_sessions(start)[session]
        if not kept.any() or kept.all():
            raise DataError(f"{path}: holds too few sessions to fit head.mix to the newest of them; give a valid.h5")
        rows = {name: values[kept] for name, values in rows.items()}
        worth = None if worth is None else worth[kept]
    return rows, worth


def rows_at_a_time(spec: Spec, states: int = 1) -> int:
    """Return how many rows, each scored at ``states``, are to be scored together, so that memory stays small."""
    return max(1, CELLS // (states * (spec.items + 1)))


def leaves_newest(data: Path, spec: Spec, *, fitted: bool) -> bool:
    """Whether the net is not trained on the newest sessions of train.h5, since its mixture is fitted to them."""
    return spec.head.mix is not None and not fitted and not (data / "valid.h5").exists()


def newest_sessions(start: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which sessions are the newest, by their ``start``, the last where it is unknown, bool (S,)."""
    count = round(np.clip(HELD_OUT, LEAST * len(start), MOST * len(start)))
    newest = np.zeros(len(start), np.bool_)
    newest[np.argsort(start, kind="stable")[len(start) - count :]] = True
    return newest


def fits(path: Path, spec: Spec) -> bool:
    """Whether the rows of an HDF5 split have the shapes that the net of ``spec`` reads."""
    with Split(path) as split:
        return _fits(split, spec)


def _fits(split: Split, spec: Spec) -> bool:
    wanted = _wanted(spec).items()
    return all(name in split.blobs and split.shape(name)[1:] == blob.shape(spec) for name, blob in wanted)


def _wanted(spec: Spec) -> dict[str, Blob]:
    """Return the blobs that the net of ``spec`` is trained on, ``label`` among them."""
    return {name: blob for name, blob in BLOBS.items() if blob.trained and 0 not in blob.shape(spec)}


def _blob(split: Split, blob: Blob, spec: Spec, anew: Mapping[str, npt.NDArray[Any]] | None) -> npt.NDArray[Any]:
    """Read one blob, or take it of those made ``anew``, and check it against the spec."""
    remedy = "run `drn sessions ... --spec SPEC` again with this spec"
    name, shape, key = blob.name, blob.shape(spec), blob.field
    if anew is None and name not in split.blobs:
        raise DataError(f"{split.path}: blob {name} is absent, but the spec's net reads it ({key}): {remedy}")
    if anew is None and split.shape(name)[1:] != shape:
        seen, want = (", ".join(["rows", *map(str, dims)]) for dims in (split.shape(name)[1:], shape))
        raise DataError(f"{split.path}: blob {name} has shape ({seen}); the spec's {key} wants ({want}): {remedy}")
    read = split.load([name])[name] if anew is None else anew[name]
    array: npt.NDArray[Any] = read.astype(np.int32 if blob.ids else np.float32, copy=False)
    largest: int | None = getattr(spec, blob.ids) if blob.ids else None
    if largest is not None and blob.ids == "pages" and spec.slots:
        largest += 1  # the row of all slots
    if largest is not None and (array.min() < 0 or array.max() > largest):
        raise DataError(
            f"{split.path}: blob {name} holds ids {array.min()}..{array.max()}; the spec has {blob.ids}: {largest}, "
            f"so ids are 0..{largest}: raise {blob.ids} in the spec, or {remedy}"
        )
    if largest is None and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DataError(f"{split.path}: blob {name} holds a number that is not finite, first in row {row}: {remedy}")
    return array
