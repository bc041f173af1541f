"""V-SkNN, STAN and VSTAN beside slow ones and by hand."""

from fractions import Fraction

import numpy as np
import pytest
from histories import lists, same_order, scored, seen, sessions_of, write

from generator.data.sessions.ragged import Sessions
from generator.evaluation.baseline import VIEW, Popularity
from generator.evaluation.neighbours import VsKnn
from generator.evaluation.stan import Stan, Vstan


def slow_knn(train: Sessions, row: list[int], k: int, sample: int) -> dict[int, Fraction]:
    """V-SkNN as its authors describe it, one session at a time, in exact fractions."""
    views = lists(train)
    weight = {page: Fraction(i, len(row)) for i, page in enumerate(row, start=1)}
    newest = sorted(range(len(views)), key=lambda one: -train.start[one])
    candidates = [one for one in newest if set(views[one]) & set(row)][:sample]
    similarity = {one: sum(weight[page] for page in set(views[one]) & set(row)) for one in candidates}
    votes: dict[int, Fraction] = {}
    for one in sorted(candidates, key=lambda one: -similarity[one])[:k]:
        back = next(back for back, page in enumerate(reversed(row), start=1) if page in views[one])
        worth = dict.fromkeys(views[one], Fraction(1))
        if train.label is not None:
            worth = dict.fromkeys(views[one], Fraction(VIEW).limit_denominator()) | {int(train.label[one]): Fraction(1)}
        for item, share in worth.items():
            votes[item] = votes.get(item, Fraction(0)) + similarity[one] / back * share
    return votes


@pytest.mark.parametrize(("k", "sample"), [(100, 500), (4, 500), (100, 10), (3, 9)])
def test_knn_is_a_slow_one_on_random_sessions(random_folder, k, sample):
    folder, train, test = random_folder
    found = scored(folder, VsKnn(k, sample, power=1, idf=0))
    popularity = scored(folder, Popularity())[0]
    rows = seen(test)
    assert len(found) == len(rows)
    for scores, row in zip(found, rows, strict=True):
        same_order(scores, slow_knn(train, row, k, sample), popularity)


def test_knn_by_hand(tmp_path):
    """After 1 2 the sessions 2 3, 1 4 and 1 2 5 are as like as 1, 1/2 and 3/2, the second by a page 2 views back."""
    train = sessions_of([[2, 3], [1, 4], [1, 2, 5], [6, 7]])
    write(tmp_path, train, sessions_of([[1, 2, 8]]))
    last = scored(tmp_path, VsKnn(power=1, idf=0))[1]
    # 2: 1 + 3/2; 5 and 1 + a quarter: 3/2 and 7/4; 3: 1; 4: 1/4.
    assert np.argsort(-last)[:5].tolist() == [2, 1, 5, 3, 4]
    nearest = scored(tmp_path, VsKnn(k=1, power=1, idf=0))[1]
    assert set(np.flatnonzero(nearest >= 1).tolist()) == {1, 2, 5}
    newest = scored(tmp_path, VsKnn(sample=2, power=1, idf=0))[1]
    assert set(np.flatnonzero(newest >= 1).tolist()) == {1, 2, 4, 5}


def test_knn_takes_rows_in_parts(random_folder, monkeypatch):
    folder, _, _ = random_folder
    whole = scored(folder, VsKnn())
    monkeypatch.setattr("generator.evaluation.neighbours.ENTRIES", 10)
    assert np.array_equal(scored(folder, VsKnn()), whole)


def test_without_times_the_later_session_is_the_newer(tmp_path):
    train = sessions_of([[1, 2], [1, 3]], start=[np.nan, np.nan])
    write(tmp_path, train, sessions_of([[1, 4]]))
    assert np.argsort(-scored(tmp_path, VsKnn(sample=1))[0])[:2].tolist() == [3, 1]


def test_knn_with_squares_and_document_frequency_by_hand(tmp_path):
    """After 1 2, of four sessions: 2 3 is alike as 4/4, 1 4 as 1/4 at half a vote, 1 2 5 as 5/4.

    Page 1 is in 2 of them, 2 in 2, 3, 4, 5 in 1: 1 + log(4 / 2) is 1.693, 1 + log(4) is 2.386.
    """
    write(tmp_path, sessions_of([[2, 3], [1, 4], [1, 2, 5], [6, 7]]), sessions_of([[1, 2, 8]]))
    votes = {1: (1 / 8 + 5 / 4) * 1.693, 2: (1 + 5 / 4) * 1.693, 3: 2.386, 4: 2.386 / 8, 5: 5 / 4 * 2.386}
    found = scored(tmp_path, VsKnn(idf=1))[1]
    assert np.argsort(-found)[:5].tolist() == sorted(votes, key=lambda item: -votes[item])


# ------------------------------------------------------------------------------------------------- STAN and VSTAN


