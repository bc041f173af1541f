"""Times of any unit, type and zone against Python's datetime."""

from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest

from generator.data.log.importers import read_events
from generator.data.log.times import Clock
from generator.errors import DataError

SECONDS = (1700000000, 1700000001, 1700000041, 1700000042)  # dwell 1, 40, 1
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

# By format: name, header and separator, and a row of a user's, session's and item's id and a time.
PUBLISHED = {
    "events": ("log.csv", "user,time,page", "u,{time},a"),
    "taobao": ("log.csv", "user_id,item_id,category_id,behavior,timestamp", "1,2,3,pv,{time}"),
    "retailrocket": ("log.csv", "timestamp,visitorid,event,itemid,transactionid", "{time},1,view,2,"),
    "session-rec": ("log.tsv", "SessionId\tItemId\tTime", "1\t2\t{time}"),
    "recbole": ("log.inter", "user_id:token\titem_id:token\ttimestamp:float", "1\t2\t{time}"),
    "yoochoose": ("log.dat", None, "1,{time},2,0"),
    "rees46": (
        "log.csv",
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
        "{time},view,1,2,,,,3,4",
    ),
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("form", PUBLISHED)
def test_the_unit_is_told_by_the_dates_in_every_format(tmp_path, form: str, unit: str):
    name, header, row = PUBLISHED[form]
    lines = [row.format(time=second * UNITS[unit]) for second in SECONDS]
    (tmp_path / name).write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    events = read_events([tmp_path / name], form)
    assert events.frame["time"].to_list() == pytest.approx(SECONDS)
    assert events.counts.units == (unit,)


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.Decimal(38, 0), pl.String])
@pytest.mark.parametrize("unit", UNITS)
def test_the_type_of_a_column_of_numbers_does_not_matter(kind, unit: str):
    numbers = pl.Series([second * UNITS[unit] for second in SECONDS])
    assert Clock()(numbers.cast(kind)).to_list() == pytest.approx(SECONDS)


def test_one_unit_holds_for_the_whole_column(tmp_path):
    """A time of another unit is a malformed row."""
    rows = [f"u,{second},a" for second in range(1700000000, 1700001000)]
    rows += ["u,1700000000000,a", "u,-2147483648,a"]  # the year 55,840, and 1901
    (tmp_path / "log.csv").write_text("user,time,page\n" + "\n".join(rows) + "\n")
    events = read_events([tmp_path / "log.csv"], "events", max_bad=0.01)
    assert events.skipped == {"time before 1970 or after 2099": 2}
    assert events.notes[0] == "log.csv: row 1002: time before 1970 or after 2099: u, 1700000000000, a"
    with pytest.raises(DataError, match="2 of 1,002 rows are malformed"):
        read_events([tmp_path / "log.csv"], "events")


def test_small_numbers_are_seconds():
    assert Clock()(pl.Series([0.0, 1.5, 1e6])).to_list() == [0.0, 1.5, 1e6]


MOMENT = datetime(2023, 11, 14, 1, 2, 3, tzinfo=timezone.utc)
HALF = MOMENT + timedelta(microseconds=500_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14 01:02:03 UTC", MOMENT),
        ("2023-11-14 01:02:03.5 UTC", HALF),
        ("2023-11-14T01:02:03 UTC", MOMENT),
        ("2023-11-14 01:02:03Z", MOMENT),
        ("2023-11-14T01:02:03.500Z", HALF),
        ("2023-11-14T01:02:03.500000", HALF),
        ("2023-11-14 01:02:03+00:00", MOMENT),
        ("2023-11-14T03:02:03+02:00", MOMENT),
        ("2023-11-14T03:02:03.5+0200", HALF),
        ("2023-11-13T19:32:03-05:30", MOMENT),
        (" 2023-11-14 01:02 ", MOMENT.replace(second=0)),
        ("2023-11-14 01", MOMENT.replace(minute=0, second=0)),
        ("2023-11-14", MOMENT.replace(hour=0, minute=0, second=0)),
    ],
)
def test_dates_and_times_as_text(text: str, expected: datetime):
    assert Clock()(pl.Series([text])).to_list() == [expected.timestamp()]
    # And among others, whatever form the first has.
    mixed = Clock()(pl.Series(["2020-01-02 03:04:05", "1577934245", "soon", None, text]))
    assert mixed.to_list() == [1577934245.0, 1577934245.0, None, None, expected.timestamp()]


def test_typed_columns():
    for moments in (
        pl.Series([MOMENT]),
        pl.Series([MOMENT.replace(tzinfo=None)]).cast(pl.Datetime("ms")),
        pl.Series([MOMENT.replace(tzinfo=None)]).cast(pl.Datetime("ns")),
        pl.Series([MOMENT]).dt.convert_time_zone("Asia/Tokyo"),
    ):
        assert Clock()(moments).to_list() == [MOMENT.timestamp()]
    assert Clock()(pl.Series([date(2023, 11, 14)])).to_list() == [
        MOMENT.replace(hour=0, minute=0, second=0).timestamp()
    ]


def test_what_is_no_time():
    assert Clock()(pl.Series(["soon", "2023-13-01", "", "inf", "nan"])).to_list() == [None] * 5
    assert Clock()(pl.Series([float("nan"), float("inf"), 1.0])).to_list() == [None, None, 1.0]
