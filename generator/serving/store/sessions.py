"""Events, the sessions they make, and what of a session the net is asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from generator.model.query import Query

__all__ = ["SPARE", "Event", "Kept", "Session", "ShownItems", "State", "insert"]

SPARE = 512  # events kept beyond what a net reads: it passes over pages it does not know


@dataclass(frozen=True)
class Kept:
    """How many events a store keeps beside a session, the newest; its log of events keeps all.

    Attributes
    ----------
    visits
        Of a session.
    purchases
        Of a session, and of a user.
    """

    visits: int = SPARE
    purchases: int = SPARE

    @classmethod
    def of(cls, sizes: Iterable[Mapping[str, int]]) -> "Kept":
        """Return what nets need whose input blobs have these ``sizes``."""
        nets = list(sizes)
        return cls(
            SPARE
            + max(
                (max(net.get("page", 0) + net.get("history_page", 0), net.get("seen_page", 0)) for net in nets),
                default=0,
            ),
            SPARE + max((net.get("bought", 0) for net in nets), default=0),
        )


class Event(NamedTuple):
    """One visit or purchase.

    Attributes
    ----------
    session, event
        Ids; the second is the client's own name of the event, unique in its session, and makes a retry harmless.
    kind, label
        ``view`` of a page or ``buy`` of an item, and which.
    time
        Unix seconds at which it happened.
    received
        Microseconds since 1970 at which the server first received it; puts events of equal time in order.
    user
        Who, if the client says so.
    dwell
        Seconds on the page, if the client knows; else they last until the session's next visit.
    timed
        Whether ``time`` is the client's. If not, it is the moment of arrival by the clock of the server that took the
        event, and `Session.arriving` puts it after what the session holds, whatever that clock says.
    """

    session: str
    event: str
    kind: str
    label: str
    time: float
    received: int
    user: str | None = None
    dwell: float | None = None
    timed: bool = True


def insert(events: tuple[Event, ...], event: Event, kept: int) -> tuple[Event, ...]:
    """Return ``events`` with ``event`` in its place in time, the newest ``kept`` of them; an event known stays once."""
    name = event[:2]  # session and event
    if any(one[:2] == name for one in events):
        return events
    return tuple(sorted((*events, event), key=attrgetter("time", "received"))[-kept:])


class Session(NamedTuple):
    """A session as its store keeps it.

    Attributes
    ----------
    user
        Whose it is; None until an event says so.
    start
        Time of the oldest visit ever, unix seconds; None without visits.
    seen
        When the server last received an event of it, unix seconds: what its expiry counts from.
    visits, purchases
        The newest, oldest first.
    """

    id: str
    user: str | None = None
    start: float | None = None
    seen: float = 0.0
    visits: tuple[Event, ...] = ()
    purchases: tuple[Event, ...] = ()

    def after(self, event: Event, seen: float, kept: Kept) -> "Session":
        """Return the session after ``event``, received at ``seen``; one already applied changes nothing."""
        start, visits, purchases = self.start, self.visits, self.purchases
        if event.kind == "buy":
            purchases = insert(purchases, event, kept.purchases)
        else:
            start = event.time if start is None else min(start, event.time)
            visits = insert(visits, event, kept.visits)
        return Session(self.id, self.user or event.user, start, max(self.seen, seen), visits, purchases)

    def arriving(self, event: Event) -> Event:
        """Return ``event`` as it is kept: one without a time of its own comes after all that the session holds."""
        if event.timed:
            return event
        time, received = event.time, event.received
        for one in (*self.visits[-1:], *self.purchases[-1:]):
            time, received = max(time, one.time), max(received, one.received + 1)
        return event._replace(time=time, received=received, timed=True)

    def takes(self, event: Event) -> bool:
        """Return whether ``event`` may belong here: a session is of one user."""
        return None in (self.user, event.user) or self.user == event.user

    def dwells(self) -> list[float]:
        """Return the seconds on each visit's page: the client's, or until the next visit; at least 1."""
        times = [visit.time for visit in self.visits]
        until_next = [max(after - before, 1.0) for before, after in pairwise(times)] + [1.0]
        return [
            until if visit.dwell is None else max(visit.dwell, 1.0)
            for visit, until in zip(self.visits, until_next, strict=False)
        ]


class ShownItems(NamedTuple):
    """What a session was recommended last: the version that did so, and the items."""

    version: int
    items: Sequence[str]


class State(NamedTuple):
    """A session, what its user has bought in any session, oldest first, and what it was shown before."""

    session: Session
    purchases: Sequence[Event] = ()
    shown: ShownItems | None = None

    def bought(self) -> list[str]:
        """Return the items bought in earlier sessions, oldest first: before this one began, and not in it."""
        start = float("inf") if self.session.start is None else self.session.start
        return [one.label for one in self.purchases if one.session != self.session.id and one.time < start]

    def query(self) -> Query:
        """Return what the net is asked."""
        pages = [visit.label for visit in self.session.visits]
        return Query(list(zip(pages, self.session.dwells(), strict=True)), self.bought())
