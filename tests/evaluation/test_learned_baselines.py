"""The baselines that learn from sessions: beside slow ones, beside implicit, and on real clicks."""

import re
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from histories import ITEMS, lists, same_order, scored, seen, sessions_of, write
from scipy.sparse import csr_matrix

from generator.commands.evaluate import command
from generator.data.build import Options, build
from generator.data.sessions.ragged import Sessions
from generator.data.sessions.splits import Division
from generator.evaluation.als import Als, interactions
from generator.evaluation.baseline import VIEW, Popularity, slices
from generator.evaluation.baselines import BASELINES, choose
from generator.evaluation.evaluate import evaluate
from generator.evaluation.neighbours import VsKnn
from generator.evaluation.rows import SplitRows
from generator.evaluation.sequential import SequentialRules
from generator.evaluation.stan import Stan, Vstan
from generator.spec.schema import Data, Rnn, Spec

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


def implicit_factors(matrix: csr_matrix, **settings):
    """What implicit finds: the factors of its users and of its items."""
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(alpha=40, **settings)
        model.fit(matrix, show_progress=False)
    return model.user_factors, model.item_factors


def als_factors(folder, histories, size, **settings) -> np.ndarray:
    write(folder, *bought_by(histories, histories[:1], size), items=size)
    als = Als(**settings)
    with SplitRows(folder, "train") as part:
        als.fit(part)
    return als._factors


def dense_histories(histories, size) -> csr_matrix:
    dense = np.zeros((len(histories), size + 1), np.float32)
    for user, one in enumerate(histories):
        dense[user, one] = 1
    return csr_matrix(dense)


def test_als_has_the_factors_of_implicit_where_no_two_users_are_alike(tmp_path):
    histories = [[1 + user % 12, 1 + (user * 5 + 7) % 12, 13 + user] for user in range(24)]
    _, expected = implicit_factors(dense_histories(histories, 40), factors=5, random_state=7)
    assert np.array_equal(als_factors(tmp_path, histories, 40, factors=5, seed=7), expected)


def test_als_is_as_good_as_implicit_where_users_are_alike(tmp_path):
    random = np.random.default_rng(4)
    kinds = [sorted({1 + int(item) for item in random.integers(0, 9, 3)}) for _ in range(12)]
    histories = [kinds[kind] for kind in random.integers(0, 12, 300)]
    matrix = dense_histories(histories, 9)
    confidence, wanted = 1 + 39 * matrix.toarray(), matrix.toarray()

    def loss(item) -> float:  # of Hu, Koren, Volinsky, at the users that are best for these items
        user = np.stack(
            [
                np.linalg.solve((item.T * row) @ item + 0.01 * np.eye(4), (item.T * row) @ want)
                for row, want in zip(confidence, wanted, strict=True)
            ]
        )
        return float((confidence * (wanted - user @ item.T) ** 2).sum() + 0.01 * ((user**2).sum() + (item**2).sum()))

    _, expected = implicit_factors(matrix, factors=4, random_state=1, iterations=100)
    found = als_factors(tmp_path, histories, 9, factors=4, seed=1, iterations=100)
    assert loss(found.astype(np.float64)) < 1.01 * loss(expected.astype(np.float64))


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
    again = Als(threads=threads)
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


@pytest.mark.parametrize("kind", [VsKnn, Stan, Vstan, SequentialRules, Als])
def test_empty_and_unknown_sessions_are_popularity(random_folder, kind):
    folder, train, _ = random_folder
    cold = sessions_of([[], [0], [12]], [1, 2, 3])  # page 12 is in no training session
    if train.label is None:
        cold = sessions_of([[0, 1], [0, 0, 3], [12, 1]])
    found = scored(write(folder, train, cold), kind())
    assert np.array_equal(found, scored(folder, Popularity()))


@pytest.mark.parametrize("kind", [VsKnn, Stan, Vstan, SequentialRules, Als])
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
    data = yoochoose(shared_data / "yoochoose-100k", tmp_path / "data")
    knn = VsKnn(k=100, sample=500, power=1, idf=0)
    report = evaluate({}, data, [SequentialRules(), knn], replicates=5)
    rules, knn = ([method.metrics[name].value for name in ("HR@20", "MRR@20")] for method in report.methods)
    assert rules == pytest.approx([0.619, 0.348], abs=0.008)
    assert knn == pytest.approx([0.684, 0.354], abs=0.008)


@pytest.mark.oracle
def test_stan_and_vstan_on_yoochoose_are_not_behind_another_implementation(shared_data, tmp_path):
    """R@20 and MRR@20 of one written apart, by its own settings: STAN .685 and .357, VSTAN .689 and .371."""
    data = yoochoose(shared_data / "yoochoose-100k", tmp_path / "data")
    report = evaluate({}, data, choose("stan,vstan"), replicates=5)
    stan, vstan = ([method.metrics[name].value for name in ("HR@20", "MRR@20")] for method in report.methods)
    assert stan == pytest.approx([0.685, 0.357], abs=0.01)
    assert vstan == pytest.approx([0.689, 0.371], abs=0.01)


def yoochoose(logs: Path, data: Path) -> Path:
    """Write the data folder of YooChoose's clicks."""
    spec = Spec(
        name="y",
        net="rnn",
        pages=2933,
        items=2933,
        rnn=Rnn(window=4, widths=[8]),
        loss="every",
        data=Data(target="next"),
    )
    options = Options("session-rec", test=(logs / "test.tsv.gz",), division=Division(files=True))
    build([logs / "train_full.tsv.gz"], data, spec, options)
    return data
