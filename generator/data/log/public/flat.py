"""Public formats of flat rows, as published: separated text, some also as Parquet."""

import polars as pl

from generator.data.log.layouts import Layout

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


# By the file's name: the columns of clicks and purchases are the same.
_DRESSIPI = {"session": pl.col("sessionid"), "time": pl.col("date"), **_item("itemid")}
DRESSIPI_BUYS = Layout(("session_id", "item_id", "date"), {**_DRESSIPI, **BUY}, name="purchase")
DRESSIPI_VIEWS = Layout(("session_id", "item_id", "date"), {**_DRESSIPI, **VIEW}, name="session")
COVEO = Layout(
    (
        "session_id_hash",
        "event_type",
        "product_action",
        "product_sku_hash",
        "server_timestamp_epoch_ms",
        "hashed_url",
    ),
    {
        "session": pl.col("sessionidhash"),
        "time": pl.col("servertimestampepochms"),
        "page": pl.coalesce("productskuhash", "hashedurl"),
        "item": pl.coalesce("productskuhash", "hashedurl"),
        "event": pl.coalesce(pl.when(pl.col("productaction") != "").then("productaction"), "eventtype"),
    },
    {
        "detail": "view",
        "purchase": "buy",
        **dict.fromkeys(("pageview", "event", "event_product", "add", "remove", "click"), "other"),
    },
    quote='"',
)


