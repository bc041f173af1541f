"""Fronts and survivors against their definitions."""

from hypothesis import given
from hypothesis import strategies as st

from generator.tuning.selection import capped, dominates, layers, survivors

POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


def peeled(points):
    """The fronts by taking away, again and again, what none dominates."""
    found, left, number = {}, set(range(len(points))), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        found.update(dict.fromkeys(front, number))
        left -= front
        number += 1
    return [found[index] for index in range(len(points))]


@given(POINTS)
def test_layers_are_the_peels_of_the_set(points):
    assert layers(points) == peeled(points)


@given(POINTS, st.floats(0.01, 1))
def test_the_first_front_and_the_best_share_go_on(points, keep):
    kept = survivors(points, keep)
    front = layers(points)
    assert {index for index in range(len(points)) if front[index] == 0} <= set(kept)
    assert len(kept) >= keep * len(points)
    given_up = set(range(len(points))) - set(kept)
    assert all(front[out] >= front[index] for out in given_up for index in kept)
    assert all(any(dominates(points[index], points[out]) for index in kept) for out in given_up)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 1))
def test_with_one_objective_the_best_go_on(values, keep):
    kept = survivors([(value,) for value in values], keep)
    worst = min(values[index] for index in kept)
    assert all(values[out] <= worst for out in set(range(len(values))) - set(kept))


def test_a_given_up_individual_is_worth_less_than_those_that_were_better():
    assert capped([0.3], [[0.5], [0.4]]) == [0.3]
    assert 0.199 < capped([0.3], [[0.5], [0.2]])[0] < 0.2
    assert capped([0.3], []) == [0.3]
