"""Tables updated where a batch touches them, against SGD over all rows written down plainly in double precision."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_solver import Settings

from generator.training.engine.dense_group import DenseGroup, UpdateFactors
from generator.training.engine.lazy_rows import LazyRows
from generator.training.engine.row_sums import RowSums, distinct_ids
from generator.training.engine.row_table import DenseRows
from generator.training.engine.solver import Rule, clip_factor

ROWS, WIDTH = 6, 3
# Together large enough for two threads, the border between them inside the first.
SHAPES = {"matrix": (5000, 101), "bias": (7,), "other": (300, 200)}


def plain_update(kind: str, w: Any, v: Any, g: Any, rate: float, momentum: float) -> None:
    """One update of every row, as Caffe's solvers write it."""
    if kind == "AdaGrad":
        v += g**2
        w -= rate * g / (np.sqrt(v) + 1e-8)
        return
    old = v.copy()
    v *= momentum
    v += rate * g
    w -= v if kind == "SGD" else (1 + momentum) * v - momentum * old


touches = st.lists(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=5), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(
    touches=touches,
    kind=st.sampled_from(["SGD", "Nesterov", "AdaGrad"]),
    momentum=st.sampled_from([0.0, 0.5, 0.875]),
    iter_size=st.sampled_from([1, 2, 3]),
    clip=st.sampled_from([-1.0, 0.75]),
    seed=st.integers(0, 9),
)
def test_rows_end_where_an_update_of_all_rows_leads(
    touches: list[list[int]], kind: str, momentum: float, iter_size: int, clip: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rule = Rule(Settings(type=kind, momentum=momentum))
    start = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    table = LazyRows(start.copy(), [np.zeros_like(start)], rule, UpdateFactors(lr=0.5), iter_size=iter_size)
    w, v = start.astype(np.float64), np.zeros((ROWS, WIDTH))
    updates = [touches[i : i + iter_size] for i in range(0, len(touches) - iter_size + 1, iter_size)]
    for iteration, batches in enumerate(updates):
        rate = 0.25 / (1 + iteration)
        dense = np.zeros((ROWS, WIDTH))
        for ids in batches:
            values = rng.standard_normal((len(ids), WIDTH)).astype(np.float32)
            np.add.at(dense, ids, values)
            table.catch_up(np.unique(ids), iteration)
            # The forward pass sees these rows: they are where training of all rows has them.
            np.testing.assert_allclose(table.weight[ids], w[ids], rtol=1e-5, atol=1e-5)
            table.add((np.array(ids), values))
        assert table.squares() == pytest.approx((dense**2).sum(), rel=1e-4)
        scale = clip_factor(float((dense**2).sum()), clip) / iter_size
        table.update(iteration, rate, scale)
        plain_update(kind, w, v, dense * scale, 0.5 * rate, momentum)
    table.flush(len(updates))
    np.testing.assert_allclose(table.weight, w, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(table.histories[0], v, rtol=1e-5, atol=1e-6)
    assert not table.behind(len(updates))


@settings(max_examples=50, deadline=None)
@given(touches=touches, momentum=st.sampled_from([0.0, 0.5, 0.875]), seed=st.integers(0, 9))
def test_lazy_adam_is_pytorchs_sparse_adam(touches: list[list[int]], momentum: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rule = Rule(Settings(type="Adam", momentum=momentum, momentum2=0.75, delta=1e-4))
    assert LazyRows.fits(rule, UpdateFactors(), lazy=True)
    assert not LazyRows.fits(rule, UpdateFactors()), "Caffe's Adam moves every row"
    start = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    table = LazyRows(start.copy(), [np.zeros_like(start) for _ in range(2)], rule, UpdateFactors())
    peer = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.SparseAdam([peer], lr=0.25, betas=(momentum, 0.75), eps=1e-4)
    for iteration, ids in enumerate(touches):
        values = rng.standard_normal((len(ids), WIDTH)).astype(np.float32)
        table.catch_up(np.unique(ids), iteration)
        table.add((np.array(ids), values))
        table.update(iteration, 0.25, 1.0)
        peer.grad = torch.sparse_coo_tensor(
            torch.tensor([ids]), torch.from_numpy(values), peer.shape, check_invariants=True
        )
        optimizer.step()
    table.flush(len(touches))
    np.testing.assert_allclose(table.weight, peer.detach().numpy(), rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(table.histories, ("exp_avg", "exp_avg_sq"), strict=True):
        np.testing.assert_allclose(ours, optimizer.state[peer][theirs].numpy(), rtol=1e-5, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(touches=touches, momentum=st.sampled_from([0.5, 0.875]), seed=st.integers(0, 9))
def test_a_drifting_adam_comes_near_to_pytorchs_dense_adam(
    touches: list[list[int]], momentum: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rule = Rule(Settings(type="Adam", momentum=momentum, momentum2=0.99, delta=1e-12), drifting=True)
    start = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    # Late in training, when Adam's correction no longer changes from one update to the next.
    first, history = 5000, rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    histories = [history.copy(), np.square(history)]
    table = LazyRows(start.copy(), histories, rule, UpdateFactors(), iteration=first)
    peer = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.Adam([peer], lr=0.25, betas=(momentum, 0.99), eps=1e-12)
    exp_avg, exp_avg_sq = (torch.from_numpy(each.copy()) for each in histories)
    optimizer.state[peer] = {"step": torch.tensor(float(first)), "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    for iteration, ids in enumerate(touches, first):
        values = rng.standard_normal((len(ids), WIDTH)).astype(np.float32)
        table.catch_up(np.unique(ids), iteration, 0.25)
        table.add((np.array(ids), values))
        table.update(iteration, 0.25, 1.0)
        peer.grad = torch.zeros_like(peer)
        peer.grad.index_add_(0, torch.tensor(ids), torch.from_numpy(values))
        optimizer.step()
    last = first + len(touches)
    assert table.behind(last) == bool((table.seen < last).any())
    table.flush(last, 0.25)
    np.testing.assert_allclose(table.weight, peer.detach().numpy(), rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(table.histories, (exp_avg, exp_avg_sq), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_wide_tables_are_updated_in_blocks() -> None:
    rng = np.random.default_rng(0)
    rule = Rule(Settings())
    start = rng.standard_normal((500, 100)).astype(np.float32)
    ids = rng.integers(0, 500, 800)
    values = rng.standard_normal((800, 100)).astype(np.float32)
    table = LazyRows(start.copy(), [np.zeros_like(start)], rule, UpdateFactors())
    table.add((ids, values))
    table.update(0, 0.5, 1.0)
    dense = np.zeros((500, 100))
    np.add.at(dense, ids, values)
    np.testing.assert_allclose(table.weight, start - 0.5 * dense, rtol=1e-4, atol=1e-5)


def test_dense_takes_rows_too() -> None:
    # A tied table: the graph writes one part of the gradient, rows are the other.
    weight = np.zeros((4, 2), np.float32)
    dense = DenseGroup({"table": weight}, [{"table": weight}], Rule(Settings()), UpdateFactors())
    dense.gradients[0]["table"][:] = 1.0
    dense.add({"table": (np.array([2, 0, 2]), np.full((3, 2), 3.0, np.float32))})
    dense.update(0, 1.0, 1.0)
    assert dense.weights["table"][:, 0].tolist() == [-4.0, -1.0, -7.0, -1.0]


def test_dense_without_a_written_gradient_starts_from_zero() -> None:
    weight = np.zeros((3, 2), np.float32)
    rule = Rule(Settings(momentum=0.0))
    dense = DenseGroup({"table": weight}, [{"table": weight}], rule, UpdateFactors(), sparse={"table"})
    for iteration in range(2):
        dense.add({"table": (np.array([1]), np.ones((1, 2), np.float32))})
        dense.update(iteration, 1.0, 1.0)
    assert dense.weights["table"][:, 0].tolist() == [0.0, -2.0, 0.0]


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "Adam"])
@pytest.mark.parametrize("iter_size", [1, 2])
def test_rows_of_a_gradient_move_a_table_as_the_whole_of_it(kind: str, decay: float, iter_size: int) -> None:
    rng = np.random.default_rng(0)
    start = rng.standard_normal((3001, 64)).astype(np.float32)  # large enough for two threads
    rule = Rule(Settings(type=kind))
    dense, histories = start.copy(), [np.zeros_like(start) for _ in range(rule.histories)]
    factors = UpdateFactors(lr=0.5, decay=decay)
    with ThreadPoolExecutor(1) as helper:
        arrays = start.copy(), [np.zeros_like(start) for _ in range(rule.histories)]
        table = DenseRows(*arrays, rule, factors, iter_size=iter_size, helper=helper)
        for iteration in range(3):
            whole = np.zeros_like(start)
            for _ in range(iter_size):
                ids, values = rng.integers(0, 3001, 40), rng.standard_normal((40, 64)).astype(np.float32)
                np.add.at(whole, ids, values)
                table.add((ids, values))
            assert table.squares() == pytest.approx(float((whole.astype(np.float64) ** 2).sum()), rel=1e-5)
            table.update(iteration, 0.5, 0.25)
            rule.apply(dense, whole, histories, iteration=iteration, rate=0.25, scale=0.25, decay=decay)
            np.testing.assert_allclose(table.weight, dense, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(table.histories, histories, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_shards_have_gradients_of_their_own() -> None:
    weight = np.zeros((2, 2), np.float32)
    dense = DenseGroup({"matrix": weight}, [{"matrix": weight}], Rule(Settings()), UpdateFactors(), shards=2)
    for iteration, squares in enumerate((True, False)):
        dense.gradients[0]["matrix"][:], dense.gradients[1]["matrix"][:] = 1.0, 2.0
        dense.add()
        assert not squares or dense.squares() == 36.0
        dense.update(iteration, 1.0, 1.0)
    momentum = Settings().momentum
    np.testing.assert_allclose(dense.weights["matrix"], -3.0 - 3.0 * (1 + momentum))


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "Adam"])
def test_parameters_joined_and_halved_move_as_each_alone(kind: str) -> None:
    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    gradients = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    rule = Rule(Settings(type=kind))
    zeros = [{name: np.zeros_like(weight) for name, weight in start.items()}] * rule.histories
    with ThreadPoolExecutor(1) as helper:
        dense = DenseGroup(start, zeros, rule, UpdateFactors(decay=0.1), helper=helper)
        for iteration in range(3):
            for name, gradient in gradients.items():
                dense.gradients[0][name][...] = gradient
            dense.add()
            dense.update(iteration, 0.5, 0.5)
    for name, weight in start.items():
        histories = [np.zeros_like(weight) for _ in range(rule.histories)]
        for iteration in range(3):
            rule.apply(weight, gradients[name].copy(), histories, iteration=iteration, rate=0.5, scale=0.5, decay=0.1)
        assert np.array_equal(dense.weights[name], weight), name


def test_decay_and_adam_need_all_rows() -> None:
    assert LazyRows.fits(Rule(Settings()), UpdateFactors())
    assert LazyRows.fits(Rule(Settings(type="AdaGrad")), UpdateFactors())
    assert not LazyRows.fits(Rule(Settings()), UpdateFactors(decay=0.01))
    assert not LazyRows.fits(Rule(Settings(type="Adam")), UpdateFactors())


@given(
    batches=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=60), min_size=1, max_size=4),
    known=st.booleans(),
    more=st.sets(st.integers(0, 40)),
)
def test_sums_by_id(batches: list[list[int]], known: bool, more: set[int]) -> None:
    sums_of, room = RowSums(), np.zeros((60, 2), np.float32)
    for number, ids in enumerate(batches):
        values = room[: len(ids)]  # in the same place, and of another length now and then
        values[...] = np.arange(number, number + 2 * len(ids)).reshape(-1, 2)
        given_ids = sorted({*ids, *more}) if known else None
        distinct, sums = sums_of(np.array(ids), values, np.array(given_ids) if known else None)
        expected = np.zeros((41, 2), np.float32)
        np.add.at(expected, ids, values)
        assert distinct.tolist() == (given_ids or sorted(set(ids)))
        assert np.array_equal(sums, expected[distinct])


@given(ids=st.lists(st.integers(0, 9)))
def test_distinct_ids(ids: list[int]) -> None:
    assert distinct_ids(np.array(ids, np.int64)).tolist() == sorted(set(ids))
