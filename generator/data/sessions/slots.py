"""Ids after the vocabulary's, for the pages of a session that it lacks."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Slots", "first_views", "numbers"]

Ids = NDArray[np.int32]
Id = TypeVar("Id", bound=np.integer[Any])


@dataclass(frozen=True)
class Slots:
    """The ids ``after`` + 1 .. ``after`` + ``count``, which mean another page in every session.

    The first page of a session that the vocabulary lacks has the first of them, the next other one the second, and so
    on; those after the last have id 0, as all have without slots. A net has one row for all: ``after`` + 1.
    """

    after: int
    count: int

    def clamped(self, ids: NDArray[Id]) -> NDArray[Id]:
        """Return the rows of a net's table behind ``ids``: the same for all slots."""
        found: NDArray[Id] = np.minimum(ids, ids.dtype.type(self.after + 1))
        return found

    def known(self, ids: NDArray[Id]) -> NDArray[Id]:
        """Return ``ids`` with 0 for the slots: the labels a net is trained on."""
        return np.where(ids > self.after, ids.dtype.type(0), ids)

    def number(self, ids: Ids) -> Ids:
        """Return 1 for the first slot, 2 for the second, ...; 0 for ids of the vocabulary."""
        return np.maximum(ids - self.after, 0)


def numbers(session: NDArray[np.int64], code: Ids) -> tuple[Ids, NDArray[np.int64], Ids]:
    """Return numbers of the distinct codes of each session, from 1 in the order of their first views.

    Parameters
    ----------
    session, code
        (E,) each, of views in order, ``session`` ascending.

    Returns
    -------
    number
        int32 (E,), of each view.
    keys, of_key
        What was numbered, (U,): ascending session << 32 | code, and its number.
    """
    keys, first, place = np.unique(session << 32 | code, return_index=True, return_inverse=True)
    order = np.argsort(first)
    met = session[first[order]]
    of_key = np.empty(len(keys), np.int32)
    of_key[order] = 1 + np.arange(len(met)) - np.searchsorted(met, met)
    return of_key[place], keys, of_key


def first_views(number: Ids, session: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which views are the first of their slot, bool (E,).

    Parameters
    ----------
    number
        Of the slot of each view, 0 for a page of the vocabulary.
    session
        Of each view, ascending.
    """
    # Slots are met in the order of their numbers, so a first view is above all before it in its session.
    place = session * (1 + int(number.max(initial=0))) + number
    before = np.maximum.accumulate(np.concatenate([[-1], place[:-1]]))
    return (number > 0) & (place > before)
