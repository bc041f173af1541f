"""Words for events: given, known, unknown."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from data.test_build import BASE, spec

from generator.cli import drn
from generator.data.build import Options, build
from generator.data.log.importers import read_events
from generator.data.log.words import meant, nearest, parsed
from generator.errors import DataError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Five users, each with a view, a look at the details, and an order."""
    rows = [
        f"u{u},{1700000000 + 7200 * u + i},a,{word}"
        for u in range(5)
        for i, word in enumerate(("view", "detail", "order"))
    ]
    (tmp_path / "log.csv").write_text("user,time,page,event\n" + "\n".join(rows) + "\n")
    return tmp_path / "log.csv"


def test_words_are_given_their_meaning(log: Path):
    events = read_events([log], "events", words=parsed(["view=detail buy=order"]))
    assert events.frame["event"].to_list()[:3] == ["view", "view", "buy"]
    assert events.counts.words == {"view": 5, "detail": 5, "order": 5}
    assert events.counts.unknown == {}


def test_unknown_words_are_counted_and_told(log: Path):
    events = read_events([log], "events")
    assert events.frame["event"].to_list()[:3] == ["view", "other", "other"]
    assert events.counts.unknown == {"detail": 5, "order": 5}
    assert meant(events.counts.unknown) == [
        "detail: 5 rows; say --events view=detail",
        "order: 5 rows; say --events buy=order",
    ]


def test_a_log_without_a_purchase_says_its_words(log: Path, tmp_path: Path):
    with pytest.raises(
        DataError, match=r"the log has no purchase; .*\n  view: 5 rows\n.*\n  order: 5 rows; say --events buy=order"
    ):
        build([log], tmp_path / "out", spec(), Options())
    meta = build([log], tmp_path / "out", spec(), Options(events={"order": "buy"}))
    assert meta["events"] == {"rows": 15, "view": 5, "buy": 5, "other": 5}
    assert meta["words"] == {"known": {"view": 5, "order": 5}, "unknown": {"detail": 5}}


def test_carts_may_count_as_visits(tmp_path: Path):
    (tmp_path / "t.csv").write_text("1,11,7,pv,1511544070\n1,12,7,cart,1511544080\n1,12,7,buy,1511544090\n")
    events = read_events([tmp_path / "t.csv"], "taobao", words=parsed(["view=pv,cart,fav"]))
    assert events.frame["event"].to_list() == ["view", "view", "buy"]


def test_unknown_words_of_a_public_format_are_malformed_and_told(tmp_path: Path):
    (tmp_path / "t.csv").write_text("1,11,7,pv,1511544070\n1,12,7,purchase,1511544080\n")
    with pytest.raises(
        DataError, match=r"row 2: unknown event: .*\n  unknown event purchase: 1 rows; say --events buy=purchase"
    ):
        read_events([tmp_path / "t.csv"], "taobao")
    events = read_events([tmp_path / "t.csv"], "taobao", words={"purchase": "buy"})
    assert events.frame["event"].to_list() == ["view", "buy"]


def test_a_format_without_events_has_no_words(tmp_path: Path):
    (tmp_path / "s.tsv").write_text("SessionId\tItemId\tTime\n1\t2\t1700000000\n")
    with pytest.raises(DataError, match="the format session-rec has no column of events"):
        read_events([tmp_path / "s.tsv"], "session-rec", words={"order": "buy"})


def test_the_command_takes_words_with_and_without_quotes(log: Path, tmp_path: Path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(BASE))
    for number, words in enumerate((["view=detail buy=order"], ["view=detail", "buy=order"])):
        args = ["sessions", str(log), "--spec", str(tmp_path / "spec.yaml"), "-o", str(tmp_path / str(number))]
        found = CliRunner().invoke(drn, [*args, "--events", *words])
        assert found.exit_code == 0, found.output
        assert "events, view" in found.output
    assert (tmp_path / "0/meta.json").read_bytes() == (tmp_path / "1/meta.json").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order", "'order': write KIND=word,word"),
        ("buy=", "'buy='"),
        ("sale=order", "'sale=order'"),
        ("buy=x view=x", "'x' is buy and view"),
    ],
)
def test_what_gives_no_meaning_is_refused(text: str, message: str):
    with pytest.raises(DataError, match=message):
        parsed([text])


def test_likely_meanings():
    words = {
        "Order Completed": "buy",
        "purchase": "buy",
        "add_to_cart": "other",
        "page_view": "view",
        "clicks": "view",
        "scroll": None,
    }
    assert {word: nearest(word) for word in words} == words
