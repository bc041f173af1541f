"""Rows of a split in batches, each with everything its session had shown by then, not the window alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import Sessions, ragged_index
from generator.data.sessions.slots import Slots
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.store.split import Split
from generator.data.windows import Rows, WindowSizes, blobs
from generator.errors import DataError

__all__ = ["RowBatch", "SplitRows"]

CHUNK = 65536  # rows of labels read at a time
READ = 4096  # rows of a split read at a time, or those of one batch where it has more
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RowBatch:
    """B rows to be ranked.

    Attributes
    ----------
    split : the split they are of; open as long as ``seen`` is asked for
    blobs : the net's inputs as the file holds them, (B, size) each
    label : int64 (B,), 1..N and on to the last slot, or 0 when the true item is neither in the vocabulary nor a slot
    session : int64 (B,), the session of each row; rows of one session are contiguous
    position : int64 (B,), how many states of its session each row has seen
    """

    split: "SplitRows"
    blobs: Mapping[str, NDArray[Any]]
    label: Ints
    session: Ints
    position: Ints

    def __len__(self) -> int:
        return len(self.label)

    @property
    def items(self) -> int:
        """The number of items to rank: N, and the slots after them."""
        return self.split.item_ids

    @cached_property
    def seen(self) -> Sessions:
        """One session for each row, cut after the row's last state; pages without an id are left out.

        Read when first asked for, which a net whose windows are the file's never does.

        Raises
        ------
        DataError : a row has seen more states than its session holds.
        """
        return self.split.seen(self.session, self.position)

    @cached_property
    def item(self) -> Ints:
        """For each view of ``seen`` the item of the page's original id, 0 where no such item is sold, int64 (E,)."""
        return self.split.items_of(self.seen.page)

    @cached_property
    def row(self) -> Ints:
        """The row of each view of ``seen``, int64 (E,), ascending."""
        return np.repeat(np.arange(len(self)), np.diff(self.seen.offset))

    def inputs(self, sizes: Mapping[str, int]) -> Mapping[str, NDArray[Any]]:
        """Return the net's inputs with these many columns, int32 ids and float32 weights.

        Where the file's windows are of another size they are cut anew from the sessions.

        Parameters
        ----------
        sizes : columns by blob, as `Model.sizes`
        """
        if all(name in self.blobs and self.blobs[name].shape[1] == size for name, size in sizes.items()):
            return self.blobs
        rows = Rows(
            session=np.arange(len(self), dtype=np.int32),
            first=self.seen.offset[:-1],
            stop=self.seen.offset[1:],
            label=self.label.astype(np.int32),
            fresh=np.ones(len(self), np.int64),
        )
        chunks = list(blobs(self.split.as_in_file(self.seen), rows, WindowSizes.of(sizes)))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in sizes}


