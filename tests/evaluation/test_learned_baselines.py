"""The baselines that learn from sessions: beside slow ones, beside implicit, and on real clicks."""

import re
import subprocess
import sys
import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.sparse import csr_matrix

from generator.commands.evaluate import command
from generator.data.build import Options, build
from generator.data.sessions.ragged import Sessions
from generator.data.sessions.splits import Division
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.stages.write import write_split
from generator.evaluation.als import Als, interactions
from generator.evaluation.baseline import VIEW, Popularity, slices
from generator.evaluation.baselines import BASELINES, choose
from generator.evaluation.evaluate import evaluate
from generator.evaluation.neighbours import VsKnn
from generator.evaluation.rows import SplitRows
from generator.evaluation.sequential import SequentialRules
from generator.spec.schema import Data, Rnn, Spec

ITEMS = 12


def sessions_of(views, labels=None, bought=None, start=None, user=None) -> Sessions:
    """Sessions from lists of page ids; without labels the next page is the target."""
    bought = bought or [[] for _ in views]
    return Sessions(
        offset=np.cumsum([0, *map(len, views)]),
        page=np.array([page for one in views for page in one], np.int32),
        dwell=np.ones(sum(map(len, views)), np.float32),
        bought_offset=np.cumsum([0, *map(len, bought)]),
        bought=np.array([item for one in bought for item in one], np.int32),
        start=np.arange(len(views), dtype=np.float64) if start is None else np.asarray(start, np.float64),
        user=np.full(len(views), -1, np.int32) if user is None else np.asarray(user, np.int32),
        label=None if labels is None else np.array(labels, np.int32),
    )


def write(folder: Path, train: Sessions, test: Sessions, items: int = ITEMS) -> Path:
    """Write a data folder whose pages and items are one vocabulary."""
    target = "next" if train.label is None else "purchase"
    spec = Spec(
        name="x",
        net="rnn",
        pages=items,
        items=items,
        top_k=1,
        rnn=Rnn(window=2, widths=[1]),
        loss="every" if target == "next" else "last",
        data=Data(target=target),
    )
    for name in ("pages.txt", "items.txt"):
        Vocabulary(str(item) for item in range(1, items + 1)).write(folder / name)
    write_split(folder / "train.h5", replace(train, training=True), spec)
    write_split(folder / "test.h5", test, spec)
    return folder


def scored(folder: Path, baseline, size: int = 7) -> np.ndarray:
    """The scores of all test rows, (R, N+1)."""
    with SplitRows(folder, "train") as train:
        baseline.fit(train)
    with SplitRows(folder, "test") as test:
        return np.concatenate([baseline.scores(batch) for batch in test.batches(size)])


def lists(sessions: Sessions) -> list[list[int]]:
    return [one.tolist() for one in np.split(sessions.page, sessions.offset[1:-1])]


def seen(sessions: Sessions) -> list[list[int]]:
    """The known views of each row."""
    if sessions.label is not None:
        rows = lists(sessions)
    else:
        rows = [one[:end] for one in lists(sessions) for end in range(1, len(one))]
    return [[page for page in row if page] for row in rows]


def same_order(row: np.ndarray, votes: dict[int, Fraction], popularity: np.ndarray) -> None:
    """The items are in the order of their votes, those of as many votes and the rest by popularity."""
    items = range(1, len(row))
    keys = [(votes.get(item, Fraction(0)) > 0, votes.get(item, Fraction(0)), popularity[item]) for item in items]
    levels = {key: level for level, key in enumerate(sorted(set(keys)))}
    _, found = np.unique(row[1:], return_inverse=True)
    assert found.tolist() == [levels[key] for key in keys]


def random_sessions(random, count, purchase, unknown=False) -> Sessions:
    sizes = random.integers(2, 9, count)
    views = [(random.zipf(1.4, size) % ITEMS + (0 if unknown else 1)).clip(0, ITEMS - 1).tolist() for size in sizes]
    labels = random.integers(1, ITEMS + 1, count).tolist() if purchase else None
    return sessions_of(views, labels, start=random.permutation(count))


@pytest.fixture(params=["next", "purchase"])
def random_folder(request, tmp_path) -> tuple[Path, Sessions, Sessions]:
    random = np.random.default_rng(5)
    train = random_sessions(random, 80, request.param == "purchase")
    test = random_sessions(random, 25, request.param == "purchase", unknown=True)
    return write(tmp_path, train, test), train, test


# ------------------------------------------------------------------------------------------------------------ kNN


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
    found = scored(folder, VsKnn(k, sample))
    popularity = scored(folder, Popularity())[0]
    rows = seen(test)
    assert len(found) == len(rows)
    for scores, row in zip(found, rows, strict=True):
        same_order(scores, slow_knn(train, row, k, sample), popularity)


