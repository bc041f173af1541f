"""What a store of sessions does, and how it fails."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from generator.errors import DrnError
from generator.serving.store.sessions import Event, Kept, ShownItems, State

__all__ = ["IDLE", "LONGEST_LIST", "DamagedError", "ItemList", "LongListError", "Store", "StoreError"]

IDLE = 30 * 86400.0  # seconds without an event after which a session is forgotten; its events stay in the log

LONGEST_LIST = 200_000  # items


@dataclass(frozen=True)
class ItemList:
    """A named list of items that the store keeps.

    Attributes
    ----------
    items
        Their labels.
    hidden
        Whether they are left out of every recommendation.
    revision
        Another one after every change.
    """

    items: frozenset[str]
    hidden: bool
    revision: str

    def changed(self, add: Iterable[str], remove: Iterable[str]) -> frozenset[str]:
        """Return the items after some were added, then others removed; LongListError if they are too many."""
        found = self.items.union(add).difference(remove)
        if len(found) > LONGEST_LIST:
            raise LongListError(f"a list has {LONGEST_LIST} items at most, and this one would have {len(found)}")
        return found


class StoreError(DrnError):
    """A store that cannot be reached or does not answer; what was asked for may be asked again."""


class DamagedError(StoreError):
    """What is kept of a session or user cannot be read; that of others can."""


class LongListError(DrnError):
    """A list of items would grow too long."""


class Store(Protocol):
    """A durable store of sessions, users and the log of events. All methods may be called from any thread.

    Every method raises `StoreError` when the store cannot do its work, `DamagedError` where what is kept of one session
    or user is to blame; nothing is then half done that asking again with the same event ids would not complete.
    """

    workers: int  # threads that may usefully call `record` at a time
    kept: Kept  # what stays beside a session; it may be changed at any time, for the events recorded from then on

    def record(self, events: Sequence[Event]) -> list[State | None]:
        """Log and apply events, one after another; they are durable when this returns.

        Returns
        -------
        list
            For each event the state right after it; None where the session is another user's and the event refused.
            An event whose (session, event) is known changes nothing, and counts with the time first given.
        """

    def state(self, session: str) -> State | None:
        """Return a session; None if there is none."""

    def purchases(self, user: str) -> tuple[Event, ...] | None:
        """Return the newest purchases of a user, oldest first; None if the user is unknown."""

    def show(self, shown: Mapping[str, ShownItems], now: float) -> None:
        """Keep what sessions are shown at ``now``, unix seconds: any server's next `record` tells it.

        It may be lost when the machine fails, and goes with its session.
        """

    def forget_session(self, session: str) -> bool:
        """Erase a session, its events and its purchases; return whether there was anything."""

    def forget_user(self, user: str) -> bool:
        """Erase a user, their sessions and all their events; return whether there was anything."""

    def events(self) -> Iterator[Event]:
        """Yield the log, in the order it was written."""

    def revisions(self) -> dict[str, str]:
        """Return the revision of each list of items, by its name."""

    def item_list(self, name: str) -> ItemList | None:
        """Return a list of items; None if there is none of that name."""

    def put_list(self, name: str, items: Iterable[str], *, hidden: bool) -> None:
        """Keep a list of items in place of the one of its name; it is durable when this returns."""

    def change_list(self, name: str, add: Iterable[str], remove: Iterable[str]) -> bool:
        """Add items to a list, then remove others, losing no change made meanwhile; return if there is one.

        Raises LongListError, and changes nothing, where more than `LONGEST_LIST` would be in it.
        """

    def drop_list(self, name: str) -> bool:
        """Drop a list of items; return whether there was one of that name."""

    def expire(self, now: float) -> int:
        """Forget the sessions idle at ``now``, unix seconds, where the store does not do so itself; return how many.

        Some at a time, so that what is recorded meanwhile does not wait for all of them.
        """

    def ping(self) -> None:
        """Return if the store would take an event now: something is written, durably."""

    def close(self) -> None:
        """Let go of files and connections."""
