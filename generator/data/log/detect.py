"""Which public format a log is in, and which of its columns says what, by its header and first rows."""

import re
from collections.abc import Iterable

import polars as pl

from generator.data.log import formats, tables
from generator.data.log.layouts import FORMATS, Layout, normal
from generator.data.log.sources import Frame, Source
from generator.data.log.tables import Table
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
    "receivedat",
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
    if isinstance(source, Frame) or source.suffix in formats.PARQUET:
        return "events"
    with tables.unpacked(source) as plain:
        first = tables.first_line(plain, source)
        for form in FORMATS:
            if form == "recbole" and ":" not in first:  # whose columns name their types
                continue
            try:
                table, layout = formats.published(plain, source, form)
            except DataError:
                continue
            if layout is None or _fits(table, layout):
                return form
    return "events"


def _fits(table: Table, layout: Layout) -> bool:
    """Return whether the first rows of a table are, nine in ten, events of the layout."""
    try:
        read = table.frame.head(PROBED).select(time=layout.roles["time"], event=layout.roles["event"]).collect()
    except pl.exceptions.PolarsError:
        return False
    return read.height > 0 and read.drop_nulls().height >= 0.9 * read.height


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