class SplitRows:
    """One split of a data folder, read in slices; a context manager.

    Parameters
    ----------
    folder : what `drn sessions` wrote
    split : ``train``, ``valid`` or ``test``

    Attributes
    ----------
    pages, items : Vocabulary
    slots : which ids of the file, and of a net, are pages that the vocabulary lacks; None: none are
    page_ids, item_ids : the highest id of a page and of an item, here: slots follow the vocabulary without a gap,
        though a net's tables may have room for more

    Raises
    ------
    DataError : a file is missing or is no such file.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / f"{split}.h5"
        if not self.path.is_file():
            raise DataError(
                f"{self.path}: there is no such file; write it by: drn sessions LOG --spec SPEC -o {folder}"
            )
        self.pages = Vocabulary.read(folder / "pages.txt")
        self.items = Vocabulary.read(folder / "items.txt")
        self._file = Split(self.path)
        self.slots = self._file.slots
        slots = self.slots.count if self.slots else 0
        self.page_ids, self.item_ids = len(self.pages) + slots, len(self.items) + slots
        of_slots = len(self.items) + 1 + np.arange(slots)
        self._item_of_page = np.concatenate([[0], self.items.ids(self.pages.labels), of_slots]).astype(np.int64)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "SplitRows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of rows, R."""
        return self._file.rows

    def _within(self, name: str, ids: NDArray[np.integer[Any]], vocabulary: Vocabulary) -> None:
        if self.slots:
            ids = self.slots.known(ids)
        if ids.max(initial=0) > len(vocabulary):
            raise DataError(
                f"{self.path}: {name} holds id {ids.max()}, but its vocabulary has {len(vocabulary)} lines: "
                "they are not of one run of drn sessions"
            )

    def labels(self) -> Iterator[Ints]:
        """Yield the labels, int64 1..N, in chunks: one a purchase session, or every page viewed next."""
        for chunk in self._file.labels(CHUNK):
            label = chunk.reshape(-1).astype(np.int64)
            self._within("label", label, self.items)
            yield label[label > 0]

    def sessions(self, start: int = 0, stop: int | None = None) -> Sessions:
        """Return the sessions start..stop-1 whole (all of them by default), pages without an id left out.

        Raises
        ------
        DataError : the offsets do not fit the views.
        """
        whole = self._file.sessions(start, stop)
        known = whole.page > 0
        self._within("sessions/page", whole.page, self.pages)
        states = np.concatenate([[0], np.cumsum(known)])
        found = replace(whole, offset=states[whole.offset], page=whole.page[known], dwell=whole.dwell[known])
        return _with_slots_after(found, len(self.pages))

    def as_in_file(self, sessions: Sessions) -> Sessions:
        """Return ``sessions`` with the ids of the file, which are those of a net."""
        return _with_slots_after(sessions, self.slots.after) if self.slots else sessions

    def items_of(self, page: NDArray[np.integer[Any]]) -> Ints:
        """Return the item of the same original id for each page id, int64, 0 where no such item is sold."""
        items: Ints = self._item_of_page[page]
        return items

    def batches(self, size: int) -> Iterator[RowBatch]:
        """Yield all rows in order, ``size`` at a time, in memory that does not grow with the file."""
        step = size * max(1, READ // size)  # several batches in one reading, which takes as long as a batch's ranks
        for start in range(0, len(self), step):
            found = self._file.read(start, start + step)
            label = found.pop("label").astype(np.int64)
            label = label if label.ndim == 1 else label[:, -1]
            label = np.where(self._file.index("unknown", start, start + step) != 0, 0, label)
            if self.slots:
                slot = self._file.index("slot", start, start + step)
                label = np.where(slot > 0, len(self.items) + slot, label)
            session = self._file.index("session", start, start + step).astype(np.int64)
            position = self._file.index("position", start, start + step).astype(np.int64)
            for first in range(0, len(label), size):
                rows = slice(first, first + size)
                inputs = {name: values[rows] for name, values in found.items()}
                yield RowBatch(self, inputs, label[rows], session[rows], position[rows])

    def seen(self, session: Ints, position: Ints) -> Sessions:
        """Return one session for each row: ``session`` cut after ``position`` states.

        Raises
        ------
        DataError : a row has seen more states than its session holds.
        """
        first = int(session.min())
        whole = self.sessions(first, int(session.max()) + 1)
        views, purchases = np.diff(whole.offset)[session - first], np.diff(whole.bought_offset)[session - first]
        if (position > views).any():
            row = int((position > views).argmax())
            raise DataError(
                f"{self.path}: a row of session {session[row]} has seen {position[row]} states, but the session holds "
                f"{views[row]}; write the file again by drn sessions"
            )
        view = ragged_index(whole.offset[session - first], position)
        return Sessions(
            offset=np.concatenate([[0], np.cumsum(position)]),
            page=whole.page[view],
            dwell=whole.dwell[view],
            bought_offset=np.concatenate([[0], np.cumsum(purchases)]),
            bought=whole.bought[ragged_index(whole.bought_offset[session - first], purchases)],
            start=whole.start[session - first],
            user=whole.user[session - first],
            slots=whole.slots,
        )


def _with_slots_after(sessions: Sessions, known: int) -> Sessions:
    """Return ``sessions`` with slots whose ids come right after ``known``."""
    slots = sessions.slots
    if slots is None:
        return sessions
    page = np.where(sessions.page > slots.after, sessions.page + np.int32(known - slots.after), sessions.page)
    return replace(sessions, page=page, slots=Slots(known, slots.count))
