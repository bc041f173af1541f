"""Formats of shops and of analytics on invented rows in their published layout; told by header; in the docs."""

import json
from pathlib import Path

import polars as pl
import pytest

from generator.data.log.detect import detect
from generator.data.log.formats import files_of
from generator.data.log.importers import read_events
from generator.data.log.public.table import FORMATS
from generator.errors import DataError

NOON = 1700000000.0


def lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def otto() -> str:
    events = [{"aid": 7, "ts": 1700000000000, "type": "clicks"}, {"aid": 8, "ts": 1700000060123, "type": "orders"}]
    return lines({"session": 1, "events": events}, {"session": 2, "events": [{**events[0], "type": "carts"}]})


def ga4() -> str:
    def record(name: str, second: int, items: list) -> dict:
        params = [
            {"key": "ga_session_id", "value": {"int_value": "77"}},
            {"key": "page_location", "value": {"string_value": "/p"}},
        ]
        micros = str(1700000000000000 + second * 10**6)
        base = {"event_date": "20231114", "event_timestamp": micros, "event_name": name, "user_pseudo_id": "1.2"}
        return base | {"event_params": params, "items": items}

    item = {"item_id": "a", "item_category": "c", "price": 1.5}
    return lines(
        record("page_view", 0, []),
        record("view_item", 1, [item]),
        record("purchase", 2, [item, {"item_id": "b"}]),
    )


def ga360() -> str:
    def hit(number: int, action: str, products: list) -> dict:
        page = {"pagePath": f"/{number}"}
        return {
            "hitNumber": number,
            "time": number * 1000,
            "page": page,
            "eCommerceAction": {"action_type": action},
        } | {"product": products}

    shown = {"productSKU": "z", "isImpression": True}
    sku = {"productSKU": "a", "v2ProductCategory": "c"}
    visit = {"fullVisitorId": "9", "visitId": 4, "visitStartTime": "1700000000", "date": "20231114"}
    return lines(visit | {"hits": [hit(0, "0", [shown]), hit(1, "2", [sku]), hit(2, "6", [sku])]})


def segment() -> str:
    base = {"anonymousId": "x", "userId": None, "timestamp": "2023-11-14T22:13:20.000Z"}
    product = {"product_id": "a", "category": "c"}
    return lines(
        base | {"type": "page", "properties": {"path": "/home"}},
        base | {"type": "track", "event": "Product Viewed", "properties": product},
        base | {"type": "track", "event": "Order Completed", "properties": {"products": [product, {"sku": "b"}]}},
    )


def matomo() -> str:
    actions = [
        {"type": "action", "url": "/home", "timestamp": 1700000000},
        {"type": "action", "url": "/a", "productViewSku": "a", "timestamp": 1700000001},
        {"type": "ecommerceOrder", "timestamp": 1700000002, "itemDetails": [{"itemSKU": "a", "itemCategory": "c"}]},
    ]
    return lines({"idVisit": "5", "visitorId": "x", "actionDetails": actions})


def snowplow() -> str:
    names = FORMATS["snowplow"].layouts[0].columns

    def row(**values: str) -> str:
        base = {"collector_tstamp": "2023-11-14 22:13:20.000", "domain_userid": "u", "domain_sessionid": "s"}
        return "\t".join((base | values).get(name, "") for name in names) + "\n"

    view = row(event="page_view", page_urlpath="/a")
    return view + row(event="page_ping", page_urlpath="/a") + row(event="transaction_item", ti_sku="a", ti_category="c")


def adobe() -> str:
    names = ("hit_time_gmt", "exclude_hit", "post_visid_high", "post_visid_low", "visit_num", "post_pagename")
    names += ("post_event_list", "post_product_list")
    rows = [
        ("1700000000", "0", "1", "2", "3", "home", "", ""),
        ("1700000001", "0", "1", "2", "3", "a", "2,100", "c;a;;"),
        ("1700000002", "1", "1", "2", "3", "a", "2", "c;a;;"),
        ("1700000003", "0", "1", "2", "3", "done", "1,200=5", "c;a;1;9.5,c;b;1;2"),
    ]
    return "".join("\t".join(row) + "\n" for row in (names, *rows))


TRIVAGO = (
    "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,prices\n"
)