def slow_stan(train: Sessions, row: list[int], method: Stan) -> dict[int, float]:
    """STAN and VSTAN as the papers write them, one session and one item at a time."""
    views, buys, day = lists(train), train.label is not None, 86400
    last = {page: position for position, page in enumerate(row)}
    now, found = max(train.start), []
    for one, session in enumerate(views):
        shared = set(session) & set(row)
        if shared:
            dot = sum(np.exp((last[page] - (len(row) - 1)) / method.row_decay) for page in shared)
            alike = dot / np.sqrt(len(set(session)) * len(set(row)))
            found.append((alike * np.exp(-(now - train.start[one]) / day / method.days_decay), one))
    newest = sorted(found, key=lambda pair: -train.start[pair[1]])[: method.sample]
    votes: dict[int, float] = {}
    for alike, one in sorted(newest, reverse=True)[: method.k]:
        session = views[one]
        star = max((page for page in session if page in last), key=lambda page: last[page])
        vote = alike
        if isinstance(method, Vstan):
            vote *= np.exp((last[star] - (len(row) - 1)) / method.back_decay)
        sequence = [*session, int(train.label[one])] if buys else session
        place = {item: position for position, item in enumerate(sequence)}
        here = max(position for position, page in enumerate(session) if page == star)
        for item in set(sequence):
            worth = VIEW if buys and item != int(train.label[one]) else 1
            share = vote * worth * np.exp(-abs(place[item] - here) / method.item_decay)
            votes[item] = votes.get(item, 0) + share
    if isinstance(method, Vstan):
        holds = [{*session, int(train.label[one])} if buys else set(session) for one, session in enumerate(views)]
        votes = {
            item: vote * (1 + method.idf * np.log(len(views) / sum(item in one for one in holds)))
            for item, vote in votes.items()
        }
    return {item: vote for item, vote in votes.items() if method.remind or item not in last}


SETTINGS = [{}, {"k": 5, "days_decay": 1e-4}, {"sample": 9, "item_decay": 0.3}, {"row_decay": 9, "remind": False}]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", [Stan, Vstan])
def test_stan_is_a_slow_one_on_random_sessions(random_folder, kind, settings):
    folder, train, test = random_folder
    method = kind(**settings)
    found, popularity = scored(folder, method), scored(folder, Popularity())[0]
    rows = seen(test)
    assert len(found) == len(rows)
    for scores, row in zip(found, rows, strict=True):
        votes = slow_stan(train, row, method)
        best = max(votes.values(), default=1)
        same_order(scores, {item: Fraction(round(vote / best, 9)) + 1 for item, vote in votes.items()}, popularity)


def test_stan_by_hand(tmp_path):
    """After 1 2: 2 3 4 as 1 / sqrt 6, a day old; 1 5 as e^-1 / 2, new; decays of 1 view, 1 day and 1 place.

    So 3 gets e^-1 e^-1 / sqrt 6 = .0553, 4 e^-1 of that = .0203, 2 e^-1 / sqrt 6 = .1502, 1 .1839, 5 .0677.
    """
    write(tmp_path, sessions_of([[2, 3, 4], [1, 5]], start=[0, 86400]), sessions_of([[1, 2, 8]]))
    found = scored(tmp_path, Stan(row_decay=1, days_decay=1, item_decay=1))[1]
    assert np.argsort(-found)[:5].tolist() == [1, 2, 5, 3, 4]
    news = scored(tmp_path, Stan(row_decay=1, days_decay=1, item_decay=1, remind=False))[1]
    assert np.argsort(-news)[:3].tolist() == [5, 3, 4]
    assert news[[1, 2]].max() < 1
    # Ten days a decay, and the day counts for little: 3 gets e^-1.1 / sqrt 6 = .1359, 5 still .0677, 4 .0500.
    slow = scored(tmp_path, Stan(row_decay=1, days_decay=10, item_decay=1))[1]
    assert np.argsort(-slow)[:5].tolist() == [2, 1, 3, 5, 4]


def test_vstan_by_hand(tmp_path):
    """As of STAN; 1 5 shares a page one view back, e^-1 more; 5 is in one session of two, log 2 of it, as 3 and 4."""
    write(tmp_path, sessions_of([[2, 3, 4], [1, 5]], start=[0, 86400]), sessions_of([[1, 2, 8]]))
    found = scored(tmp_path, Vstan(row_decay=1, days_decay=1, item_decay=1, back_decay=1))[1]
    # 2 .1502, 1 .0677, 3 .0553, 5 .0249, 4 .0203, all times 1 + 5 log 2.
    assert np.argsort(-found)[:5].tolist() == [2, 1, 3, 5, 4]


@pytest.mark.parametrize("kind", [Stan, Vstan])
def test_stan_without_times_leaves_their_factor_out(tmp_path, kind):
    views = [[2, 3, 4], [1, 5], [1, 6, 2]]
    for name, start in (("none", [np.nan] * 3), ("same", [7.0] * 3)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, sessions_of(views, start=start), sessions_of([[1, 2, 8], [5, 2]]))
    assert np.array_equal(scored(tmp_path / "none", kind()), scored(tmp_path / "same", kind()))


@pytest.mark.parametrize("kind", [Stan, Vstan])
def test_weights_that_decay_to_nothing_are_finite(tmp_path, kind):
    train = sessions_of([[1, 2], [3, 4, 1]], start=[0.0, 9e9])
    write(tmp_path, train, sessions_of([[1, *[9] * 2000, 2], [2, 1]]))
    found = scored(tmp_path, kind(days_decay=1e-3, row_decay=1e-2, item_decay=1e-3), size=500)
    assert np.isfinite(found).all()
