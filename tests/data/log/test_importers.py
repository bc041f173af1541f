"""Every public format on invented rows in its published layout, and what is no such file."""

import gzip
import json
import os
from pathlib import Path

import polars as pl
import pytest

from generator.data.log import tables
from generator.data.log.importers import read_events
from generator.errors import DataError

NINE = 1396864269.277  # 2014-04-07T09:51:09.277Z

# format: (file name, content, rows expected as (user, session, time, page, category, event))
LAYOUTS = {
    "taobao": (
        "UserBehavior.csv",
        "1,11,7,pv,1511544070\n1,12,7,buy,1511544080\n2,11,7,cart,1511544090\n2,13,8,fav,1511544095\n",
        [
            ("1", None, 1511544070.0, "11", "7", "view"),
            ("1", None, 1511544080.0, "12", "7", "buy"),
            ("2", None, 1511544090.0, "11", "7", "other"),
            ("2", None, 1511544095.0, "13", "8", "other"),
        ],
    ),
    "yoochoose": (
        "yoochoose-clicks.dat",
        "1,2014-04-07T09:51:09.277Z,214,0\n1,2014-04-07T09:51:10.000Z,215,S\n",
        [("n", "1", NINE, "214", "0", "view"), ("n", "1", 1396864270.0, "215", "S", "view")],
    ),
    "yoochoose buys": (
        "yoochoose-buys.dat",
        "1,2014-04-07T09:51:09.277Z,214,12462,1\n",
        [("n", "1", NINE, "214", None, "buy")],
    ),
    "session-rec": (
        "train.tsv",
        "SessionId\tItemId\tTime\n3\t21\t1396437466.94\n",
        [("n", "3", 1396437466.94, "21", None, "view")],
    ),
    "retailrocket": (
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257,view,355,\n1433221332217,257,transaction,355,4\n"
        "1433221332317,257,addtocart,355,\n",
        [
            ("257", None, 1433221332.117, "355", None, "view"),
            ("257", None, 1433221332.217, "355", None, "buy"),
            ("257", None, 1433221332.317, "355", None, "other"),
        ],
    ),
    "diginetica": (
        "train-item-views.csv",
        "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81;526309;2016-05-09\n2;5;82;0;2016-05-09\n",
        [("n", "1", 1462752526.309, "81", None, "view"), ("5", "2", 1462752000.0, "82", None, "view")],
    ),
    "diginetica newer": (
        "train-item-views.csv",
        "session_id;user_id;item_id;timeframe;eventdate\n1;NA;81;0;2016-05-09\n",
        [("n", "1", 1462752000.0, "81", None, "view")],
    ),
    "diginetica purchases": (
        "train-purchases.csv",
        "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n150;18;17100868;2016-05-06;16421;25911\n",
        [("18", "150", 1462492800 + 17100.868, "25911", None, "buy")],
    ),
    "rees46": (
        "2019-Oct.csv",
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
        '2019-10-01 00:00:01 UTC,view,44,21,,"shi, seido",35.79,541,72d7\n'
        "2019-10-01 00:00:02 UTC,purchase,44,21,a.b,x,35.79,541,72d7\n"
        "2019-10-01 00:00:03 UTC,cart,44,21,a.b,x,1,541,72d7\n",
        [
            ("541", "72d7", 1569888001.0, "44", "21", "view"),
            ("541", "72d7", 1569888002.0, "44", "21", "buy"),
            ("541", "72d7", 1569888003.0, "44", "21", "other"),
        ],
    ),
    "recbole": (
        "shop.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n9\t8\t1\t100.5\n",
        [("9", None, 100.5, "8", None, "view")],
    ),
    "recbole sessions": (
        "shop.inter",
        "session_id:token\titem_id:token\ttimestamp:float\n9\t8\t100\n",
        [("n", "9", 100.0, "8", None, "view")],
    ),
}


def rows(events) -> list[tuple]:
    return events.frame.select("user", "session", "time", "page", "category", "event").rows()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts(tmp_path: Path, name: str, packed: bool):
    file, content, expected = LAYOUTS[name]
    path = tmp_path / (file + ".gz" if packed else file)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    events = read_events([path], name.split(" ", maxsplit=1)[0])
    expected = [(None if user == "n" else user, *rest) for user, *rest in expected]
    assert [row[:2] + row[3:] for row in rows(events)] == [row[:2] + row[3:] for row in expected]
    assert events.frame["time"].to_list() == pytest.approx([row[2] for row in expected], abs=1e-6)
    assert events.frame["item"].to_list() == events.frame["page"].to_list()
    assert (events.rows, events.skipped) == (len(expected), {})