# By format: name of the file, content, and (user, session, time, page, item, category, event).
LOGS = {
    "otto": (
        "train.jsonl",
        otto(),
        [
            ("1", None, NOON, "7", "7", None, "view"),
            ("1", None, NOON + 60.123, "8", "8", None, "buy"),
            ("2", None, NOON, "7", "7", None, "other"),
        ],
    ),
    "dressipi": (
        "train_sessions.csv",
        "session_id,item_id,date\n3,9655,2020-12-18 21:25:00.373\n",
        [(None, "3", 1608326700.373, "9655", "9655", None, "view")],
    ),
    "dressipi purchases": (
        "train_purchases.csv",
        "session_id,item_id,date\n3,15085,2020-12-18 21:26:47\n",
        [(None, "3", 1608326807.0, "15085", "15085", None, "buy")],
    ),
    "coveo": (
        "browsing_train.csv",
        "session_id_hash,event_type,product_action,product_sku_hash,server_timestamp_epoch_ms,hashed_url\n"
        "s,pageview,,,1700000000000,h\ns,event_product,detail,k,1700000000000,h\ns,event_product,purchase,k,1700000009000,h\n",
        [
            (None, "s", NOON, "h", "h", None, "other"),
            (None, "s", NOON, "k", "k", None, "view"),
            (None, "s", NOON + 9, "k", "k", None, "buy"),
        ],
    ),
    "ga4": (
        "events.jsonl",
        ga4(),
        [
            ("1.2", "1.2.77", NOON, "/p", None, None, "other"),
            ("1.2", "1.2.77", NOON + 1, "a", "a", "c", "view"),
            ("1.2", "1.2.77", NOON + 2, "a", "a", "c", "buy"),
            ("1.2", "1.2.77", NOON + 2, "b", "b", None, "buy"),
        ],
    ),
    "ga360": (
        "sessions.jsonl",
        ga360(),
        [
            ("9", "9.4", NOON, "/0", None, None, "other"),
            ("9", "9.4", NOON + 1, "a", "a", "c", "view"),
            ("9", "9.4", NOON + 2, "a", "a", "c", "buy"),
        ],
    ),
    "trivago": (
        "train.csv",
        TRIVAGO
        + "u,s,1700000000,1,search for poi,Port,AU,Sydney,mobile,,,\n"
        + "u,s,1700000000,2,interaction item image,11,AU,Sydney,mobile,,,\n"
        + "u,s,1700000000,3,clickout item,12,AU,Sydney,mobile,,12|13,\n"
        + "u,s,1700000000,4,interaction item info,unknown,AU,Sydney,mobile,,,\n"
        + "u,s,1700000009,5,clickout item,13,AU,Sydney,mobile,Breakfast|4 Star,12|13,90|80\n"
        + "u,t,1700009000,1,clickout item,12,AU,Sydney,mobile,,12,\n",
        [
            ("u", "s", NOON + 1e-6, None, None, None, "other"),
            ("u", "s", NOON + 2e-6, "11", "11", None, "view"),
            ("u", "s", NOON + 3e-6, "12", "12", None, "view"),
            ("u", "s", NOON + 4e-6, None, None, None, "other"),
            ("u", "s", NOON + 9 + 5e-6, "13", "13", None, "buy"),
            ("u", "t", NOON + 9000, "12", "12", None, "buy"),
        ],
    ),
    "jdata": (
        "JData_Action_201602.csv",
        "user_id,sku_id,time,model_id,type,cate,brand\n"
        "7.0,1,2016-02-01 23:10:47,,1,6,78\n7.0,1,2016-02-01 23:11:00,,4,6,78\n",
        [("7", None, 1454368247.0, "1", "1", "6", "view"), ("7", None, 1454368260.0, "1", "1", "6", "buy")],
    ),
    "tmall": (
        "user_log_format1.csv",
        "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n1,2,3,4,5,829,0\n1,2,3,4,5,1111,2\n",
        [("1", None, 1409270400.0, "2", "2", "3", "view"), ("1", None, 1415664000.0, "2", "2", "3", "buy")],
    ),
    "tianchi-mobile": (
        "tianchi_mobile_recommend_train_user.csv",
        "user_id,item_id,behavior_type,user_geohash,item_category,time\n"
        "1,2,1,,3,2014-12-06 02\n1,2,4,,3,2014-12-06 03\n",
        [("1", None, 1417831200.0, "2", "2", "3", "view"), ("1", None, 1417834800.0, "2", "2", "3", "buy")],
    ),
    "amazon-m2": (
        "sessions_train.csv",
        "prev_items,next_item,locale\n\"['A1' 'A2'\n 'A3']\",A4,UK\n['B1'],B2,DE\n",
        [
            *((None, "2", None, item, item, None, "view") for item in ("A1", "A2", "A3", "A4")),
            *((None, "3", None, item, item, None, "view") for item in ("B1", "B2")),
        ],
    ),
    "globo": (
        "clicks_hour_000.csv",
        "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,click_environment\n"
        "0,1506825423271737,1506825423000,2,157541,1506826828020,4\n",
        [("0", "1506825423271737", 1506826828.02, "157541", "157541", None, "view")],
    ),
    "segment": (
        "calls.jsonl",
        segment(),
        [
            ("x", None, NOON, "/home", None, None, "other"),
            ("x", None, NOON, "a", "a", "c", "view"),
            ("x", None, NOON, "a", "a", "c", "buy"),
            ("x", None, NOON, "b", "b", None, "buy"),
        ],
    ),
    "snowplow": (
        "events.tsv",
        snowplow(),
        [
            ("u", "s", NOON, "/a", "/a", None, "view"),
            ("u", "s", NOON, "/a", "/a", None, "other"),
            ("u", "s", NOON, "a", "a", "c", "buy"),
        ],
    ),
    "adobe": (
        "hit_data.tsv",
        adobe(),
        [
            ("1-2", "1-2-3", NOON, "home", None, None, "other"),
            ("1-2", "1-2-3", NOON + 1, "a", "a", None, "view"),
            ("1-2", "1-2-3", NOON + 3, "a", "a", None, "buy"),
            ("1-2", "1-2-3", NOON + 3, "b", "b", None, "buy"),
        ],
    ),
    "matomo": (
        "visits.jsonl",
        matomo(),
        [
            ("x", "5", NOON, "/home", None, None, "view"),
            ("x", "5", NOON + 1, "a", "a", None, "view"),
            ("x", "5", NOON + 2, "a", "a", "c", "buy"),
        ],
    ),
}


