"""The table of the public formats."""

from generator.data.log.layouts import Format
from generator.data.log.public import flat, nested

__all__ = ["FORMATS"]

FORMATS: dict[str, Format] = {
    "taobao": Format(
        "Taobao UserBehavior",
        "https://tianchi.aliyun.com/dataset/649",
        (flat.TAOBAO,),
        (
            "Some times are years off (1902, 2037): the first are malformed rows, the last steer no split.",
            "Hardly an item is bought twice, and seldom the one viewed last: the category is the better label.",
            "Carts and favourites help as visits: `--events view=pv,cart,fav`.",
        ),
    ),
    "yoochoose": Format(
        "RecSys Challenge 2015, YooChoose",
        "https://www.kaggle.com/datasets/chadgostopp/recsys-challenge-2015",
        (flat.YOOCHOOSE_CLICKS, flat.YOOCHOOSE_BUYS),
        ("Clicks and buys are two files: give both for target purchase.",),
    ),
    "session-rec": Format(
        "session-rec's prepared files",
        "https://github.com/rn5l/session-rec",
        (flat.SESSION_REC,),
        ("Its prepared splits are files: `--test FILE`.",),
    ),
    "retailrocket": Format(
        "RetailRocket events",
        "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        (flat.RETAILROCKET,),
        ("It has no sessions: they are cut by the gap.",),
    ),
    "diginetica": Format(
        "CIKM Cup 2016, Diginetica",
        "https://competitions.codalab.org/competitions/11161",
        (flat.DIGINETICA_PURCHASES, flat.DIGINETICA_VIEWS),
        (
            "Views and purchases are two files: give both for target purchase.",
            "The time of a session is known to the day: sessions of one day have no order.",
        ),
    ),
    "rees46": Format(
        "REES46 e-commerce behaviour",
        "https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store",
        (flat.REES46,),
        ("A session id may come back days later: `--gap` splits it.",),
    ),
    "recbole": Format(
        "RecBole's atomic files",
        "https://recbole.io/docs/user_guide/data/atomic_files.html",
        (flat.RECBOLE_SESSIONS, flat.RECBOLE_USERS),
        ("Lists of items are read as sessions without times; equal rows count once.",),
    ),
    "dressipi": Format(
        "RecSys Challenge 2022, Dressipi",
        "https://www.recsyschallenge.com/2022/dataset.html",
        (flat.DRESSIPI_BUYS, flat.DRESSIPI_VIEWS),
        (
            "Sessions and purchases are two files of the same columns, told by their names: keep those, "
            "train_sessions.csv and train_purchases.csv.",
            "The item bought is never among the views.",
        ),
    ),
    "coveo": Format(
        "SIGIR eCom 2021, Coveo",
        "https://github.com/coveooss/SIGIR-ecom-data-challenge",
        (flat.COVEO,),
        (
            "A product's page is logged twice, as pageview and as detail: only the detail is a visit. "
            "`--events view=detail,pageview` takes pages without a product too.",
        ),
    ),
    "trivago": Format(
        "RecSys Challenge 2019, trivago",
        "https://recsys.trivago.cloud/challenge/dataset/",
        (flat.TRIVAGO,),
        (
            "The last click-out of a session is its purchase; those before it and interactions are visits.",
            "Order within a second is by step.",
            "The reference is an item only for click-outs, interactions and searches for an item, and then of digits.",
            "Impressions and prices are not read.",
            "By time nine in ten labels are new items.",
        ),
    ),
    "jdata": Format(
        "JData 2017, JD.com",
        "https://jdata.jd.com/html/detail.html?id=1",
        (flat.JDATA,),
        (
            "Users are written as doubles (266079.0): they lose the .0.",
            "Clicks (6) are many and no visits: `--events view=1,6` takes them.",
            "Months overlap: `--drop-repeats 0` takes a row that is in two files once.",
        ),
    ),
    "tmall": Format(
        "IJCAI 2015 repeat buyers, Tmall",
        "https://tianchi.aliyun.com/dataset/42",
        (flat.TMALL,),
        (
            "Times are a month and a day (0829), taken as of 2014: a user's day is a session, and has no dwell times.",
            "The last day is the sale of 11 November, unlike all others.",
        ),
    ),
    "tianchi-mobile": Format(
        "Tianchi mobile recommendation",
        "https://tianchi.aliyun.com/dataset/46",
        (flat.TIANCHI,),
        ("Times are hours: give `--gap 90`, for the default of 30 minutes cuts after every hour.",),
    ),
    "amazon-m2": Format(
        "KDD Cup 2023, Amazon-M2",
        "https://www.aicrowd.com/challenges/amazon-kdd-cup-23-multilingual-recommendation-challenge",
        (flat.AMAZON_M2,),
        (
            "Lists are as numpy prints them, without commas, and may go on over lines.",
            "It has no times and no users: a row is a session, and is held out by its hash.",
        ),
    ),
    "globo": Format(
        "G1 news portal, Globo",
        "https://www.kaggle.com/datasets/gspmoreira/news-portal-user-interactions-by-globocom",
        (flat.GLOBO,),
        (
            "It is a folder of a file an hour, by the start of the session: give the folder.",
            "Articles live a day or two: split by time, and tune on the newest days.",
        ),
    ),
    "snowplow": Format(
        "Snowplow's enriched events",
        "https://docs.snowplow.io/docs/fundamentals/canonical-event/",
        (flat.SNOWPLOW,),
        (
            "The stream's files have no header and 131 fields; exports of the warehouse have one.",
            "Pages are paths, items bought are SKUs: they are one vocabulary only where the paths are.",
        ),
    ),
    "adobe": Format(
        "Adobe Analytics data feed",
        "https://experienceleague.adobe.com/en/docs/analytics/export/analytics-data-feed/"
        "data-feed-contents/datafeeds-reference",
        (flat.ADOBE,),
        (
            "The header is a file of its own: put column_headers.tsv before hit_data.tsv (`cat`).",
            "Events are numbers: 1 is a purchase, 2 a product view.",
            "Hits that Adobe excludes are left out.",
        ),
    ),
    "otto": Format(
        "RecSys 2022, OTTO",
        "https://github.com/otto-de/recsys-dataset",
        (nested.OTTO,),
        (
            "What it calls a session is a user's stream of weeks: it is cut by the gap.",
            "Views are clicks; carts are others: `--events view=clicks,carts` takes them as visits.",
        ),
        nested.otto,
    ),
    "ga4": Format(
        "Google Analytics 4, BigQuery's export as JSON lines or Parquet",
        "https://support.google.com/analytics/answer/7029846",
        (nested.GA4,),
        (
            "Times are in µs; a session is a user's ga_session_id.",
            "Visits are view_item, of each of its items; `--events view=view_item,page_view` takes pages too.",
            "A purchase page that is loaded again is logged again: `--drop-repeats 3600`.",
        ),
        nested.ga4,
    ),
    "ga360": Format(
        "Google Analytics 360, ga_sessions rows as JSON lines or Parquet",
        "https://support.google.com/analytics/answer/3437719",
        (nested.GA360,),
        (
            "A row is a visit; the time of a hit counts from its start. Impressions of products are left out.",
            "Words are eCommerceAction.action_type: 2 a product's details, 6 a purchase, 0 any other hit.",
        ),
        nested.ga360,
    ),
    "segment": Format(
        "Segment and RudderStack, e-commerce events as JSON lines or Parquet",
        "https://segment.com/docs/connections/spec/ecommerce/v2/",
        (nested.SEGMENT,),
        (
            "Visits are Product Viewed, purchases the products of Order Completed; page calls are others: "
            "`--events view=page` takes them.",
            "A user is the anonymousId, which stays the same when one logs in.",
        ),
        nested.segment,
    ),
    "matomo": Format(
        "Matomo's Live.getLastVisitsDetails as JSON lines",
        "https://developer.matomo.org/api-reference/reporting-api",
        (nested.MATOMO,),
        ("The API answers with one array: `jq -c '.[]'` makes lines of it.",),
        nested.matomo,
    ),
}
