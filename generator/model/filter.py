"""Which items may be recommended."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.vocabulary import Vocabulary

__all__ = ["Filter"]


@dataclass(frozen=True, eq=False)
class Filter:
    """Items that may be recommended, by their labels; labels that no model knows are fine.

    Attributes
    ----------
    only
        No others may; None: all may.
    exclude
        These may not.

    Examples
    --------
    >>> Filter(only=frozenset("ab"), exclude=frozenset("bc")).allows("a")
    True
    """

    only: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    _masks: dict[int, tuple[Vocabulary, NDArray[np.bool_]]] = field(default_factory=dict, repr=False)

    def allows(self, label: str) -> bool:
        """Return whether an item may be recommended."""
        return label not in self.exclude and (self.only is None or label in self.only)

    def mask(self, items: Vocabulary) -> NDArray[np.bool_]:
        """Return for each item of a vocabulary whether it may be recommended, bool (N,); kept for the next call."""
        held = self._masks.get(id(items))
        if held is None:
            mask = np.full(len(items) + 1, self.only is None)
            if self.only is not None:
                mask[items.ids(list(self.only))] = True
            mask[items.ids(list(self.exclude))] = False
            if len(self._masks) > 3:  # versions come and go
                self._masks.clear()
            held = self._masks[id(items)] = items, mask[1:]
        return held[1]
