"""Sessions in one SQLite file, write-ahead log, flushed to disk at every commit."""

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pydantic_core import from_json, to_json

from generator.serving.store.sessions import Event, Kept, Session, ShownItems, State, insert
from generator.serving.store.store import DamagedError, ItemList, StoreError

__all__ = ["SqliteStore"]

FIELDS = "session, event, kind, label, time, received, user, dwell"
SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, session TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL,
    time REAL NOT NULL, received INTEGER NOT NULL, user TEXT, dwell REAL, UNIQUE (session, event)
);
CREATE INDEX IF NOT EXISTS events_user ON events (user) WHERE user IS NOT NULL;
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, user TEXT, start REAL, seen REAL NOT NULL, visits TEXT NOT NULL, purchases TEXT NOT NULL,
    shown TEXT
);
CREATE INDEX IF NOT EXISTS sessions_seen ON sessions (seen);
CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user) WHERE user IS NOT NULL;
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, purchases TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lists (
    name TEXT PRIMARY KEY, hidden INTEGER NOT NULL, revision TEXT NOT NULL, items TEXT NOT NULL
);
"""
PAGE = 10_000  # events read at a time
EXPIRED, PAUSE = 500, 0.002  # sessions forgotten in a transaction, seconds until the next: those who wait come first
PROBE = "\n"  # a session's id that no client can send


class SqliteStore:
    """A store in the SQLite file ``path``, which several processes may share.

    Parameters
    ----------
    path
        The file; made if absent, its folder too.
    idle
        Seconds without an event after which `expire` forgets a session.
    read_only
        Whether the file is only read: it must be there, and its folder stays as it is.
    """

    workers = 1  # SQLite writes one transaction at a time; what waits meanwhile shares the next one

    def __init__(self, path: str, idle: float, *, read_only: bool = False) -> None:
        self._path, self._idle, self._read_only = Path(path), idle, read_only
        self.kept = Kept()
        self._lock = threading.Lock()
        self._durable = True  # as the connection is set
        self._connection: sqlite3.Connection | None = None
        with self._reading() if read_only else self._transaction():
            pass

    def _open(self) -> sqlite3.Connection:
        """Return the connection to the file that is at the path now; one that was moved away takes no more events."""
        if self._connection and not self._is_ours():
            self._connection.close()
            self._connection = None
        if not self._connection and self._read_only:
            self._connection = _read_only(self._path)
            self._file = self._path.stat().st_ino
        if not self._connection:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=2, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")  # erased means erased
            connection.executescript(SCHEMA)
            _upgrade(connection)
            self._file = self._path.stat().st_ino
            self._connection, self._durable = connection, True
        return self._connection

    def _is_ours(self) -> bool:
        try:
            return self._path.stat().st_ino == self._file
        except OSError:
            return False

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Yield the connection within a write transaction; at the end of the block it is on the disk if ``durable``."""
        with self._lock:
            try:
                db = self._open()
                if durable != self._durable:
                    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
                if not self._is_ours():
                    raise StoreError(f"{self._path}: the file was taken away while it was written to")
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"{self._path}: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"{self._path}: {error}") from error

    def record(self, events: Sequence[Event]) -> list[State | None]:
        """See `Store.record`."""
        with self._transaction() as db:
            return self._apply(db, events)

    def _apply(self, db: sqlite3.Connection, events: Sequence[Event]) -> list[State | None]:
        """Log events and apply them to their sessions, each of which is read and written once."""
        before = _rows(db, {one.session for one in events})
        after, found = dict(before), list[State | None]()
        for event in events:
            seen, held = event.received / 1e6, after.get(event.session)
            if held and held.session.seen + self._idle < seen:
                before.pop(event.session, None)
                held = None
            session = held.session if held else Session(event.session)
            if not session.takes(event):
                found.append(None)
                continue
            changed = session.after(_logged(db, session.arriving(event)), seen, self.kept)
            if changed.user and changed.purchases and (event.kind == "buy" or session.user is None):
                _credit(db, changed.user, changed.purchases, self.kept.purchases)
            state = State(changed, _bought(db, changed), held.shown if held else None)
            after[event.session] = state
            found.append(state)
        _save(db, before, {one.session.id: one.session for one in found if one})
        return found

    def state(self, session: str) -> State | None:
        """See `Store.state`."""
        with self._reading() as db:
            found = _rows(db, [session]).get(session)
            if found is None or not (found.session.visits or found.session.purchases):  # none, or shown something only
                return None
            return State(found.session, _bought(db, found.session), found.shown)

    def purchases(self, user: str) -> tuple[Event, ...] | None:
        """See `Store.purchases`."""
        with self._reading() as db:
            found = _purchases(db, user)
            if found is None and not db.execute("SELECT 1 FROM events WHERE user = ? LIMIT 1", (user,)).fetchone():
                return None
            return found or ()

    def show(self, shown: Mapping[str, ShownItems], now: float) -> None:
        """See `Store.show`: a transaction that does not wait for the disk."""
        rows = [(session, now, to_json((one.version, one.items)).decode()) for session, one in shown.items()]
        with self._transaction(durable=False) as db:
            db.executemany(
                "INSERT INTO sessions (id, seen, visits, purchases, shown) VALUES (?, ?, '[]', '[]', ?)"
                " ON CONFLICT (id) DO UPDATE SET shown = excluded.shown",
                rows,
            )

    def forget_session(self, session: str) -> bool:
        """See `Store.forget_session`."""
        with self._transaction() as db:
            users = db.execute("SELECT DISTINCT user FROM events WHERE session = ?", (session,)).fetchall()
            gone = db.execute("DELETE FROM events WHERE session = ?", (session,)).rowcount
            db.execute("DELETE FROM sessions WHERE id = ?", (session,))
            owners = {user for (user,) in users if user}
            for user in owners:
                kept = tuple(one for one in _purchases(db, user) or () if one.session != session)
                db.execute("REPLACE INTO users VALUES (?, ?)", (user, _dump(kept)))
            return gone > 0

    def forget_user(self, user: str) -> bool:
        """See `Store.forget_user`."""
        with self._transaction() as db:
            gone = db.execute(
                "DELETE FROM sessions WHERE user = ?1"
                " OR user IS NULL AND id IN (SELECT session FROM events WHERE user = ?1)",
                (user,),
            ).rowcount
            gone += db.execute(
                "DELETE FROM events WHERE session IN (SELECT session FROM events WHERE user = ?1)"
                " AND (user IS NULL OR user = ?1)",
                (user,),
            ).rowcount
            gone += db.execute("DELETE FROM users WHERE id = ?", (user,)).rowcount
            return gone > 0

    def events(self) -> Iterator[Event]:
        """See `Store.events`."""
        last = 0
        while True:
            with self._reading() as db:
                rows = db.execute(
                    f"SELECT number, {FIELDS} FROM events WHERE number > ? ORDER BY number LIMIT {PAGE}",  # noqa: S608
                    (last,),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for row in rows:
                yield Event(*row[1:])

    def revisions(self) -> dict[str, str]:
        """See `Store.revisions`."""
        with self._reading() as db:
            return dict(db.execute("SELECT name, revision FROM lists"))

    def item_list(self, name: str) -> ItemList | None:
        """See `Store.item_list`."""
        with self._reading() as db:
            return _item_list(db, name)

    def put_list(self, name: str, items: Iterable[str], *, hidden: bool) -> None:
        """See `Store.put_list`."""
        with self._transaction() as db:
            _save_list(db, name, items, hidden=hidden)

    def change_list(self, name: str, add: Iterable[str], remove: Iterable[str]) -> bool:
        """See `Store.change_list`."""
        with self._transaction() as db:
            held = _item_list(db, name)
            if held:
                _save_list(db, name, held.changed(add, remove), hidden=held.hidden)
            return held is not None

    def drop_list(self, name: str) -> bool:
        """See `Store.drop_list`."""
        with self._transaction() as db:
            return db.execute("DELETE FROM lists WHERE name = ?", (name,)).rowcount > 0

    def expire(self, now: float) -> int:
        """See `Store.expire`."""
        gone, part = 0, EXPIRED
        while part == EXPIRED:
            with self._transaction() as db:
                part = db.execute(
                    "DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions WHERE seen < ? LIMIT ?)",
                    (now - self._idle, EXPIRED),
                ).rowcount
            gone += part
            time.sleep(PAUSE)
        return gone

    def ping(self) -> None:
        """See `Store.ping`: a visit is recorded as any other, and taken back in the same transaction."""
        now = time.time()
        with self._transaction() as db:
            self._apply(db, [Event(PROBE, PROBE, "view", PROBE, now, int(now * 1e6))])
            db.execute("DELETE FROM events WHERE session = ?", (PROBE,))
            db.execute("DELETE FROM sessions WHERE id = ?", (PROBE,))

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None


def _dump(events: Sequence[Event]) -> str:
    return to_json([one[:-1] for one in events]).decode()  # all fields but ``timed``


def _load(text: str, whose: str) -> tuple[Event, ...]:
    try:
        return tuple([Event(*fields) for fields in from_json(text)])
    except (TypeError, ValueError) as error:
        raise DamagedError(f"the row of {whose} cannot be read: {type(error).__name__}") from error


def _read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that writes nothing, not even the files that SQLite has beside a database in use.

    In a folder that may not be written to, a database that nobody has open is read without those files.
    """
    modes = ["mode=ro"] if os.access(path.parent, os.W_OK) else ["mode=ro", "mode=ro&immutable=1"]
    while True:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{modes.pop(0)}", timeout=2, uri=True, check_same_thread=False
        )
        try:
            connection.execute("SELECT 1 FROM events LIMIT 1")
        except sqlite3.Error:
            connection.close()
            if not modes:
                raise
        else:
            return connection


def _upgrade(db: sqlite3.Connection) -> None:
    """Give a file of before what it lacks; several servers may do so at a time."""
    db.execute("BEGIN IMMEDIATE")
    if "shown" not in [column for _, column, *_ in db.execute("PRAGMA table_info (sessions)")]:
        db.execute("ALTER TABLE sessions ADD COLUMN shown TEXT")
    db.execute("DROP TABLE IF EXISTS shown")
    db.execute("COMMIT")


def _rows(db: sqlite3.Connection, names: Iterable[str]) -> dict[str, State]:
    """Return sessions and what they were shown, without what their users have bought."""
    rows = db.execute(
        "SELECT id, user, start, seen, visits, purchases, shown FROM sessions"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (to_json(list(names)).decode(),),
    )
    return {
        name: State(
            Session(name, user, start, seen, _load(visits, "a session"), _load(purchases, "a session")),
            (),
            _shown(shown) if shown else None,
        )
        for name, user, start, seen, visits, purchases, shown in rows.fetchall()
    }


def _shown(text: str) -> ShownItems | None:
    try:
        return ShownItems(*from_json(text))
    except (TypeError, ValueError):  # nothing but a figure hangs on it
        return None


def _save(db: sqlite3.Connection, before: Mapping[str, State], after: Mapping[str, Session]) -> None:
    """Write sessions; of those that are there the user only where it is another, so that its index stays as it is."""
    rows = {name: (one.start, one.seen, _dump(one.visits), _dump(one.purchases)) for name, one in after.items()}
    db.executemany(
        "REPLACE INTO sessions (start, seen, visits, purchases, user, id) VALUES (?, ?, ?, ?, ?, ?)",
        [(*row, after[name].user, name) for name, row in rows.items() if name not in before],
    )
    db.executemany(
        "UPDATE sessions SET start = ?, seen = ?, visits = ?, purchases = ? WHERE id = ?",
        [(*row, name) for name, row in rows.items() if name in before],
    )
    named = [name for name in rows if name in before and after[name].user != before[name].session.user]
    db.executemany("UPDATE sessions SET user = ? WHERE id = ?", [(after[name].user, name) for name in named])


def _logged(db: sqlite3.Connection, event: Event) -> Event:
    """Append ``event`` to the log, and return it, or the one of its name that is there already."""
    added = db.execute(f"INSERT OR IGNORE INTO events ({FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", event[:-1])  # noqa: S608
    if added.rowcount:
        return event
    found = f"SELECT {FIELDS} FROM events WHERE session = ? AND event = ?"  # noqa: S608
    return Event(*db.execute(found, event[:2]).fetchone())


def _purchases(db: sqlite3.Connection, user: str) -> tuple[Event, ...] | None:
    row = db.execute("SELECT purchases FROM users WHERE id = ?", (user,)).fetchone()
    return _load(row[0], "a user") if row else None


def _credit(db: sqlite3.Connection, user: str, purchases: Sequence[Event], kept: int) -> None:
    """Add ``purchases`` to those of ``user``, the newest ``kept`` of them; one known stays once."""
    held = _purchases(db, user) or ()
    for one in purchases:
        held = insert(held, one, kept)
    db.execute("REPLACE INTO users VALUES (?, ?)", (user, _dump(held)))


def _bought(db: sqlite3.Connection, session: Session) -> tuple[Event, ...]:
    return (_purchases(db, session.user) or ()) if session.user else ()


def _item_list(db: sqlite3.Connection, name: str) -> ItemList | None:
    row = db.execute("SELECT items, hidden, revision FROM lists WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    try:
        return ItemList(frozenset(from_json(row[0])), bool(row[1]), row[2])
    except (TypeError, ValueError) as error:
        raise DamagedError(f"the row of a list cannot be read: {type(error).__name__}") from error


def _save_list(db: sqlite3.Connection, name: str, items: Iterable[str], *, hidden: bool) -> None:
    row = (name, hidden, uuid.uuid4().hex, to_json(sorted(items)).decode())
    db.execute("REPLACE INTO lists (name, hidden, revision, items) VALUES (?, ?, ?, ?)", row)
