"""The distinct values of categorical columns that come piece by piece."""

import numpy as np
import polars as pl

__all__ = ["Distinct"]


class Distinct:
    """Tells which values of columns of one set of categories are new; it keeps a byte a category."""

    def __init__(self) -> None:
        self._known = np.zeros(0, np.bool_)
        self._all = 0  # codes below it are all known
        self._alive: pl.Series | None = None  # polars forgets categories that no column has

    def new(self, column: pl.Series) -> pl.Series:
        """Return the values of ``column``, once each and null apart, that no column before had."""
        self._alive = column.clear()
        highest = column.to_physical().max()
        if highest is None or highest < self._all:  # type: ignore[operator]  # polars types max() widely
            return column.clear()
        if column.null_count():
            column = column.drop_nulls()
        codes = column.to_physical().to_numpy()
        more = int(codes.max(initial=0)) + 1 - len(self._known)
        if more > 0:
            self._known = np.append(self._known, np.zeros(more + len(self._known), np.bool_))
        # Of values that are alike and lie together, the last is looked at.
        places = np.append(np.flatnonzero(codes[1:] != codes[:-1]), len(codes) - 1)
        places = places[~self._known[codes[places]]]
        if not len(places):
            return column.clear()
        place = np.full(len(self._known), -1, np.int64)
        place[codes[places]] = places  # one of each
        fresh = np.flatnonzero(place >= 0)
        self._known[fresh] = True
        self._all += int(np.append(self._known[self._all :], False).argmin())
        return column[place[fresh]]
