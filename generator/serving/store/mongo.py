"""Sessions in MongoDB: one document a session, changed by atomic updates; users; an append-only log of events."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

import pymongo
import pymongo.errors
import pymongo.uri_parser
from pymongo import ASCENDING, ReplaceOne, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from generator.serving.store.sessions import Event, Kept, Session, ShownItems, State
from generator.serving.store.store import DamagedError, ItemList, StoreError

__all__ = ["MongoStore"]

DUPLICATE, OPTIONS_CONFLICT, SPECS_CONFLICT = 11000, 85, 86
ATTEMPTS = 5  # at an update that meets the same document being made elsewhere
CHANGES = 50  # attempts at a change of a list, whose writers meet in one document
ORDER = {"time": ASCENDING, "received": ASCENDING}

Document = dict[str, Any]


class MongoStore:
    """A store in the database that ``url`` names (``drn`` if it names none).

    Writes wait for the majority of a replica set and its journal unless the URL says otherwise (``?w=1``).

    Parameters
    ----------
    url
        As pymongo takes it.
    idle
        Seconds without an event after which MongoDB's own TTL monitor forgets a session.
    read_only
        Whether the database is only read: no right to write is needed.
    """

    workers = 4  # updates are atomic on the server, so requests may overlap

    def __init__(self, url: str, idle: float, *, read_only: bool = False) -> None:
        self._idle = idle
        self.kept = Kept()
        with _reported():
            self._client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                url, **_defaults(url), appname="drn", tz_aware=True
            )
            database = self._client.get_default_database("drn")
            self._sessions, self._users, self._events = (database[name] for name in ("sessions", "users", "events"))
            self._probe, self._lists = database["probe"], database["lists"]
            self._shown = database.get_collection("shown", write_concern=WriteConcern(w=1))  # may be lost
            if not read_only:
                self._prepare()

    def _prepare(self) -> None:
        """Create the indexes, whose creation is idempotent, with the idle time of today."""
        for collection in (self._sessions, self._shown):
            self._expire_idle(collection)
        self._sessions.create_index("user", sparse=True)
        self._events.create_index([("session", ASCENDING), ("event", ASCENDING)], unique=True)
        self._events.create_index("user", sparse=True)

    def _expire_idle(self, collection: Collection[Document]) -> None:
        """Have MongoDB forget the documents not ``seen`` for the idle time."""
        try:
            collection.create_index("seen", expireAfterSeconds=int(self._idle))
        except OperationFailure as error:
            if error.code not in (OPTIONS_CONFLICT, SPECS_CONFLICT):
                raise
            index = {"keyPattern": {"seen": 1}, "expireAfterSeconds": int(self._idle)}
            collection.database.command("collMod", collection.name, index=index)

    def record(self, events: Sequence[Event]) -> list[State | None]:
        """See `Store.record`: one round for the first event of each session, one for the second, and so on."""
        states: list[State | None] = [None] * len(events)
        waiting = list(enumerate(events))
        with _reported():
            while waiting:
                first: dict[str, tuple[int, Event]] = {}
                for one in waiting:
                    first.setdefault(one[1].session, one)
                done = self._round([event for _, event in first.values()])
                for (place, _), state in zip(first.values(), done, strict=True):
                    states[place] = state
                waiting = [one for one in waiting if first[one[1].session] is not one]
        return states

    def _round(self, events: Sequence[Event]) -> list[State | None]:
        """Log and apply events of different sessions."""
        first_sent, added = self._logged(self._arriving(events))
        found = self._applied(events, first_sent)
        refused = [one for one in events if not found[one.session].takes(one)]
        for one in refused:
            if (one.session, one.event) in added:
                self._events.delete_one({"session": one.session, "event": one.event})
        for one in events:
            session = found[one.session]
            # An event that names the user may be the session's first to do so: earlier purchases become theirs.
            if one not in refused and session.user and session.purchases and (one.kind == "buy" or one.user):
                self._credit(session.user, session.purchases)
        users = {session.user for session in found.values() if session.user}
        bought = {user["_id"]: _purchases(user) for user in self._users.find({"_id": {"$in": list(users)}})}
        shown = {one["_id"]: _shown(one) for one in self._shown.find({"_id": {"$in": list(found)}})}
        states = {
            name: State(session, bought.get(session.user or "", ()), shown.get(name)) for name, session in found.items()
        }
        return [None if one in refused else states[one.session] for one in events]

    def _arriving(self, events: Sequence[Event]) -> list[Event]:
        """Return the events as they are kept: see `Session.arriving`."""
        names = [one.session for one in events if not one.timed]
        newest = {"visits": {"$slice": -1}, "purchases": {"$slice": -1}}
        found = self._sessions.find({"_id": {"$in": names}}, newest) if names else ()
        held = {document["_id"]: _session(document) for document in found}
        return [held.get(one.session, Session(one.session)).arriving(one) for one in events]

    def _logged(self, events: Sequence[Event]) -> tuple[list[Event], set[tuple[str, str]]]:
        """Append to the log; return the events as first sent, and the names of those that are new."""
        names = [(one.session, one.event) for one in events]
        try:
            self._events.insert_many([_document(one) for one in events], ordered=False)
        except BulkWriteError as error:
            known = {names[one["index"]] for one in _duplicates(error)}
        else:
            return list(events), set(names)
        wanted = [{"session": session, "event": event} for session, event in known]
        with _readable("an event"):
            held = {(one["session"], one["event"]): _event(one) for one in self._events.find({"$or": wanted})}
        return [held.get(name, one) for name, one in zip(names, events, strict=True)], set(names) - known

    def _applied(self, events: Sequence[Event], first_sent: Sequence[Event]) -> dict[str, Session]:
        """Apply events of different sessions to their documents; return the sessions after them."""
        seen = {one.session: one.received / 1e6 for one in events}
        waiting = list(first_sent)
        found: dict[str, Session] = {}
        for _ in range(ATTEMPTS):
            try:
                self._sessions.bulk_write(
                    [_update(one, seen[one.session], self.kept) for one in waiting], ordered=False
                )
            except BulkWriteError as error:
                _duplicates(error)  # applied before, refused, or the document is being made at this moment
            for document in self._sessions.find({"_id": {"$in": [one.session for one in waiting]}}):
                found[document["_id"]] = _session(document)
            waiting = [
                one for one in waiting if one.session not in found or not _settled(found[one.session], one, self.kept)
            ]
            if not waiting:
                return found
        raise StoreError(f"MongoDB: {len(waiting)} sessions were changed from elsewhere {ATTEMPTS} times over")

    def _credit(self, user: str, purchases: Sequence[Event]) -> None:
        """Add ``purchases`` to those of ``user``; one known stays once."""
        for one in purchases:
            known = {"$elemMatch": {"session": one.session, "event": one.event}}
            pushed = {"$each": [_document(one)], "$sort": ORDER, "$slice": -self.kept.purchases}
            for attempt in range(ATTEMPTS):
                try:
                    self._users.update_one(
                        {"_id": user, "purchases": {"$not": known}}, {"$push": {"purchases": pushed}}, upsert=True
                    )
                    break
                except pymongo.errors.DuplicateKeyError:
                    # Known already, or the user's document was made at the same moment: the second try shows which.
                    if self._users.find_one({"_id": user, "purchases": known}) or attempt == ATTEMPTS - 1:
                        break

    def state(self, session: str) -> State | None:
        """See `Store.state`."""
        with _reported():
            document = self._sessions.find_one({"_id": session})
            if not document:
                return None
            found = _session(document)
            user = self._users.find_one({"_id": found.user}) if found.user else None
            shown = self._shown.find_one({"_id": session})
            return State(found, _purchases(user) if user else (), _shown(shown) if shown else None)

    def purchases(self, user: str) -> tuple[Event, ...] | None:
        """See `Store.purchases`."""
        with _reported():
            document = self._users.find_one({"_id": user})
            if document is None and not self._events.find_one({"user": user}):
                return None
            return _purchases(document) if document else ()

    def show(self, shown: Mapping[str, ShownItems], now: float) -> None:
        """See `Store.show`."""
        seen = datetime.fromtimestamp(now, timezone.utc)
        changes = [
            ReplaceOne({"_id": name}, {"version": one.version, "items": list(one.items), "seen": seen}, upsert=True)
            for name, one in shown.items()
        ]
        with _reported():
            self._shown.bulk_write(changes, ordered=False)

    def forget_session(self, session: str) -> bool:
        """See `Store.forget_session`."""
        with _reported():
            self._shown.delete_one({"_id": session})
            owners = self._events.distinct("user", {"session": session, "user": {"$ne": None}})
            self._users.update_many({"_id": {"$in": owners}}, {"$pull": {"purchases": {"session": session}}})
            gone = self._sessions.delete_one({"_id": session}).deleted_count
            return gone + self._events.delete_many({"session": session}).deleted_count > 0

    def forget_user(self, user: str) -> bool:
        """See `Store.forget_user`: the events that tell which are the user's sessions go last."""
        with _reported():
            sessions = self._events.distinct("session", {"user": user})
            self._shown.delete_many({"_id": {"$in": sessions}})
            gone = self._users.delete_one({"_id": user}).deleted_count
            gone += self._sessions.delete_many({"user": user}).deleted_count
            gone += self._events.delete_many({"session": {"$in": sessions}, "user": None}).deleted_count
            return gone + self._events.delete_many({"user": user}).deleted_count > 0

    def events(self) -> Iterator[Event]:
        """See `Store.events`."""
        with _reported(), _readable("an event"):
            for document in self._events.find({}, sort=[("_id", ASCENDING)]):
                yield _event(document)

    def revisions(self) -> dict[str, str]:
        """See `Store.revisions`."""
        with _reported(), _readable("a list"):
            return {one["_id"]: one["revision"] for one in self._lists.find({}, {"revision": 1})}

    def item_list(self, name: str) -> ItemList | None:
        """See `Store.item_list`."""
        with _reported(), _readable("a list"):
            held = self._lists.find_one({"_id": name})
            return ItemList(frozenset(held["items"]), bool(held["hidden"]), held["revision"]) if held else None

    def put_list(self, name: str, items: Iterable[str], *, hidden: bool) -> None:
        """See `Store.put_list`."""
        document = {"items": sorted(set(items)), "hidden": hidden, "revision": uuid.uuid4().hex}
        with _reported():
            self._lists.replace_one({"_id": name}, document, upsert=True)

    def change_list(self, name: str, add: Iterable[str], remove: Iterable[str]) -> bool:
        """See `Store.change_list`: an update that fails where another came first, and is made again."""
        add, remove = list(add), list(remove)
        for _ in range(CHANGES):
            held = self.item_list(name)
            if held is None:
                return False
            items = {"items": sorted(held.changed(add, remove)), "revision": uuid.uuid4().hex}
            with _reported():
                if self._lists.update_one({"_id": name, "revision": held.revision}, {"$set": items}).matched_count:
                    return True
        raise StoreError(f"MongoDB: a list was changed from elsewhere {CHANGES} times over")

    def drop_list(self, name: str) -> bool:
        """See `Store.drop_list`."""
        with _reported():
            return self._lists.delete_one({"_id": name}).deleted_count > 0

    def expire(self, now: float) -> int:
        """See `Store.expire`: nothing to do, the TTL index does it."""
        return 0

    def ping(self) -> None:
        """See `Store.ping`."""
        # Where another server makes it at the same moment, it was written as well.
        with _reported(), suppress(pymongo.errors.DuplicateKeyError):
            self._probe.replace_one({"_id": "probe"}, {"at": datetime.now(timezone.utc)}, upsert=True)

    def close(self) -> None:
        """See `Store.close`."""
        self._client.close()


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise StoreError(f"MongoDB: {str(error).splitlines()[0][:300]}") from error