def test_knn_by_hand(tmp_path):
    """After 1 2 the sessions 2 3, 1 4 and 1 2 5 are as like as 1, 1/2 and 3/2, the second by a page 2 views back."""
    train = sessions_of([[2, 3], [1, 4], [1, 2, 5], [6, 7]])
    write(tmp_path, train, sessions_of([[1, 2, 8]]))
    last = scored(tmp_path, VsKnn())[1]
    # 2: 1 + 3/2; 5 and 1 + a quarter: 3/2 and 7/4; 3: 1; 4: 1/4.
    assert np.argsort(-last)[:5].tolist() == [2, 1, 5, 3, 4]
    nearest = scored(tmp_path, VsKnn(k=1))[1]
    assert set(np.flatnonzero(nearest >= 1).tolist()) == {1, 2, 5}
    newest = scored(tmp_path, VsKnn(sample=2))[1]
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


# ---------------------------------------------------------------------------------------------------------- rules


def slow_rules(train: Sessions, page: int, steps: int, kept: int) -> dict[int, Fraction]:
    rules: dict[int, Fraction] = {}
    for one, views in enumerate(lists(train)):
        worth = Fraction(1) if train.label is None else Fraction(VIEW).limit_denominator()
        sequence = [(view, worth) for view in views]
        sequence += [] if train.label is None else [(int(train.label[one]), Fraction(1))]
        for first, view in enumerate(views):
            for step in range(1, steps + 1):
                if view == page and first + step < len(sequence):
                    item, share = sequence[first + step]
                    rules[item] = rules.get(item, Fraction(0)) + share / step
    heaviest = sorted(rules, key=lambda item: (-rules[item], item))[:kept]
    return {item: rules[item] for item in heaviest}


@pytest.mark.parametrize(("steps", "kept"), [(10, 100), (2, 100), (10, 3)])
def test_rules_are_slow_ones_on_random_sessions(random_folder, steps, kept, monkeypatch):
    folder, train, test = random_folder
    monkeypatch.setattr("generator.evaluation.sequential.VIEWS", 30)
    found = scored(folder, SequentialRules(steps, kept))
    popularity = scored(folder, Popularity())[0]
    for scores, row in zip(found, seen(test), strict=True):
        same_order(scores, slow_rules(train, row[-1], steps, kept) if row else {}, popularity)


def test_rules_by_hand(tmp_path):
    """After 1 came 2 (twice at once), 3 (once at once, once two steps on), 4 (two on, three on)."""
    write(tmp_path, sessions_of([[1, 2, 3, 4], [1, 3, 4], [1, 2]]), sessions_of([[5, 1, 6]]))
    after_5, after_1 = scored(tmp_path, SequentialRules())
    assert np.argsort(-after_1)[:3].tolist() == [2, 3, 4]
    assert after_5.max() < 1


# ------------------------------------------------------------------------------------------------------------ ALS


def checkerboard(size: int) -> list[list[int]]:
    """What user i bought: the items j of its colour."""
    return [[item for item in range(1, size + 1) if (user + item) % 2] for user in range(size)]


def bought_by(histories, test, size) -> tuple[Sessions, Sessions]:
    """Training sessions whose label is the last item of a history and ``bought`` the rest, and test sessions."""
    train = sessions_of([[1]] * len(histories), [one[-1] for one in histories], [one[:-1] for one in histories])
    return train, sessions_of([[1]] * len(test), [1] * len(test), test)


