"""Which public format a log is in, and which of its columns says what, by its header and first rows."""

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from generator.data.log import formats, tables
from generator.data.log.layouts import Layout, normal
from generator.data.log.public.table import FORMATS
from generator.data.log.sources import Frame, Source
from generator.data.log.tables import Table
from generator.data.log.times import LIKELY, Clock
from generator.errors import DataError

__all__ = ["candidates_of", "detect", "roles_of"]

PROBED = 100  # rows looked at

# By role, what its column is often called, as ``normal`` names it; the first that is there is taken.
COLUMN_NAMES = {
    "user": "user userid uid visitor visitorid fullvisitorid userpseudoid customer customerid client clientid member "
    "memberid account accountid anonymousid domainuserid cookie cookieid device deviceid person personid profileid "
    "idvisitor",
    "session": "session sessionid usersession sid visit visitid idvisit gasessionid domainsessionid sess sessid "
    "sessionkey",
    "time": "time timestamp eventtime ts datetime when date eventtimestamp clicktimestamp eventdatetime servertime "
    "servertimestamp servertimestampepochms derivedtstamp collectortstamp unixtime epoch createdat occurredat loggedat "
    "receivedat orderdate ordertime purchasedate purchasetime purchasedat visittime visitdate clicktime viewtime",
    "page": "page url pageurl pageid pagepath pagelocation itemid item productid product articleid clickarticleid "
    "article path uri link href contentid content documentid document newsid postid videoid video trackid track songid "
    "movieid sku skuid asin productskuhash goodsid aid offerid listingid hotelid reference",
    "event": "event eventtype action actiontype productaction behavior behaviour behaviortype eventname interaction "
    "interactiontype activity activitytype eventaction verb kind type",
    "item": "item itemid productid product sku skuid asin productskuhash goodsid aid offerid listingid hotelid",
    "category": "category categoryid cat categorycode itemcategory productcategory catid department",
}


def detect(source: Source) -> str:
    """Return the format of a log: one of FORMAT_NAMES, ``events`` where it is none of the public ones.

    A file is in a public format if its header, or without one its first rows, are those of the format.

    Raises
    ------
    DataError
        The file is absent, empty or not text.

    Examples
    --------
    >>> detect(Path("UserBehavior.csv"))  # doctest: +SKIP
    'taobao'
    """
    if isinstance(source, Frame):
        return "events"
    with tables.unpacked(source) as plain, TemporaryDirectory(prefix="drn-") as name:
        head = _head(plain, Path(name))
        if plain.suffix in formats.PARQUET:
            first, nested = "", tables.is_nested(head, source)
        else:
            first = tables.first_line(plain, source)
            nested = first.startswith("{")
        for form, told in FORMATS.items():
            if form == "recbole" and ":" not in first:  # whose columns name their types
                continue
            if (told.records is not None) != nested:
                continue
            try:
                table, layout = formats.published(head, source, Path(name), form)
            except DataError:
                continue
            if layout is None or _fits(table, layout):
                return form
    return "events"


def _head(plain: Path, folder: Path) -> Path:
    """Return a file of the first rows of another."""
    head = folder / f"head{plain.suffix}"
    if plain.suffix in formats.PARQUET:
        tables.collect(tables.parquet(plain, plain).frame.drop(tables.ROW).head(PROBED), str(plain)).write_parquet(head)
        return head
    with plain.open("rb") as stream:
        head.write_bytes(b"".join(islice(stream, PROBED)))
    return head


def _fits(table: Table, layout: Layout) -> bool:
    """Return whether the first rows of a table are, the first and nine in ten, events of the layout.

    The first row of a file that has a header, read without one, is none.
    """
    time = layout.roles.get("time", pl.lit(LIKELY))  # there is none to be wrong
    roles = {"time": time, "event": layout.roles["event"].cast(pl.String), "page": layout.roles["page"]}
    read = table.frame.head(PROBED).select(**roles)
    raw = tables.collect(read, table.name)
    known = raw["event"].is_in(list(layout.words)) | (layout.lenient and raw["event"].is_not_null())
    dated = Clock()(raw["time"]) >= (LIKELY if layout.header is False else 0)
    events = (known & dated).fill_null(value=False)
    return raw.height > 0 and bool(events[0]) and events.sum() >= 0.9 * raw.height


def roles_of(columns: Iterable[str]) -> dict[str, str]:
    """Return the column of each role that a name gives away, as ``--columns`` takes them.

    Examples
    --------
    >>> roles_of(["visitor_id", "ts", "url"])
    {'user': 'visitor_id', 'time': 'ts', 'page': 'url'}
    """
    found = {role: names[0] for role, names in candidates_of(columns).items()}
    if found.get("item") == found.get("page"):
        found.pop("item", None)
    return found


def candidates_of(columns: Iterable[str]) -> dict[str, list[str]]:
    """Return for each role all columns that may be it by their names, those that say it best first.

    Examples
    --------
    >>> candidates_of(["ts", "created_at"])
    {'time': ['ts', 'created_at']}
    """
    there = {re.sub(r"[^a-z0-9]", "", normal(column)): column for column in columns}
    found = {role: [there[name] for name in names.split() if name in there] for role, names in COLUMN_NAMES.items()}
    return {role: several for role, several in found.items() if several}