def test_a_taobao_file_may_have_the_header_line(tmp_path: Path):
    content = LAYOUTS["taobao"][1]
    (tmp_path / "a.csv").write_text(content)
    (tmp_path / "b.csv").write_text("user_id,item_id,category_id,behavior,timestamp\n" + content)
    assert rows(read_events([tmp_path / "a.csv"], "taobao")) == rows(read_events([tmp_path / "b.csv"], "taobao"))


def test_line_ends_of_windows_and_a_byte_order_mark(tmp_path: Path):
    content = LAYOUTS["session-rec"][1]
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode())
    assert rows(read_events([tmp_path / "a.tsv"], "session-rec")) == [(None, "3", 1396437466.94, "21", None, "view")]


def test_files_of_a_log_follow_each_other(tmp_path: Path):
    for name in ("yoochoose", "yoochoose buys"):
        (tmp_path / LAYOUTS[name][0]).write_text(LAYOUTS[name][1])
    events = read_events([tmp_path / "yoochoose-clicks.dat", tmp_path / "yoochoose-buys.dat"], "yoochoose")
    assert events.frame["event"].to_list() == ["view", "view", "buy"]
    # One set of labels over all files: the item bought has the code of the page viewed.
    assert events.frame["item"].to_physical()[2] == events.frame["page"].to_physical()[0]


def test_diginetica_orders_days_only(tmp_path: Path):
    (tmp_path / "v.csv").write_text(LAYOUTS["diginetica"][1])
    assert read_events([tmp_path / "v.csv"], "diginetica").resolution == 86400


SEQUENCES = (
    "session_id:token\titem_id_list:token_seq\titem_type_list:token_seq\titem_id:token\n"
    "1\t5 6 7\t2 1 2\t7\n2\t5 6 7\t2 1 2\t7\n3\t5 8\t0 2\t9\n"
)


def test_behaviour_sequences(tmp_path: Path):
    (tmp_path / "a.inter").write_text(SEQUENCES)
    (tmp_path / "b.inter").write_text(SEQUENCES)
    events = read_events([tmp_path / "a.inter", tmp_path / "b.inter"], "recbole")
    assert events.rows == 6
    assert events.skipped == {"duplicate": 4}
    assert events.frame.select("session", "page", "event").rows() == [
        ("0", "5", "view"),
        ("0", "6", "other"),
        ("0", "7", "view"),
        ("0", "7", "buy"),
        ("1", "5", "other"),
        ("1", "8", "view"),
        ("1", "9", "buy"),
    ]
    assert events.frame["time"].null_count() == events.frame["user"].null_count() == 7
    (tmp_path / "c.inter").write_text(SEQUENCES + "4\t5 6\t2\t7\n5\t5\t2\t\n")
    with pytest.raises(DataError, match=r"row 5: lists of unequal length: 4, 5 6, 2, 7\n.*row 6: no item_id"):
        read_events([tmp_path / "c.inter"], "recbole")