def test_als_completes_a_checkerboard(tmp_path):
    size = 20
    users = checkerboard(size)
    # Each training user lacks one item of its colour; a test user has half of its colour.
    train = [[item for place, item in enumerate(one) if place != user // 2] for user, one in enumerate(users)]
    test = [users[0][::2], users[1][::2]]
    write(tmp_path, *bought_by(train, test, size), items=size)
    for scores, user in zip(scored(tmp_path, Als(factors=2)), users[:2], strict=True):
        assert set(np.argsort(-scores)[: size // 2].tolist()) == set(user)


def test_als_answers_as_implicit_does(tmp_path):
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(2)
    histories = [sorted(set(random.integers(1, 31, random.integers(2, 9)).tolist())) for _ in range(60)]
    test = histories[:10]
    write(tmp_path, *bought_by(histories, test, 30), items=30)
    dense = np.zeros((60, 31), np.float32)
    for user, one in enumerate(histories):
        dense[user, one] = 1
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors=8, alpha=40, random_state=3)
        model.fit(csr_matrix(dense), show_progress=False)
        expected, _ = model.recommend(
            np.arange(10),
            csr_matrix(dense[:10]),
            N=20,
            filter_already_liked_items=False,
            recalculate_user=True,
            filter_items=[0],
        )
    found = scored(tmp_path, Als(factors=8, seed=3))
    assert np.argsort(-found, axis=1)[:, :20].tolist() == expected.tolist()


def test_als_of_next_pages_folds_in_the_session_so_far(tmp_path):
    views = [[item for item in range(1 + user % 2, 11, 2) if item % 5 != user % 5] for user in range(20)]
    write(tmp_path, sessions_of(views), sessions_of([[1, 3, 5, 2], [2, 4, 12, 6]]), items=12)
    found = scored(tmp_path, Als(factors=2))
    for row, colour in enumerate([1, 1, 1, 0, 0, 0]):
        assert {item % 2 for item in np.argsort(-found[row])[:5].tolist()} == {colour}
    assert found[:, 11:].max() < 1  # no training session has viewed 11 or 12


def test_als_counts_a_user_once_and_users_without_a_number_apart(tmp_path):
    train = sessions_of([[1]] * 5, [3, 4, 5, 3, 3], [[], [3], [], [7, 7], []], user=[4, 4, -1, -1, 0])
    write(tmp_path, train, train)
    with SplitRows(tmp_path, "train") as part:
        matrix, purchases = interactions(part)
    assert purchases
    rows = sorted(np.flatnonzero(row).tolist() for row in matrix.toarray())
    assert rows == [[3], [3, 4], [3, 7], [5]]
    assert matrix.max() == 1


def test_als_with_nothing_to_fold_in_is_popularity(tmp_path):
    train, _ = bought_by([[2, 3], [3, 4], [3]], [], ITEMS)
    test = sessions_of([[1], [1], [1]], [1, 1, 1], [[], [9], [9, 4]])
    write(tmp_path, train, test)
    found, popularity = scored(tmp_path, Als()), scored(tmp_path, Popularity())
    assert np.array_equal(found[:2], popularity[:2])
    assert np.array_equal(np.flatnonzero(found[2] >= 1), [2, 3, 4])
    assert found[2].argmax() == 4


@pytest.mark.parametrize("threads", [1, 2])
def test_als_gives_the_same_bits_again_on_any_number_of_threads(random_folder, threads):
    folder, _, _ = random_folder
    first = scored(folder, Als())
    again = Als()
    again._options["num_threads"] = threads
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(scored(folder, again), first)


def test_all_without_implicit_says_which_extra_brings_it(random_folder, tmp_path):
    absent = tmp_path / "absent" / "implicit"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ImportError('not here')\n")
    code = (
        "from generator.evaluation.baselines import BASELINES, choose\n"
        "import sys\n"
        "assert not {'scipy', 'threadpoolctl', 'implicit'} & set(sys.modules)\n"
        "assert choose('default') and choose('vs-knn,rules')\n"
        "choose('all')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{absent.parent}:{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.strip().endswith(
        "the baseline als needs implicit, which is not installed: pip install 'drn-recommender[eval]', or name the "
        "other baselines"
    )


# ---------------------------------------------------------------------------------------------------- what all do


def test_the_help_names_every_baseline():
    text = CliRunner().invoke(command, ["--help"]).output
    words = set(re.findall(r"[a-z-]+", text.split("Baselines by default:")[1].split("Example:")[0]))
    assert set(BASELINES) <= words


@pytest.mark.parametrize("kind", [VsKnn, SequentialRules, Als])
def test_empty_and_unknown_sessions_are_popularity(random_folder, kind):
    folder, train, _ = random_folder
    cold = sessions_of([[], [0], [12]], [1, 2, 3])  # page 12 is in no training session
    if train.label is None:
        cold = sessions_of([[0, 1], [0, 0, 3], [12, 1]])
    found = scored(write(folder, train, cold), kind())
    assert np.array_equal(found, scored(folder, Popularity()))


@pytest.mark.parametrize("kind", [VsKnn, SequentialRules, Als])
def test_a_long_session_is_scored(random_folder, kind):
    folder, train, _ = random_folder
    views = [[1 + i % 11 for i in range(2000)]]
    long = sessions_of(views, None if train.label is None else [1])
    found = scored(write(folder, train, long), kind(), size=500)
    assert np.isfinite(found).all()
    assert (found[:, 0] < found[:, 1:].min(axis=1)).all()


def test_slices_part_no_group_and_keep_to_the_limit():
    group = np.array([0, 0, 1, 2, 2, 2, 5])
    size = np.array([1, 1, 2, 9, 1, 1, 1])
    found = [group[part].tolist() for part in slices(group, size, 4)]
    assert found == [[0, 0], [1], [2, 2, 2], [5]]  # the run of 2 alone is past the limit
    assert [group[part].tolist() for part in slices(group, size, 100)] == [group.tolist()]
    assert list(slices(group[:0], size[:0], 4)) == []


@pytest.mark.oracle
def test_the_figures_of_yoochoose_are_those_published(shared_data, tmp_path):
    """R@20 and MRR@20: sequential rules .619 and .348, VS-kNN .684 and .354; ties fall otherwise there."""
    folder = shared_data / "yoochoose-100k"
    spec = Spec(
        name="y",
        net="rnn",
        pages=2933,
        items=2933,
        rnn=Rnn(window=4, widths=[8]),
        loss="every",
        data=Data(target="next"),
    )
    options = Options("session-rec", test=(folder / "test.tsv.gz",), division=Division(files=True))
    build([folder / "train_full.tsv.gz"], tmp_path / "data", spec, options)
    report = evaluate({}, tmp_path / "data", choose("rules,vs-knn"), replicates=5)
    rules, knn = ([method.metrics[name].value for name in ("HR@20", "MRR@20")] for method in report.methods)
    assert rules == pytest.approx([0.619, 0.348], abs=0.008)
    assert knn == pytest.approx([0.684, 0.354], abs=0.008)