def rows(path: Path, form: str) -> list[tuple]:
    frame = read_events([path], form).frame
    return frame.select("user", "session", "time", "page", "item", "category", "event").rows()


@pytest.mark.parametrize("name", LOGS)
def test_published_layouts(tmp_path: Path, name: str):
    file, content, expected = LOGS[name]
    (tmp_path / file).write_text(content)
    found = rows(tmp_path / file, name.split(maxsplit=1)[0])
    assert [row[:2] + row[3:] for row in found] == [row[:2] + row[3:] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], abs=1e-6)


@pytest.mark.parametrize("name", LOGS)
def test_they_are_told_by_header(tmp_path: Path, name: str):
    file, content, _ = LOGS[name]
    (tmp_path / file).write_text(content)
    assert detect(tmp_path / file) == name.split(maxsplit=1)[0]


def test_parquet_of_a_published_layout(tmp_path: Path):
    (tmp_path / "train.csv").write_text(LOGS["trivago"][1])
    frame = pl.read_csv(tmp_path / "train.csv")
    frame.write_parquet(tmp_path / "train.parquet")
    assert rows(tmp_path / "train.parquet", "trivago") == rows(tmp_path / "train.csv", "trivago")
    assert detect(tmp_path / "train.parquet") == "trivago"
    with pytest.raises(DataError, match="is no file of G1 news portal, Globo: it has no column clickarticleid"):
        read_events([tmp_path / "train.parquet"], "globo")


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.records])
def test_parquet_with_nested_columns_is_read_as_the_same_records_in_lines(tmp_path: Path, name: str):
    file, content, _ = LOGS[name]
    (tmp_path / file).write_text(content)
    nested, listed = tmp_path / "nested.parquet", tmp_path / "listed.parquet"
    frame = pl.read_ndjson(tmp_path / file)
    frame.write_parquet(nested)
    # As Arrow shows a list that its writer, BigQuery for one, has not marked as one.
    lists = [column for column, kind in frame.schema.items() if kind == pl.List]
    unmarked = [pl.col(column).list.eval(pl.struct(element=pl.element())).alias("list") for column in lists]
    frame.with_columns(
        pl.struct(each).alias(column) for each, column in zip(unmarked, lists, strict=True)
    ).write_parquet(listed)
    wanted = rows(tmp_path / file, name)
    for path in (nested, listed):
        assert detect(path) == name
        assert rows(path, name) == wanted


def test_a_nested_record_that_does_not_hold_is_named_by_its_row(tmp_path: Path):
    events = [[{"aid": 7, "ts": 1700000000000, "type": "clicks"}], [{"aid": 7, "ts": 1700000000000, "type": None}]]
    pl.DataFrame({"session": [1, 2], "events": events}).write_parquet(tmp_path / "log.parquet")
    found = read_events([tmp_path / "log.parquet"], "otto", max_bad=1)
    assert found.frame.height == 1
    assert found.notes[0].startswith("log.parquet: row 2: unknown event: ")


def test_real_logs_are_read_as_they_are(shared_data: Path):
    trivago = read_events([shared_data / "trivago" / "sessions_2018-11-07.parquet"], "trivago")
    assert trivago.rows == 50732
    assert trivago.skipped == {}
    assert trivago.frame["session"].n_unique() == 3828
    last = trivago.frame.filter(pl.col("event") == "buy")
    assert last["session"].n_unique() == last.height
    globo = shared_data / "globo" / "clicks_hours_225_239.parquet"
    assert detect(globo) == "globo"
    assert read_events([globo], "globo").rows == 208896


def test_records_that_lack_their_parts_are_malformed(tmp_path: Path):
    bad = lines({"session": 1, "events": [{"aid": 7}]}, {"session": 1, "events": 5}, {"session": 1, "events": ["x"]})
    (tmp_path / "train.jsonl").write_text(otto() + bad)
    events = read_events([tmp_path / "train.jsonl"], "otto", max_bad=1)
    assert events.frame.height == 3
    assert events.skipped == {"no ts": 1, "not a record of the format": 2}


def test_a_folder_of_hours_is_a_log(tmp_path: Path):
    for hour in (1, 0):
        (tmp_path / f"clicks_hour_00{hour}.csv").write_text(LOGS["globo"][1])
    (tmp_path / "README.md").write_text("about")
    assert [path.name for path in files_of(tmp_path)] == ["clicks_hour_000.csv", "clicks_hour_001.csv"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_is(name: str):
    form = FORMATS[name]
    assert form.title
    assert form.source.startswith("https://")
    assert form.traps
    assert all(trap.endswith((".", ")")) for trap in form.traps)
