"""Ranks and lists of recommended items beside scipy's ranks and a full sort."""

from typing import get_args

import numpy as np
import pytest
from scipy.stats import rankdata

from generator.commands.evaluate import TIES
from generator.evaluation.ranking import Ties, ranks, tied_ranks, top_items

# GRU4Rec's words for the ranks of tied items, and scipy's.
SCIPY = {"standard": "min", "median": "average", "conservative": "max"}


@pytest.mark.parametrize("ties", get_args(Ties))
@pytest.mark.parametrize("items", [3, 90, 70_000])
def test_ranks_are_those_of_scipy(ties, items):
    random = np.random.default_rng(items)
    scores = random.integers(0, 4, (20, items + 1)).astype(np.float32)
    labels = random.integers(1, items + 1, 20)
    expected = [rankdata(-row[1:], SCIPY[ties])[label - 1] for row, label in zip(scores, labels, strict=True)]
    assert ranks(scores, labels, ties).tolist() == expected


@pytest.mark.parametrize("ties", get_args(Ties))
def test_ranks_from_counts_are_those_from_scores(ties):
    scores = np.array([[0, 5, 3, 3, 3, 1], [0, 1, 1, 1, 1, 1]], np.float32)
    labels = np.array([3, 5])
    assert tied_ranks(np.array([1, 0]), np.array([3, 5]), ties).tolist() == ranks(scores, labels, ties).tolist()


def test_the_command_has_the_ties_there_are():
    assert get_args(Ties) == TIES


@pytest.mark.parametrize("levels", [1, 3, 10**6])
@pytest.mark.parametrize("items", [1, 7, 20, 21, 511, 512, 2933, 70_001])
def test_the_items_recommended_are_the_head_of_a_stable_sort(items, levels):
    random = np.random.default_rng(items)
    scores = random.integers(0, levels, (9, items + 1)).astype(np.float32)
    scores[:, 0] = 9e9  # no item, never recommended
    scores[0, 1] = -np.inf
    expected = np.argsort(-scores[:, 1:], axis=1, kind="stable")[:, :20] + 1
    assert top_items(scores).tolist() == expected.tolist()
    assert top_items(scores, 3).tolist() == expected[:, :3].tolist()
    assert top_items(scores[:0]).shape == (0, min(20, items))
