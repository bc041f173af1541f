"""The simulated shop: reproducible, ordered, and with the dependences it states."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from generator.cli import drn
from generator.errors import DataError
from generator.shop.simulator import Shop, simulate

SHOP = Shop(sessions=20_000, users=4_000, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, SHOP)
    return folder


@pytest.fixture(scope="module")
def events(folder) -> pl.DataFrame:
    return pl.read_parquet(folder / "events.parquet")


def test_columns_and_order(events):
    assert events.columns == ["user", "session", "time", "page", "event", "item", "category"]
    assert set(events["event"].unique()) == {"view", "buy"}
    assert events.equals(events.sort("user", "time", maintain_order=True))


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    simulate(tmp_path / "same", SHOP)
    simulate(tmp_path / "other", Shop(sessions=20_000, users=4_000, seed=4))
    whole = (folder / "events.parquet").read_bytes()
    assert (tmp_path / "same" / "events.parquet").read_bytes() == whole
    assert (tmp_path / "other" / "events.parquet").read_bytes() != whole


def test_what_can_be_bought_is_listed(folder, events):
    listed = pl.read_csv(folder / "items.csv")
    assert listed["item"].n_unique() == listed.height == SHOP.items
    assert not set(listed["item"]) & {"home", "search"}
    sold = events.filter(event="buy").select("item", "category").unique()
    assert sold.join(listed, on=["item", "category"], how="anti").is_empty()


def test_counts_are_those_of_the_log(folder, events):
    summary = json.loads((folder / "shop.json").read_text())["summary"]
    assert summary["sessions"] == events["session"].n_unique() == SHOP.sessions
    assert summary["users"] == events["user"].n_unique()
    assert summary["views"] == (events["event"] == "view").sum()
    assert summary["purchases"] == (events["event"] == "buy").sum()
    # Binomial: four standard deviations of a share of 20,000 sessions.
    assert summary["purchases"] / SHOP.sessions == pytest.approx(SHOP.conversion, abs=4 * (0.35 * 0.65 / 20_000) ** 0.5)


def test_a_purchase_is_the_last_event_and_of_a_product_viewed(events):
    numbered = events.with_columns(place=pl.int_range(pl.len()).over("session"), length=pl.len().over("session"))
    buys = numbered.filter(pl.col("event") == "buy")
    assert (buys["place"] == buys["length"] - 1).all()
    assert buys["session"].is_unique().all()
    views = events.filter(pl.col("event") == "view").select("session", "item").unique()
    assert buys.join(views, on=["session", "item"], how="anti").is_empty()


def test_sessions_of_a_user_do_not_overlap(events):
    spans = events.group_by("user", "session").agg(begin=pl.min("time"), end=pl.max("time")).sort("user", "begin")
    before = spans.with_columns(previous=pl.col("end").shift().over("user")).drop_nulls()
    assert (before["begin"] > before["previous"]).all()


def test_popularity_is_uneven(events):
    counts = events.filter(pl.col("item").is_not_null())["item"].value_counts()["count"].sort(descending=True)
    assert counts[: len(counts) // 10].sum() > 0.3 * counts.sum()


def bought_sessions(events: pl.DataFrame) -> pl.DataFrame:
    """Every product viewed in a session that ends in a purchase, with its dwell, its last place, and whether bought."""
    view = events.with_columns(dwell=pl.col("time").shift(-1).over("session") - pl.col("time"))
    view = view.with_columns(place=pl.int_range(pl.len()).over("session"), length=pl.len().over("session"))
    choice = events.filter(pl.col("event") == "buy").select("session", choice="item")
    view = view.filter(pl.col("event") == "view", pl.col("item").is_not_null()).join(choice, on="session")
    return view.with_columns(bought=pl.col("item") == pl.col("choice"))


def test_people_stay_longer_with_what_they_buy(events):
    dwell = bought_sessions(events).group_by("bought").agg(pl.col("dwell").log().mean())
    means = dict(dwell.iter_rows())
    assert means[True] > means[False] + 0.2


def test_the_last_product_viewed_is_seldom_the_one_bought(events):
    """A rule that looks at the last view alone cannot find the purchase."""
    last = bought_sessions(events).sort("session", "place").group_by("session").last()
    assert 0.01 < last["bought"].mean() < 0.35


def test_earlier_purchases_matter(events):
    """Who has just bought in a category is satiated there: the choice falls on it less often than views do."""
    buys = events.filter(pl.col("event") == "buy").sort("user", "time")
    before = buys.with_columns(previous=pl.col("category").shift().over("user")).drop_nulls("previous")
    viewed = bought_sessions(events).join(before.select("session", "previous"), on="session")
    same = viewed.group_by("bought").agg(same=(pl.col("category") == pl.col("previous")).mean())
    shares = dict(same.iter_rows())
    assert shares[True] < shares[False]


def test_the_full_rule_predicts_best(folder):
    oracle = json.loads((folder / "shop.json").read_text())["summary"]["oracle"]
    assert oracle["full"]["mrr@20"] > oracle["without_purchases"]["mrr@20"] + 0.01
    assert oracle["full"]["mrr@20"] > oracle["without_dwell"]["mrr@20"] + 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"items": 0}, "items is 0"),
        ({"conversion": 0.0}, "conversion is 0.0"),
        ({"sessions": 100, "users": 1, "days": 1}, "100 sessions of 1 users in 1 days"),
        ({"items": 3, "categories": 2}, "3 items in 2 categories"),
    ],
)
def test_shops_that_cannot_be(options, message):
    with pytest.raises(DataError, match=message):
        Shop(**options)


def test_the_command_prints_the_summary(tmp_path):
    arguments = ["simulate", "-o", str(tmp_path / "s"), "--sessions", "500", "--users", "100", "--format", "json"]
    result = CliRunner().invoke(drn, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["sessions"] == 500
