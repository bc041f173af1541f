"""What is understood of a log: columns, words, times; and what is said to be a guess."""

import polars as pl
import pytest

from generator.data.log.sources import Frame
from generator.data.log.words import meanings_of
from generator.errors import DataError
from generator.fitting.look import Given, look


def frame(**columns: list[object]) -> list[Frame]:
    return [Frame("frame", pl.DataFrame(columns))]


def test_columns_words_and_unit_of_an_odd_layout(shop_csv):
    found = look([shop_csv], Given())
    assert found.form == "events"
    assert found.columns == {"user": "visitorid", "time": "ts", "page": "url", "event": "action"}
    assert found.words == {"detail": "view", "order": "buy", "hover": "other"}
    assert (found.unit, found.bought[0]) == ("ms", 800)
    assert any("hover" in doubt and "--events view=hover" in doubt for doubt in found.doubts)
    assert "from 2023-11-14" in found.lines()[-1]


@pytest.mark.parametrize("event", [True, False])
def test_what_was_not_looked_at_is_said(monkeypatch, event):
    """The counts of events and the dates are those of the rows looked at, which are not all of a large log."""
    columns = {"uid": ["a"] * 8, "ts": [1_700_000_000 + n for n in range(8)], "url": ["x"] * 8}
    if event:
        columns["event"] = ["view"] * 8
    whole = look(frame(**columns), Given())
    assert whole.whole
    assert not any("looked at" in line for line in whole.lines())
    monkeypatch.setattr("generator.fitting.look.ROWS", 5)
    part = look(frame(**columns), Given())
    assert not part.whole
    assert "looked at: the first 5 rows of each file" in part.lines()


@pytest.mark.parametrize(("factor", "unit"), [(1, "s"), (10**3, "ms"), (10**6, "us"), (10**9, "ns")])
def test_the_unit_of_times_does_not_change_what_they_say(factor, unit):
    times = [(1_700_000_000 + second) * factor for second in (0, 1, 41)]
    found = look(frame(uid=["a", "a", "a"], ts=times, url=["x", "y", "z"]), Given())
    assert (found.unit, found.first, found.last) == (unit, 1_700_000_000, 1_700_000_041)


def test_products_are_the_pages_where_most_rows_have_one():
    columns = {
        "visitor": ["a", "a"],
        "ts": [1_700_000_000, 1_700_000_001],
        "url": ["/x", "/y"],
        "product_id": ["x", "y"],
    }
    found = look(frame(**columns), Given())
    assert found.columns["page"] == "product_id"
    assert any("--columns page=url" in doubt for doubt in found.doubts)
    assert look(frame(**columns), Given(columns={"page": "url"})).columns["page"] == "url"


def test_another_column_that_might_be_it_is_named():
    found = look(frame(sid=["a"], item=["x"], ts=[1_700_000_000], created_at=[1_700_000_009]), Given())
    assert found.columns["time"] == "ts"
    assert any("--columns time=created_at" in doubt for doubt in found.doubts)


def test_a_log_without_what_is_needed_is_refused_with_what_seems_to_be_there():
    with pytest.raises(DataError, match=r"has the columns when, what, and time seems to be when; wanted are page"):
        look(frame(when=[1], what=["x"]), Given())


def test_no_known_view_names_the_words():
    with pytest.raises(DataError, match=r"no event of action is known as a view: the words are foo \(2\), bar \(1\)"):
        look(frame(sid=["a", "a", "a"], url=["x", "y", "z"], action=["foo", "foo", "bar"]), Given())
    given = Given(words={"foo": "view"})
    assert look(frame(sid=["a", "a", "a"], url=["x", "y", "z"], action=["foo", "foo", "bar"]), given).words == {
        "foo": "view",
        "bar": "other",
    }


def test_a_log_of_purchases_alone_recommends_the_next_of_them():
    found = look(frame(sid=["a", "a", "b"], sku=["x", "y", "z"], action=["order", "order", "basket"]), Given())
    assert found.words == {"order": "view", "basket": "other"}
    assert "no event is a view: purchases (order) are taken for views, the next to be recommended" in found.doubts


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("sid,when,url\na,31/12/2023,x\na,31/12/2023,y\n", "no readable time (2)"),
        ("sid,url\na,caf\udce9\na,th\udce9\n", "not UTF-8 (2) (iconv -f LATIN1 -t UTF-8 FILE makes it so)"),
    ],
)
def test_rows_none_of_which_is_an_event_are_named_with_the_reason(tmp_path, content, why):
    (tmp_path / "log.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        look([tmp_path / "log.csv"], Given())
    assert f"log.csv: none of its 2 rows is an event: {why}; the first:\n  log.csv: row 2: " in str(caught.value)


def test_a_column_of_many_words_is_no_event_column():
    words = [f"w{number}" for number in range(300)]
    found = look(frame(sid=words, url=words, type=words), Given())
    assert "event" not in found.columns
    assert any("300 different words" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("Product_Viewed", "view"),
        ("pv", "view"),
        ("add-to-cart", "other"),
        ("ORDER", "buy"),
        ("Order Completed", "buy"),
        ("change of sort order", "other"),
        ("begin_checkout", "other"),
        ("interaction item image", "view"),
        ("clickout item", "buy"),
    ],
)
def test_words(word, kind):
    assert meanings_of([word, "zzz"], {}).kinds == {word: kind, "zzz": "other"}


def test_the_public_logs_are_known_by_their_first_lines(shared_data):
    for name, form in (
        ("taobao/UserBehavior.csv.gz", "taobao"),
        ("retail_beh/retail_beh.train.inter.gz", "recbole"),
        ("yoochoose-100k/train_full.tsv.gz", "session-rec"),
        ("globo/clicks_hours_225_239.parquet", "globo"),
    ):
        assert look([shared_data / name], Given()).form == form
