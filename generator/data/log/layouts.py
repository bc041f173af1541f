"""The public click-stream formats as published: which column says what."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from generator.errors import DataError

__all__ = ["FORMATS", "KINDS", "LABEL", "ROLES", "Layout", "generic", "normal"]

ROLES = ("user", "session", "time", "page", "event", "item", "category")
KINDS = ("view", "buy", "other")
LABEL = pl.Categorical(pl.Categories("drn-label"))  # pages, items and their categories have codes in common
LATEST_SECOND = 1e11  # a number beyond it cannot be unix seconds (year 5138), but is milliseconds since 1973

DAY = 86400.0


@dataclass(frozen=True)
class Layout:
    """One file of a public format.

    Attributes
    ----------
    columns
        The columns as published, in order; a header is matched by name, whatever its case and underscores.
    roles
        What each role of an event (ROLES) is made of: an expression over the columns under their ``normal`` names.
    separator, quote
        Of the fields.
    header
        Whether the first line names the columns; None: it may.
    resolution
        Seconds within which the times of two sessions cannot be put in order.
    mark
        Normal names of columns that no role reads but that tell this file from the format's others.
    """

    columns: tuple[str, ...]
    roles: Mapping[str, pl.Expr]
    separator: str = ","
    quote: str | None = None
    header: bool | None = True
    resolution: float = 0.0
    mark: tuple[str, ...] = ()


def normal(name: str) -> str:
    """Return a column's name without RecBole's type, case and underscores: ``Session_Id:token`` is ``sessionid``."""
    return name.split(":", maxsplit=1)[0].replace("_", "").strip().lower()


def _seconds(column: pl.Expr, unit: float = 1.0) -> pl.Expr:
    """Parse a number as a time in units of ``unit`` seconds; null where it is none or not finite."""
    number = column.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number * unit)


def _moment(column: pl.Expr, layout: str) -> pl.Expr:
    """Parse a date and time in UTC; null where it is none."""
    return column.str.to_datetime(layout, strict=False, time_unit="us").dt.epoch("us") / 1e6


def _kind(column: pl.Expr, view: str, buy: str, *other: str) -> pl.Expr:
    """Map the words of a format to view, buy and other; null for a word it does not have."""
    return (
        pl.when(column == view)
        .then(pl.lit("view"))
        .when(column == buy)
        .then(pl.lit("buy"))
        .when(column.is_in(other))
        .then(pl.lit("other"))
    )


def _item(column: str) -> dict[str, pl.Expr]:
    return {"page": pl.col(column), "item": pl.col(column)}


TAOBAO = Layout(
    ("user_id", "item_id", "category_id", "behavior", "timestamp"),
    {
        "user": pl.col("userid"),
        "time": _seconds(pl.col("timestamp")),
        **_item("itemid"),
        "category": pl.col("categoryid"),
        "event": _kind(pl.col("behavior"), "pv", "buy", "cart", "fav"),
    },
    header=None,
)
YOOCHOOSE_TIME = "%Y-%m-%dT%H:%M:%S%.fZ"
YOOCHOOSE_CLICKS = Layout(
    ("session_id", "timestamp", "item_id", "category"),
    {
        "session": pl.col("sessionid"),
        "time": _moment(pl.col("timestamp"), YOOCHOOSE_TIME),
        **_item("itemid"),
        "category": pl.col("category"),
        "event": pl.lit("view"),
    },
    header=False,
)
YOOCHOOSE_BUYS = Layout(
    ("session_id", "timestamp", "item_id", "price", "quantity"),
    {
        "session": pl.col("sessionid"),
        "time": _moment(pl.col("timestamp"), YOOCHOOSE_TIME),
        **_item("itemid"),
        "event": pl.lit("buy"),
    },
    header=False,
)
SESSION_REC = Layout(
    ("SessionId", "ItemId", "Time"),
    {
        "session": pl.col("sessionid"),
        "time": _seconds(pl.col("time")),
        **_item("itemid"),
        "event": pl.lit("view"),
    },
    separator="\t",
)
RETAILROCKET = Layout(
    ("timestamp", "visitorid", "event", "itemid", "transactionid"),
    {
        "user": pl.col("visitorid"),
        "time": _seconds(pl.col("timestamp"), 1e-3),
        **_item("itemid"),
        "event": _kind(pl.col("event"), "view", "transaction", "addtocart"),
    },
)
DIGINETICA = {
    "session": pl.col("sessionid"),
    "user": pl.when(pl.col("userid") != "NA").then(pl.col("userid")),
    "time": _moment(pl.col("eventdate"), "%Y-%m-%d") + _seconds(pl.col("timeframe"), 1e-3),
    **_item("itemid"),
}
DIGINETICA_PURCHASES = Layout(
    ("sessionId", "userId", "timeframe", "eventdate", "ordernumber", "itemId"),
    {**DIGINETICA, "event": pl.lit("buy")},
    separator=";",
    resolution=DAY,  # eventdate is a day and timeframe counts from the session's start
    mark=("ordernumber",),
)
DIGINETICA_VIEWS = Layout(
    ("sessionId", "userId", "itemId", "timeframe", "eventdate"),
    {**DIGINETICA, "event": pl.lit("view")},
    separator=";",
    resolution=DAY,
)
REES46 = Layout(
    (
        "event_time",
        "event_type",
        "product_id",
        "category_id",
        "category_code",
        "brand",
        "price",
        "user_id",
        "user_session",
    ),
    {
        "user": pl.col("userid"),
        "session": pl.col("usersession"),
        "time": _moment(pl.col("eventtime"), "%Y-%m-%d %H:%M:%S UTC"),
        **_item("productid"),
        "category": pl.col("categoryid"),
        "event": _kind(pl.col("eventtype"), "view", "purchase", "cart", "remove_from_cart"),
    },
    quote='"',
)
_RECBOLE = {"time": _seconds(pl.col("timestamp")), **_item("itemid"), "event": pl.lit("view")}
RECBOLE_USERS = Layout(("user_id", "item_id", "timestamp"), {"user": pl.col("userid"), **_RECBOLE}, separator="\t")
RECBOLE_SESSIONS = Layout(
    ("session_id", "item_id", "timestamp"), {"session": pl.col("sessionid"), **_RECBOLE}, separator="\t"
)

# The files of each format; the first layout whose columns are all there is taken.
FORMATS: dict[str, tuple[Layout, ...]] = {
    "taobao": (TAOBAO,),
    "yoochoose": (YOOCHOOSE_CLICKS, YOOCHOOSE_BUYS),
    "session-rec": (SESSION_REC,),
    "retailrocket": (RETAILROCKET,),
    "diginetica": (DIGINETICA_PURCHASES, DIGINETICA_VIEWS),
    "rees46": (REES46,),
    "recbole": (RECBOLE_SESSIONS, RECBOLE_USERS),
}


def generic(
    name: str, schema: Mapping[str, pl.DataType], columns: Mapping[str, str], *, lean: bool = False, kind: str = "file"
) -> Layout:
    """Return the layout of a log with named columns, the format `events`.

    Parameters
    ----------
    name
        The file or DataFrame, for messages.
    schema
        Its columns and their types.
    columns
        Role to column; a role that is not given is the column of its own name, if there is one.
    lean
        Events other than purchases may lack the item where it is the page.
    kind
        What messages call it: file or frame.

    Raises
    ------
    DataError
        A named column or a needed role is absent: page, and session or both user and time.
    """
    for role, column in columns.items():
        if role not in ROLES:
            raise DataError(f"--columns names {role!r}: the roles are {', '.join(ROLES)}")
        if column not in schema:
            raise DataError(f"{name}: no column {column} for {role}: the {kind} has {', '.join(schema)}")
    named = {role: columns.get(role, role) for role in ROLES if columns.get(role, role) in schema}
    if "page" not in named or not ("session" in named or {"user", "time"} <= named.keys()):
        raise DataError(
            f"{name}: has the columns {', '.join(schema)}, but events need page, and session or both user and time: "
            "say which they are, as in --columns page=url,user=visitor,time=when"
        )
    roles = {role: pl.col(column).cast(pl.String) for role, column in named.items()}
    if "time" in named:
        roles["time"] = _any_time(pl.col(named["time"]), schema[named["time"]])
    word = roles.get("event", pl.lit("view"))
    roles["event"] = word.cast(pl.Enum(KINDS), strict=False).fill_null("other")
    if "item" in roles:
        item = pl.coalesce(roles["item"], roles["page"])
        # To look labels up is most of the work of reading.
        roles["item"] = pl.when((word == "buy") | (item != roles["page"])).then(item) if lean else item
    else:
        roles["item"] = roles["page"]
    return Layout(tuple(schema), roles)


def _any_time(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Read a time of whatever type: unix seconds, unix milliseconds, a date and time, or ISO 8601 text."""
    if kind.is_temporal():
        return column.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    number = _seconds(column)
    number = pl.when(number.abs() > LATEST_SECOND).then(number / 1e3).otherwise(number)
    if kind != pl.String:
        return number
    plain = column.str.replace("T", " ", literal=True).str.replace(r"(Z|\s*UTC|[+]00:?00)$", "")
    forms = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
    return pl.coalesce(number, *(_moment(plain, form) for form in forms))