def _last_clickouts(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Tell the last click-out of each session from those before, and what refers to an item from what does not."""
    step = pl.col("step").cast(pl.Int64, strict=False)
    clickout = pl.col("actiontype") == "clickout item"
    last = clickout & (step == step.filter(clickout).max().over("sessionid"))
    item = pl.col("reference").cast(pl.String).str.contains(r"^\d+$").fill_null(value=False)
    action = pl.when(last).then(pl.lit("last clickout item")).otherwise("actiontype")
    return frame.with_columns(
        actiontype=pl.when(item | ~pl.col("actiontype").str.contains("item")).then(action).otherwise(pl.lit("no item")),
        reference=pl.when(item).then("reference"),
    )


TRIVAGO = Layout(
    (
        "user_id",
        "session_id",
        "timestamp",
        "step",
        "action_type",
        "reference",
        "platform",
        "city",
        "device",
        "current_filters",
        "impressions",
        "prices",
    ),
    {
        "user": pl.col("userid"),
        "session": pl.col("sessionid"),
        "time": pl.col("timestamp"),
        **_item("reference"),
        "event": pl.col("actiontype"),
    },
    {
        "last clickout item": "buy",
        "clickout item": "view",
        **{f"interaction item {part}": "view" for part in ("image", "info", "deals", "rating")},
        "search for item": "view",
        **dict.fromkeys(("search for poi", "search for destination", "change of sort order"), "other"),
        **dict.fromkeys(("filter selection", "no item"), "other"),
    },
    within=pl.col("step").cast(pl.Float64, strict=False) / 1e6,  # of one second, by step
    unfold=_last_clickouts,
    quote='"',
)
JDATA = Layout(
    ("user_id", "sku_id", "time", "model_id", "type", "cate", "brand"),
    {
        "user": pl.col("userid").str.strip_suffix(".0"),
        "time": pl.col("time"),
        **_item("skuid"),
        "category": pl.col("cate"),
        "event": pl.col("type"),
    },
    {"1": "view", "4": "buy", **dict.fromkeys("2356", "other")},
)
TMALL = Layout(
    ("user_id", "item_id", "cat_id", "seller_id", "brand_id", "time_stamp", "action_type"),
    {
        "user": pl.col("userid"),
        "time": pl.col("timestamp").cast(pl.String).str.zfill(4).str.replace(r"^(\d\d)(\d\d)$", "2014-$1-$2"),
        **_item("itemid"),
        "category": pl.col("catid"),
        "event": pl.col("actiontype"),
    },
    {"0": "view", "2": "buy", "1": "other", "3": "other"},
    resolution=DAY,
)
TIANCHI = Layout(
    ("user_id", "item_id", "behavior_type", "user_geohash", "item_category", "time"),
    {
        "user": pl.col("userid"),
        "time": pl.col("time"),
        **_item("itemid"),
        "category": pl.col("itemcategory"),
        "event": pl.col("behaviortype"),
    },
    {"1": "view", "4": "buy", "2": "other", "3": "other"},
    resolution=3600.0,
)


def _sequence(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Make an event of each item that a row lists, and of the one that comes next where it is told."""
    there = "nextitem" in frame.collect_schema()
    following = pl.concat_str(pl.lit(" '"), pl.col("nextitem").fill_null(""), pl.lit("'")) if there else pl.lit("")
    items = pl.concat_str(pl.col("previtems"), following).str.extract_all("'[^']+'")
    return (
        frame.with_columns(session=pl.col("_row").cast(pl.String), page=items)
        .explode("page")
        .with_columns(pl.col("page").str.strip_chars("'"))
    )


AMAZON_M2 = Layout(
    ("prev_items", "next_item", "locale"),
    {"session": pl.col("session"), **_item("page"), **VIEW},
    unfold=_sequence,
    quote='"',
    mark=("previtems", "locale"),
)
GLOBO = Layout(
    ("user_id", "session_id", "click_article_id", "click_timestamp"),
    {
        "user": pl.col("userid"),
        "session": pl.col("sessionid"),
        "time": pl.col("clicktimestamp"),
        **_item("clickarticleid"),
        **VIEW,
    },
)
SNOWPLOW_NAMES = (
    "app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id txn_id name_tracker v_tracker "
    "v_collector v_etl user_id user_ipaddress user_fingerprint domain_userid domain_sessionidx network_userid "
    "geo_country geo_region geo_city geo_zipcode geo_latitude geo_longitude geo_region_name ip_isp "
    "ip_organization ip_domain ip_netspeed page_url page_title page_referrer page_urlscheme page_urlhost "
    "page_urlport page_urlpath page_urlquery page_urlfragment refr_urlscheme refr_urlhost refr_urlport "
    "refr_urlpath refr_urlquery refr_urlfragment refr_medium refr_source refr_term mkt_medium mkt_source mkt_term "
    "mkt_content mkt_campaign contexts se_category se_action se_label se_property se_value unstruct_event "
    "tr_orderid tr_affiliation tr_total tr_tax tr_shipping tr_city tr_state tr_country ti_orderid ti_sku ti_name "
    "ti_category ti_price ti_quantity pp_xoffset_min pp_xoffset_max pp_yoffset_min pp_yoffset_max useragent "
    "br_name br_family br_version br_type br_renderengine br_lang br_features_pdf br_features_flash "
    "br_features_java br_features_director br_features_quicktime br_features_realplayer br_features_windowsmedia "
    "br_features_gears br_features_silverlight br_cookies br_colordepth br_viewwidth br_viewheight os_name "
    "os_family os_manufacturer os_timezone dvce_type dvce_ismobile dvce_screenwidth dvce_screenheight doc_charset "
    "doc_width doc_height tr_currency tr_total_base tr_tax_base tr_shipping_base ti_currency ti_price_base "
    "base_currency geo_timezone mkt_clickid mkt_network etl_tags dvce_sent_tstamp refr_domain_userid "
    "refr_device_tstamp derived_contexts domain_sessionid derived_tstamp event_vendor event_name event_format "
    "event_version event_fingerprint true_tstamp"
)
SNOWPLOW = Layout(
    tuple(SNOWPLOW_NAMES.split()),
    {
        "user": pl.col("domainuserid"),
        "session": pl.col("domainsessionid"),
        "time": pl.col("collectortstamp"),
        "page": pl.coalesce(pl.when(pl.col("tisku") != "").then("tisku"), "pageurlpath"),
        "item": pl.coalesce(pl.when(pl.col("tisku") != "").then("tisku"), "pageurlpath"),
        "category": pl.col("ticategory"),
        "event": pl.col("event"),
    },
    {"page_view": "view", "transaction_item": "buy"},
    lenient=True,
    separator="\t",
    header=None,
)


def _products(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Make a row of each product of a hit; of one that names none, one of its page."""
    events = pl.concat_str(pl.lit(","), pl.col("posteventlist").fill_null(""), pl.lit(","))
    product = (
        pl.col("postproductlist").str.split(",").list.eval(pl.element().str.split(";").list.get(1, null_on_oob=True))
    )
    return (
        frame.filter((pl.col("excludehit") == "0").fill_null(value=True))
        .with_columns(
            event=pl.when(events.str.contains(",1,", literal=True))
            .then(pl.lit("purchase"))
            .when(events.str.contains(",2,", literal=True))
            .then(pl.lit("prodView"))
            .otherwise(pl.lit("hit")),
            product=pl.when(pl.col("postproductlist") != "").then(product),
        )
        .explode("product")
    )


ADOBE = Layout(
    (
        *("hit_time_gmt", "exclude_hit", "post_visid_high", "post_visid_low", "visit_num", "post_pagename"),
        *("post_event_list", "post_product_list"),
    ),
    {
        "user": pl.concat_str("postvisidhigh", "postvisidlow", separator="-"),
        "session": pl.concat_str("postvisidhigh", "postvisidlow", "visitnum", separator="-"),
        "time": pl.col("hittimegmt"),
        "page": pl.coalesce(pl.when(pl.col("product") != "").then("product"), "postpagename"),
        "item": pl.col("product"),
        "event": pl.col("event"),
    },
    {"prodView": "view", "purchase": "buy", "hit": "other"},
    separator="\t",
    unfold=_products,
    mark=("hittimegmt", "excludehit", "postvisidhigh", "visitnum", "postpagename", "posteventlist", "postproductlist"),
)
