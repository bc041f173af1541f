"""The lists of items that the store keeps, at hand as filters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.errors import DrnError
from generator.model.filter import Filter
from generator.serving.store.store import ItemList, Store

__all__ = ["Lists", "NoListError"]


class NoListError(DrnError):
    """A request names a list of items that there is not."""


@dataclass(frozen=True)
class _Held:
    held: ItemList
    only: Filter
    exclude: Filter


class Lists:
    """The lists of a store as they were at the last look; other servers may change them meanwhile.

    Parameters
    ----------
    store
        Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lists: Mapping[str, _Held] = {}
        self.hidden: Sequence[Filter] = ()  # what every recommendation leaves out

    def refresh(self) -> None:
        """Read the lists that have changed; raises StoreError."""
        found: dict[str, _Held] = {}
        for name, revision in self._store.revisions().items():
            known = self._lists.get(name)
            if known and known.held.revision == revision:
                found[name] = known
            elif now := self._store.item_list(name):  # it may have gone meanwhile
                found[name] = _Held(now, Filter(only=now.items), Filter(exclude=now.items))
        self._lists, self.hidden = found, [one.exclude for one in found.values() if one.held.hidden]

    def only(self, name: str) -> Filter:
        """Return what allows the items of a list alone; NoListError where there is none."""
        return self._find(name).only

    def exclude(self, name: str) -> Filter:
        """Return what leaves out the items of a list; NoListError where there is none."""
        return self._find(name).exclude

    def index(self) -> list[dict[str, str | int | bool]]:
        """Return name, number of items and whether it is hidden, of each list."""
        return [
            {"name": name, "items": len(one.held.items), "hidden": one.held.hidden}
            for name, one in sorted(self._lists.items())
        ]

    def _find(self, name: str) -> _Held:
        try:
            return self._lists[name]
        except KeyError:
            raise NoListError("there is no such list of items") from None