def _defaults(url: str) -> Mapping[str, Any]:
    """Return the client's options beside those of the URL, which come first."""
    wanted = {"w": "majority", "serverSelectionTimeoutMS": 2000, "connectTimeoutMS": 2000, "socketTimeoutMS": 5000}
    try:
        given = {name.lower() for name in pymongo.uri_parser.parse_uri(url, warn=True)["options"]}
    except (PyMongoError, ValueError) as error:
        raise StoreError(f"MongoDB: {error}") from error
    return {name: value for name, value in wanted.items() if name.lower() not in given}


def _duplicates(error: BulkWriteError) -> list[Document]:
    """Return the write errors of a bulk if each says that a key exists already; else raise ``error``."""
    found: list[Document] = error.details["writeErrors"]
    if error.details.get("writeConcernErrors") or any(one["code"] != DUPLICATE for one in found):
        raise error
    return found


def _settled(session: Session, event: Event, kept: Kept) -> bool:
    """Return whether there is nothing left to apply: done, refused, or older than all that is kept."""
    held, limit = (session.purchases, kept.purchases) if event.kind == "buy" else (session.visits, kept.visits)
    if any(one.event == event.event for one in held) or not session.takes(event):
        return True
    return len(held) >= limit and (event.time, event.received) < (held[0].time, held[0].received)


