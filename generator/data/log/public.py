"""The public click-stream formats as published."""

import polars as pl

from generator.data.log.layouts import Format, Layout

__all__ = ["FORMATS"]

DAY = 86400.0


def _item(column: str) -> dict[str, pl.Expr]:
    return {"page": pl.col(column), "item": pl.col(column)}


def _present(column: str, missing: str) -> pl.Expr:
    return pl.when(pl.col(column) != missing).then(pl.col(column))


VIEW, BUY = {"event": pl.lit("view")}, {"event": pl.lit("buy")}

TAOBAO = Layout(
    ("user_id", "item_id", "category_id", "behavior", "timestamp"),
    {
        "user": pl.col("userid"),
        "time": pl.col("timestamp"),
        **_item("itemid"),
        "category": pl.col("categoryid"),
        "event": pl.col("behavior"),
    },
    {"pv": "view", "buy": "buy", "cart": "other", "fav": "other"},
    header=None,
)
YOOCHOOSE_CLICKS = Layout(
    ("session_id", "timestamp", "item_id", "category"),
    {
        "session": pl.col("sessionid"),
        "time": pl.col("timestamp"),
        **_item("itemid"),
        "category": pl.col("category"),
        **VIEW,
    },
    header=False,
)
YOOCHOOSE_BUYS = Layout(
    ("session_id", "timestamp", "item_id", "price", "quantity"),
    {"session": pl.col("sessionid"), "time": pl.col("timestamp"), **_item("itemid"), **BUY},
    header=False,
)
SESSION_REC = Layout(
    ("SessionId", "ItemId", "Time"),
    {"session": pl.col("sessionid"), "time": pl.col("time"), **_item("itemid"), **VIEW},
    separator="\t",
)
RETAILROCKET = Layout(
    ("timestamp", "visitorid", "event", "itemid", "transactionid"),
    {"user": pl.col("visitorid"), "time": pl.col("timestamp"), **_item("itemid"), "event": pl.col("event")},
    {"view": "view", "transaction": "buy", "addtocart": "other"},
)
DIGINETICA = {
    "session": pl.col("sessionid"),
    "user": _present("userid", "NA"),
    "time": pl.col("eventdate"),
    **_item("itemid"),
}
TIMEFRAME = pl.col("timeframe").cast(pl.Float64, strict=False) / 1e3
DIGINETICA_PURCHASES = Layout(
    ("sessionId", "userId", "timeframe", "eventdate", "ordernumber", "itemId"),
    {**DIGINETICA, **BUY},
    within=TIMEFRAME,
    separator=";",
    resolution=DAY,  # eventdate is a day and timeframe counts from the session's start
    mark=("ordernumber",),
)
DIGINETICA_VIEWS = Layout(
    ("sessionId", "userId", "itemId", "timeframe", "eventdate"),
    {**DIGINETICA, **VIEW},
    within=TIMEFRAME,
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
        "time": pl.col("eventtime"),
        **_item("productid"),
        "category": pl.col("categoryid"),
        "event": pl.col("eventtype"),
    },
    {"view": "view", "purchase": "buy", "cart": "other", "remove_from_cart": "other"},
    quote='"',
)
_RECBOLE = {"time": pl.col("timestamp"), **_item("itemid"), **VIEW}
RECBOLE_USERS = Layout(("user_id", "item_id", "timestamp"), {"user": pl.col("userid"), **_RECBOLE}, separator="\t")
RECBOLE_SESSIONS = Layout(
    ("session_id", "item_id", "timestamp"), {"session": pl.col("sessionid"), **_RECBOLE}, separator="\t"
)

FORMATS: dict[str, Format] = {
    "taobao": Format(
        "Taobao UserBehavior",
        "https://tianchi.aliyun.com/dataset/649",
        (TAOBAO,),
        (
            "Some times are years off (1902, 2037): the first are malformed rows, the last steer no split.",
            "Hardly an item is bought twice, and seldom the one viewed last: the category is the better label.",
            "Carts and favourites help as visits: `--events view=pv,cart,fav`.",
        ),
    ),
    "yoochoose": Format(
        "RecSys Challenge 2015, YooChoose",
        "https://www.kaggle.com/datasets/chadgostopp/recsys-challenge-2015",
        (YOOCHOOSE_CLICKS, YOOCHOOSE_BUYS),
        ("Clicks and buys are two files: give both for target purchase.",),
    ),
    "session-rec": Format(
        "session-rec's prepared files",
        "https://github.com/rn5l/session-rec",
        (SESSION_REC,),
        ("Its prepared splits are files: `--test FILE`.",),
    ),
    "retailrocket": Format(
        "RetailRocket events",
        "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        (RETAILROCKET,),
        ("It has no sessions: they are cut by the gap.",),
    ),
    "diginetica": Format(
        "CIKM Cup 2016, Diginetica",
        "https://competitions.codalab.org/competitions/11161",
        (DIGINETICA_PURCHASES, DIGINETICA_VIEWS),
        (
            "Views and purchases are two files: give both for target purchase.",
            "The time of a session is known to the day: sessions of one day have no order.",
        ),
    ),
    "rees46": Format(
        "REES46 e-commerce behaviour",
        "https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store",
        (REES46,),
        ("A session id may come back days later: `--gap` splits it.",),
    ),
    "recbole": Format(
        "RecBole's atomic files",
        "https://recbole.io/docs/user_guide/data/atomic_files.html",
        (RECBOLE_SESSIONS, RECBOLE_USERS),
        ("Lists of items are read as sessions without times; equal rows count once.",),
    ),
}
