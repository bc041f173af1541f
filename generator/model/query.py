"""What a model is asked, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Answer", "Query"]

SHOWN = 5  # items in the repr of an answer


@dataclass(frozen=True)
class Query:
    """A session to recommend for, in original ids.

    Attributes
    ----------
    pages
        The page visits, oldest first, each a page and its dwell time in seconds (less than 1 counts as 1).
    bought
        Items bought in earlier sessions, oldest first.

    Examples
    --------
    >>> Query([("home", 4.0), ("item-3", 31.0)], bought=["item-12"])
    Query(pages=[('home', 4.0), ('item-3', 31.0)], bought=['item-12'])
    """

    pages: Sequence[tuple[str, float]]
    bought: Sequence[str] = ()


@dataclass(frozen=True, repr=False)
class Answer:
    """What a model recommends for one query.

    Attributes
    ----------
    items
        Item and probability, most probable first.
    unknown_pages, unknown_bought
        Page visits and purchases of the query left out, because the vocabulary lacks them.

    Examples
    --------
    >>> Answer((("item-3", 0.25), ("item-7", 0.125)), unknown_pages=1, unknown_bought=0)
    Answer(item-3 0.2500, item-7 0.1250; unknown: 1 of the pages, 0 of the purchases)
    """

    items: tuple[tuple[str, float], ...]
    unknown_pages: int
    unknown_bought: int

    def __repr__(self) -> str:
        """Return the first items, the number of all, and what was left out."""
        shown = [f"{item} {probability:.4f}" for item, probability in self.items[:SHOWN]]
        more = [f"... {len(self.items)} items"] if len(self.items) > SHOWN else []
        return f"Answer({', '.join(shown + more)}{self._left_out()})"

    def _repr_html_(self) -> str:
        """Return a table, for notebooks."""
        rows = "".join(
            f"<tr><td>{place}</td><td>{escape(item)}</td><td>{probability:.4f}</td></tr>"
            for place, (item, probability) in enumerate(self.items, 1)
        )
        return f"<table><tr><th></th><th>item</th><th>probability</th></tr>{rows}</table>{self._left_out()[2:]}"

    def _left_out(self) -> str:
        if not self.unknown_pages and not self.unknown_bought:
            return ""
        return f"; unknown: {self.unknown_pages} of the pages, {self.unknown_bought} of the purchases"
