"""The log of a simulated shop: users with tastes walk through its pages, and a session may end in one purchase.

The users are simulated in blocks: first all walks of a block, then its purchases, round by round, the r-th session of
every user after the (r-1)-th. Blocks depend on the options alone and each has a random stream of its own, so the same
options give the same bytes wherever numpy and polars are the same.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.files import replacing, write_bytes, write_text
from generator.shop.catalogue import FIXED, Catalogue, open_shop
from generator.shop.options import Shop
from generator.shop.walks import REACHED, Walks, walk

__all__ = ["Shop", "Summary", "simulate"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BLOCK = 50_000  # sessions simulated at once
ACTIVITY = 1.0  # sigma of the log-normal number of sessions of a user
EPOCH = 1_704_067_200.0  # the log starts at 2024-01-01 UTC
GAP = 2400.0  # seconds, at least, between two sessions of a user: more than the usual half hour
ITEM_SECONDS, OTHER_SECONDS = 25.0, 8.0  # median dwell on a product, on another page
SPREAD = 0.9  # sigma of the log dwell

# Log-odds of buying a product, beside the way it was reached.
WEIGHTS = REACHED | {
    "recent": 2.5,  # times exp(-age / RECENCY) for each look, age in pages before the end
    "parting": -3.0,  # the session ends on it: the last look did not convince
    "dwell": 0.8,  # for each standard deviation of the log dwell of each look
    "complement": 4.5,  # it goes with one of the newest purchases
    "brand": 2.5,  # of the brand of one of the newest purchases
    "satiated": -4.0,  # it is one of the newest purchases
}
RECENCY = 4.0
FITTING = 0.5  # share of offers that go with one of the newest purchases
NEWEST = 3  # purchases that a user remembers


@dataclass(frozen=True)
class Summary:
    """What a simulation holds.

    Attributes
    ----------
    sessions, users, views, purchases
        Counts; users are those with a session.
    oracle
        ``hit@1``, ``hit@5`` and ``mrr@20`` over the purchases, as exact expectations under the simulator, of ranking by
        ``full``, all that moves the user (the Bayes bound); ``without_purchases``, the session's part of that;
        ``without_dwell``, all but the dwell times.
    """

    sessions: int
    users: int
    views: int
    purchases: int
    oracle: dict[str, dict[str, float]]


@dataclass
class _Tally:
    """Sums over the blocks; ``oracle`` holds hit@1, hit@5 and mrr@20 of each ranking, summed over purchases."""

    views: int = 0
    purchases: int = 0
    oracle: dict[str, Floats] = field(default_factory=dict)

    def rank(self, name: str, chance: Floats, score: Floats) -> None:
        """Add what ranking by ``score`` (P, T) is worth where products (P, T) are bought with ``chance``."""
        ranked = np.take_along_axis(chance, np.argsort(-score, axis=1), axis=1)
        mrr = ranked[:, :20] / np.arange(1, ranked.shape[1] + 1)[:20]
        worth = np.array([ranked[:, 0].sum(), ranked[:, :5].sum(), mrr.sum()])
        self.oracle[name] = self.oracle.get(name, np.zeros(3)) + worth

    def mean(self, name: str) -> dict[str, float]:
        """Return the mean over purchases of each measure of ranking ``name``, to 4 digits."""
        means = (self.oracle[name] / self.purchases).round(4).tolist()
        return dict(zip(("hit@1", "hit@5", "mrr@20"), means, strict=True))


def simulate(folder: Path, options: Shop, progress: Callable[[int], None] = lambda _: None) -> Summary:
    """Write ``folder/events.parquet``, ``folder/items.csv`` and ``folder/shop.json`` and return what they hold.

    ``events.parquet`` has the columns user, session (str), time (float64, unix seconds), page (str), event (``view`` or
    ``buy``), item, category (str or null), sorted by user, then time. A purchase is the last event of its session,
    of a product seen in it. ``items.csv`` has what can be bought, item and category. ``shop.json`` has the options, the
    summary, the weights of what moves a user, the items.
    ``progress`` is told the number of sessions of each block done. Memory is bounded by a block, and by the busiest
    user.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    catalogue, counts, tally = open_shop(options), _sessions_per_user(options), _Tally()
    with replacing(folder / "events.parquet") as target, tempfile.TemporaryDirectory(dir=folder) as parts:
        for number, users in enumerate(_blocks(counts)):
            frame = _block(number, users, counts, catalogue, options, tally)
            frame.write_parquet(Path(parts) / f"{number:06d}.parquet", compression="lz4")
            progress(int(counts[users].sum()))
        pl.scan_parquet(Path(parts) / "*.parquet").sink_parquet(target, row_group_size=1 << 18)
    summary = Summary(
        sessions=options.sessions,
        users=int((counts > 0).sum()),
        views=tally.views,
        purchases=tally.purchases,
        oracle={name: tally.mean(name) for name in tally.oracle},
    )
    items = catalogue.describe()
    write_bytes(folder / "items.csv", pl.DataFrame(items).select("item", "category").write_csv().encode())
    document = {
        "options": asdict(options),
        "summary": asdict(summary),
        "weights": WEIGHTS,
        "items": items,
    }
    write_text(folder / "shop.json", json.dumps(document, indent=1) + "\n")
    return summary


