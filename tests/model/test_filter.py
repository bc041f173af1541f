"""Filtered answers are the unfiltered ranking of all items with the others taken out."""

import numpy as np
import pytest
from served import ITEMS, PAGES, write_version

from generator.model.filter import Filter
from generator.model.model import Model
from generator.model.query import Query


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model(write_version(tmp_path_factory.mktemp("filter") / "shop", 1, seed=1))


def queries(count):
    random = np.random.default_rng(2)
    return [Query([(PAGES[i], 1.0) for i in random.integers(0, 30, length)]) for length in range(count)]


@pytest.mark.parametrize("top", [1, 5, 12, 1000])
def test_they_are_the_ranking_without_the_others(model, top):
    random = np.random.default_rng(3)
    asked = queries(24)
    every = model.recommend(asked, len(ITEMS))
    filters = []
    for number in range(24):
        drawn = frozenset(random.choice(ITEMS, random.integers(0, 20), replace=False).tolist()) | {"unheard of"}
        others = frozenset(random.choice(ITEMS, 4, replace=False).tolist())
        filters.append(
            [[], [Filter(exclude=drawn)], [Filter(only=drawn)], [Filter(only=drawn), Filter(exclude=others)]][
                number % 4
            ]
        )
    for whole, some, answer in zip(every, filters, model.recommend(asked, top, filters), strict=True):
        allowed = [(item, p) for item, p in whole.items if all(one.allows(item) for one in some)]
        assert [item for item, _ in answer.items] == [item for item, _ in allowed[:top]]
        assert [p for _, p in answer.items] == pytest.approx([p for _, p in allowed[:top]], rel=1e-6)


def test_nothing_allowed_is_an_empty_answer(model):
    (answer,) = model.recommend(queries(1), 5, [[Filter(only=frozenset())]])
    assert answer.items == ()