def _update(event: Event, seen: float, kept: Kept) -> UpdateOne:
    """Return the atomic update that applies ``event`` once: no document is matched that has it or is another user's."""
    field, limit = ("purchases", kept.purchases) if event.kind == "buy" else ("visits", kept.visits)
    match: Document = {"_id": event.session, f"{field}.event": {"$ne": event.event}}
    change: Document = {
        "$push": {field: {"$each": [_document(event)], "$sort": ORDER, "$slice": -limit}},
        "$max": {"seen": datetime.fromtimestamp(seen, timezone.utc)},
    }
    if event.kind == "view":
        change["$min"] = {"start": event.time}
    if event.user:
        match["user"] = {"$in": [None, event.user]}
        change["$set"] = {"user": event.user}
    return UpdateOne(match, change, upsert=True)


def _document(event: Event) -> Document:
    return {name: value for name, value in event._asdict().items() if value is not None and name != "timed"}


def _event(document: Mapping[str, Any]) -> Event:
    return Event(
        document["session"],
        document["event"],
        document["kind"],
        document["label"],
        float(document["time"]),
        int(document["received"]),
        document.get("user"),
        document.get("dwell"),
    )


def _purchases(user: Mapping[str, Any]) -> tuple[Event, ...]:
    with _readable("a user"):
        return tuple(_event(one) for one in user.get("purchases", ()))


def _shown(document: Mapping[str, Any]) -> ShownItems:
    with _readable("a session"):
        return ShownItems(int(document["version"]), list(document["items"]))


def _session(document: Mapping[str, Any]) -> Session:
    with _readable("a session"):
        return Session(
            document["_id"],
            document.get("user"),
            document.get("start"),
            document["seen"].timestamp(),
            tuple(_event(one) for one in document.get("visits", ())),
            _purchases(document),
        )


@contextmanager
def _readable(whose: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"MongoDB: the document of {whose} cannot be read: {type(error).__name__}") from error