def _sessions_per_user(options: Shop) -> Ints:
    """Return the number of sessions of each user: log-normal activity, at most ten times the mean."""
    rng = np.random.default_rng([options.seed, 1])
    activity = rng.lognormal(0.0, ACTIVITY, options.users)
    activity = np.minimum(activity, 10 * activity.mean())
    return rng.multinomial(options.sessions, activity / activity.sum())


def _blocks(counts: Ints) -> Iterator[slice]:
    """Yield runs of users that have about BLOCK sessions together, at least one."""
    block = np.maximum(np.cumsum(counts) - 1, 0) // BLOCK
    edges = np.flatnonzero(np.diff(block, prepend=-1, append=-1))
    yield from map(slice, edges[:-1].tolist(), edges[1:].tolist())


def _block(number: int, users: slice, counts: Ints, catalogue: Catalogue, options: Shop, tally: _Tally) -> pl.DataFrame:
    """Simulate the sessions of ``users`` and return their events; count them in ``tally``.

    The sessions lie in rounds: the first of every user, then the second, ...; busier users come first, so that
    the users of a round are a prefix of the block's.
    """
    rng = np.random.default_rng([options.seed, 2, number])
    width = np.bincount(counts[users])[::-1].cumsum()[::-1][1:]  # users with a session in round 0, 1, ...
    rank = np.concatenate([np.arange(n) for n in width])
    user = users.start + np.argsort(-counts[users], kind="stable")[rank]

    walks = walk(rank, catalogue, rng)
    dwell = rng.standard_normal(walks.page.shape)
    bought = _settle(walks, dwell, width, catalogue, options, tally, rng)
    present = walks.page >= 0
    median = np.where(walks.page >= catalogue.first_item, ITEM_SECONDS, OTHER_SECONDS)
    seconds = np.clip(median * np.exp(SPREAD * dwell), 1.0, 900.0).round(3) * present
    start = _starts(seconds.sum(1), rank, options.days, rng)
    tally.views += int(present.sum())

    order = np.argsort(user, kind="stable")
    page = np.column_stack([walks.page, np.where(bought >= 0, catalogue.first_item + bought, -1)])[order]
    time = (start[:, None] + np.column_stack([np.zeros(len(start)), seconds.cumsum(1)]))[order]
    return _events(page, time, user[order], int(counts[: users.start].sum()), catalogue, options)