NAMED = [
    {"user": "u", "session": "s", "time": 1.5, "page": "home", "event": "view", "item": None, "category": None},
    {"user": "u", "session": "s", "time": 2.5, "page": "p7", "event": "view", "item": "i7", "category": "c"},
    {"user": "u", "session": "s", "time": 3.5, "page": "p7", "event": "buy", "item": "i7", "category": "c"},
    {"user": "u", "session": "s", "time": 4.5, "page": "p7", "event": "scroll", "item": None, "category": "c"},
]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl", "jsonl.gz"])
def test_logs_of_named_columns(tmp_path: Path, suffix: str):
    path = tmp_path / f"log.{suffix}"
    frame = pl.DataFrame(NAMED)
    if suffix == "parquet":
        frame.write_parquet(path)
    elif suffix == "jsonl":
        frame.write_ndjson(path)
    elif suffix == "jsonl.gz":
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in NAMED).encode()))
    else:
        frame.write_csv(path, separator="\t" if suffix == "tsv" else ",")
    events = read_events([path], "events")
    assert events.frame["event"].to_list() == ["view", "view", "buy", "other"]
    assert events.frame["page"].to_list() == ["home", "p7", "p7", "p7"]
    assert events.frame["item"].to_list() == ["home", "i7", "i7", "p7"]
    assert events.frame["category"].to_list() == [None, "c", "c", "c"]
    assert events.frame["time"].to_list() == [1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_seconds_on_a_page_are_read(tmp_path: Path, suffix: str):
    """What a log says of them is taken, blank is unknown, and what is no number of seconds is a malformed row."""
    path, said = tmp_path / f"log.{suffix}", [12.5, None, 0.0, -1.0, 1e13]
    frame = pl.DataFrame([row | {"spent": dwell} for row, dwell in zip([*NAMED, NAMED[0]], said, strict=True)])
    write = {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[suffix]
    write(path)
    events = read_events([path], "events", {"dwell": "spent"}, max_bad=0.5)
    assert events.frame["dwell"].to_list() == [12.5, None, 0.0]
    assert dict(events.skipped) == {"a dwell time that is no number of seconds": 2}
    assert read_events([path], "events").frame["dwell"].to_list() == [None] * 5
    with pytest.raises(DataError, match=r"row \d: a dwell time that is no number of seconds"):
        read_events([path], "events", {"dwell": "page"})


def test_columns_are_named_by_role(tmp_path: Path):
    (tmp_path / "log.csv").write_text(
        'who,"when",url\nu,2020-01-02T03:04:05Z,a\nu,2020-01-02 03:04:06,b\nu,1577934247000,c\n'
    )
    events = read_events([tmp_path / "log.csv"], "events", {"user": "who", "time": "when", "page": "url"})
    assert events.frame["time"].to_list() == [1577934245.0, 1577934246.0, 1577934247.0]
    assert events.frame["event"].to_list() == ["view"] * 3
    with pytest.raises(DataError, match=r"log.csv: no column url2 for page: the file has who, when, url"):
        read_events([tmp_path / "log.csv"], "events", {"page": "url2"})
    with pytest.raises(DataError, match=r"log.csv: has the columns who, when, url, but events need page"):
        read_events([tmp_path / "log.csv"], "events", {"user": "who"})
    with pytest.raises(DataError, match="the roles are user, session, time"):
        read_events([tmp_path / "log.csv"], "events", {"place": "url"})
    with pytest.raises(DataError, match="is for the format events"):
        read_events([tmp_path / "log.csv"], "taobao", {"page": "url"})


def test_parquet_times_of_any_type(tmp_path: Path):
    frame = pl.DataFrame({"session": [1, 1], "page": [10, 11], "time": ["2020-01-02 03:04:05", "2020-01-02 03:04:06"]})
    frame.with_columns(pl.col("time").str.to_datetime()).write_parquet(tmp_path / "a.parquet")
    frame.with_columns(time=pl.Series([1577934245, 1577934246])).write_parquet(tmp_path / "b.parquet")
    for name in "ab":
        events = read_events([tmp_path / f"{name}.parquet"], "events")
        assert events.frame.select("session", "time", "page").rows() == [
            ("1", 1577934245.0, "10"),
            ("1", 1577934246.0, "11"),
        ]


def test_malformed_rows_are_counted_and_quoted(tmp_path: Path):
    good = "".join(f"{i},1,2,pv,{i}\n" for i in range(5000))
    bad = ",1,2,pv,5\n7,1,2,pv,soon\n7,1,2,pv,inf\n8,1,2\n9,1,2,stare,6\n"
    (tmp_path / "log.csv").write_text(good + "\n" + bad)
    events = read_events([tmp_path / "log.csv"], "taobao", max_bad=0.01)
    assert events.rows == 5005
    assert events.frame.height == 5000
    assert events.skipped == {"no readable time": 3, "no user": 1, "unknown event": 1}
    assert list(events.notes) == [
        "log.csv: row 5002: no user: , 1, 2, pv, 5",
        "log.csv: row 5003: no readable time: 7, 1, 2, pv, soon",
        "log.csv: row 5004: no readable time: 7, 1, 2, pv, inf",
        "log.csv: row 5005: no readable time: 8, 1, 2, , ",
        "log.csv: row 5006: unknown event: 9, 1, 2, stare, 6",
    ]
    with pytest.raises(
        DataError, match=r"(?s)log.csv: 5 of 5,005 rows are malformed, more than --max-bad 0.0005.*row 5002: no user"
    ):
        read_events([tmp_path / "log.csv"], "taobao", max_bad=0.0005)


def test_parquet_is_read_the_same_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pages = [None if i % 10 == 4 else f"p{i % 7}" for i in range(100)]
    frame = pl.DataFrame({"session": [f"s{i // 3}" for i in range(100)], "page": pages, "time": range(100)})
    frame.write_parquet(tmp_path / "log.parquet", row_group_size=9)
    whole = read_events([tmp_path / "log.parquet"], "events", max_bad=0.2)
    monkeypatch.setattr(tables, "PIECE", 8)
    pieces = read_events([tmp_path / "log.parquet"], "events", max_bad=0.2)
    assert rows(pieces) == rows(whole)
    assert rows(whole)[4] == (None, "s1", 5.0, "p5", None, "view")  # the fifth row has no page
    assert pieces.frame["page"].to_physical().to_list() == whole.frame["page"].to_physical().to_list()
    assert (pieces.rows, pieces.skipped, pieces.notes) == (100, {"no page": 10}, whole.notes)
    assert pieces.notes[1] == "log.parquet: row 15: no page: s4, , 14"


def test_malformed_json_lines(tmp_path: Path):
    lines = [
        '{"session": 1, "page": "a"}',
        "",
        "[1]",
        '{"session": 1',
        '{"session": 2, "page": ""}',
        '{"session": 3, "page": "a\\nb"}',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    events = read_events([tmp_path / "log.jsonl"], "events", max_bad=1)
    assert events.rows == 5
    assert events.skipped == {"line break in page": 1, "no page": 1, "not a JSON object": 2}
    assert events.notes[0].startswith("log.jsonl: row 3: not a JSON object: ")


@pytest.mark.parametrize(
    "form", ["taobao", "yoochoose", "session-rec", "retailrocket", "diginetica", "rees46", "recbole"]
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, form: str):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        DataError, match=f"other.csv: is not in the format {form}: the first line is 'a,b', but its files have"
    ):
        read_events([tmp_path / "other.csv"], form)


def test_a_missing_column_is_named(tmp_path: Path):
    (tmp_path / "events.csv").write_text("timestamp,visitorid,event\n1,2,view\n")
    with pytest.raises(
        DataError, match="'timestamp,visitorid,event', but its files have 'timestamp,visitorid,event,itemid"
    ):
        read_events([tmp_path / "events.csv"], "retailrocket")
    # A header that lacks a column is no line of data, though it has as many fields.
    (tmp_path / "u.csv").write_text("user_id,item_id,category_id,behaviour,timestamp\n1,2,3,pv,4\n")
    with pytest.raises(DataError, match="is not in the format taobao"):
        read_events([tmp_path / "u.csv"], "taobao")
    (tmp_path / "d.csv").write_text("page,page,session\n1,2,3\n")
    with pytest.raises(DataError, match="names a column twice"):
        read_events([tmp_path / "d.csv"], "events")


def test_files_that_hold_nothing(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        read_events([tmp_path / "absent.csv"], "taobao")
    with pytest.raises(DataError, match="no such file"):
        read_events([tmp_path], "taobao")
    for name, content in (("empty.csv", b""), ("empty.csv.gz", gzip.compress(b""))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: the file is empty"):
            read_events([tmp_path / name], "taobao")
    (tmp_path / "head.csv").write_text("user_id,item_id,category_id,behavior,timestamp\n")
    with pytest.raises(DataError, match="has no rows"):
        read_events([tmp_path / "head.csv"], "taobao")


def test_a_gzip_file_cut_short_or_not_gzip(tmp_path: Path):
    packed = gzip.compress(os.urandom(20000).hex().encode())
    for name, content in (
        ("cut.csv.gz", packed[:-200]),
        ("not.csv.gz", b"user_id,item_id\n"),
        ("bent.csv.gz", packed[:500] + b"x" * 50 + packed[550:]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: cannot unpack"):
            read_events([tmp_path / name], "taobao")


def test_binary_garbage(tmp_path: Path):
    garbage = bytes(range(128, 256)) * 50
    for name, content in (
        ("a.csv", garbage),
        ("b.csv", b"1,2,3,pv,4\n" + garbage),
        ("c.parquet", garbage),
        ("d.csv", b"\0" * 100),
        ("e.jsonl", garbage),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_events([tmp_path / name], "taobao" if name == "b.csv" else "events")


def test_a_parquet_file_cut_short(tmp_path: Path):
    path = tmp_path / "log.parquet"
    pl.DataFrame({"session": range(5000), "page": range(5000)}).write_parquet(path)
    whole = path.read_bytes()
    for size in (4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"log\.parquet"):
            read_events([path], "events")
    path.write_bytes(whole[:2000] + bytes(2000) + whole[4000:])
    with pytest.raises(DataError, match=r"log\.parquet"):
        read_events([path], "events")


def test_times_in_some_files_only(tmp_path: Path):
    (tmp_path / "a.csv").write_text("session,page\n1,2\n")
    (tmp_path / "b.csv").write_text("session,page,time\n1,2,3\n")
    with pytest.raises(DataError, match="some of the files have times and some have none"):
        read_events([tmp_path / "a.csv", tmp_path / "b.csv"], "events")