def _settle(
    walks: Walks,
    dwell: Floats,
    width: Ints,
    catalogue: Catalogue,
    options: Shop,
    tally: _Tally,
    rng: np.random.Generator,
) -> Ints:
    """Return the item each session (S,) buys, -1 for none; give the offers of ``walks`` their page.

    Whether a session buys depends on its looks alone; which product, on the purchases before it too.
    """
    item = np.where(walks.page >= catalogue.first_item, walks.page - catalogue.first_item, -1)
    length = (walks.page >= 0).sum(1) + (walks.offer >= 0)
    age = length[:, None] - 1 - np.arange(item.shape[1])
    undwelt = walks.appeal + WEIGHTS["recent"] * np.exp(-age / RECENCY)
    undwelt += WEIGHTS["parting"] * _last_look(item)
    looks = undwelt + WEIGHTS["dwell"] * dwell
    first = _first_looks(item)
    score, undwelt_score = _by_product(looks, item, first), _by_product(undwelt, item, first)
    buys = rng.random(len(item)) < _chance_to_buy(score, options.conversion)

    newest = np.full((width[0], NEWEST), -1)
    bought = np.full(len(item), -1)
    pull = np.zeros(item.shape)
    end = 0
    for users in width.tolist():
        begin, end = end, end + users
        offer = _offers(walks.offer[begin:end], item[begin:end], newest[:users], catalogue, rng)
        rows = begin + np.flatnonzero(offer >= 0)
        item[begin:end, 1] = np.where(offer >= 0, offer, item[begin:end, 1])
        score[rows, 1], undwelt_score[rows, 1] = looks[rows, 1], undwelt[rows, 1]

        buyers = np.flatnonzero(buys[begin:end])
        rows = begin + buyers
        pull[rows] = _pull(item[rows], newest[buyers], catalogue)
        slot = (score[rows] + pull[rows] + rng.gumbel(size=(len(rows), item.shape[1]))).argmax(1)
        bought[rows] = item[rows, slot]
        newest[buyers] = np.column_stack([bought[rows], newest[buyers, :-1]])

    offered = (walks.offer >= 0) & (item[:, 1] >= 0)
    walks.page[:, 1] = np.where(offered, catalogue.first_item + item[:, 1], walks.page[:, 1])
    _rate(score[buys], pull[buys], undwelt_score[buys], tally)
    return bought


def _first_looks(item: Ints) -> Ints:
    """Return for each look (S, T) at a product the slot of the session's first look at it."""
    first = np.tile(np.arange(item.shape[1]), (len(item), 1))
    for t in range(1, item.shape[1]):
        same = item[:, :t] == item[:, t : t + 1]
        first[:, t] = np.where(same.any(1), same.argmax(1), t)
    return first


def _last_look(item: Ints) -> Bools:
    """Return which of the looks (S, T) at a product is the session's last."""
    seen = item >= 0
    return np.asarray(seen & (seen[:, ::-1].cumsum(1)[:, ::-1] == 1))


def _by_product(looks: Floats, item: Ints, first: Ints) -> Floats:
    """Return the sum of the looks at a product in the slot of its first look (S, T), -inf in all other slots."""
    slot = np.arange(len(item))[:, None] * item.shape[1] + first
    total = np.bincount(slot.ravel(), looks.ravel(), item.size).reshape(item.shape)
    return np.where((item >= 0) & (first == np.arange(item.shape[1])), total, -np.inf)


def _chance_to_buy(score: Floats, conversion: float) -> Floats:
    """Return the chance (S,) that a session buys: logistic in what its products score, ``conversion`` on average."""
    closing = np.logaddexp.reduce(score, axis=1)
    low, high = -60.0, 60.0
    for _ in range(50):
        middle = (low + high) / 2
        mean = (1 / (1 + np.exp(-closing - middle))).mean()
        low, high = (middle, high) if mean < conversion else (low, middle)
    return np.asarray(1 / (1 + np.exp(-closing - low)))


def _offers(offer: Ints, item: Ints, newest: Ints, catalogue: Catalogue, rng: np.random.Generator) -> Ints:
    """Return what is put forward in place of ``offer`` (W,), -1 for nothing.

    By FITTING it is what goes with one of the user's ``newest`` purchases (W, K); no product is put forward that the
    session (W, T) finds by itself.
    """
    users = np.arange(len(offer))
    known = (newest >= 0).sum(1)
    goes = catalogue.complement[newest[users, (rng.random(len(users)) * known).astype(np.int64)]]
    fitting = (offer >= 0) & (known > 0) & (rng.random(len(users)) < FITTING)
    offer = np.where(fitting, goes, offer)
    return np.where((item == offer[:, None]).any(1), -1, offer)


def _pull(item: Ints, newest: Ints, catalogue: Catalogue) -> Floats:
    """Return the log-odds (B, T) that the newest purchases (B, K) add to buying each ``item`` (B, T)."""
    known, seen, was = (newest >= 0)[:, None], item[:, :, None], newest[:, None]
    kind, brand = catalogue.category, catalogue.brand
    reasons = {
        "complement": kind[seen] == kind[catalogue.complement[was]],
        "brand": brand[seen] == brand[was],
        "satiated": kind[seen] == kind[was],
    }
    return np.asarray(sum(WEIGHTS[name] * (holds & known).any(2) for name, holds in reasons.items()))


def _rate(score: Floats, pull: Floats, undwelt_score: Floats, tally: _Tally) -> None:
    """Count the purchases (P, T) in ``tally``, and what an oracle would rank right."""
    chance = np.exp(score + pull - np.logaddexp.reduce(score + pull, axis=1, keepdims=True))
    tally.purchases += len(chance)
    tally.rank("full", chance, score + pull)
    tally.rank("without_purchases", chance, score)
    tally.rank("without_dwell", chance, undwelt_score + pull)


def _starts(seconds: Floats, rank: Ints, days: int, rng: np.random.Generator) -> Floats:
    """Return when each session (S,) of ``seconds`` starts: at random in ``days``, a user's one after another."""
    by_user = np.argsort(rank, kind="stable")
    user = rank[by_user]
    busy = seconds[by_user] + GAP
    free = np.maximum(days * 86400.0 - np.bincount(user, busy), 0.0)
    before = busy.cumsum() - busy
    before -= before[np.searchsorted(user, user)]
    moment = np.sort(user + rng.random(len(user))) - user  # sorted within each user
    start = np.empty(len(rank))
    start[by_user] = EPOCH + (free[user] * moment + before).round(3)
    return start


def _events(page: Ints, time: Floats, user: Ints, first: int, catalogue: Catalogue, options: Shop) -> pl.DataFrame:
    """Return the events of sessions (S,), numbered from ``first``: views (S, T), and in a last column the purchase."""
    session, slot = np.nonzero(page >= 0)
    pages = pl.Series(page[session, slot])
    names = catalogue.pages
    category = [f"cat-{c}" for c in catalogue.category]
    items = catalogue.first_item
    frame = {
        "user": _numbered("u", user, options.users).gather(session),
        "session": _numbered("s", first + np.arange(len(user)), options.sessions).gather(session),
        "time": time[session, slot].round(3),
        "page": pl.Series(names).gather(pages),
        "event": pl.Series(["view", "buy"]).gather(slot == time.shape[1] - 1),
        "item": pl.Series([None] * items + names[items:]).gather(pages),
        "category": pl.Series([None] * len(FIXED) + names[len(FIXED) : items] + category).gather(pages),
    }
    return pl.DataFrame(frame)


def _numbered(letter: str, number: Ints, total: int) -> pl.Series:
    """Return ``letter`` and each number with as many digits as ``total`` needs, so that text sorts as numbers do."""
    digits = len(str(total - 1))
    return pl.Series([f"{letter}{n:0{digits}d}" for n in number.tolist()])
