"""Successive halving: who is promoted, and whole runs with it."""

import sys

import numpy as np
import pytest

from generator.errors import SpecError
from generator.jobs.workers import Processes
from generator.tuning.halving import leader, promotable, shares
from generator.tuning.individual import RungJob
from generator.tuning.run import tune
from generator.tuning.selection import dominates

# To rungs at a quarter, a half and all of three epochs.
HALVED = ("training: {epochs: 2}", "training: {epochs: 3, halving: {factor: 2, rungs: 3}}")
OWN = ("sampler: genetic", "sampler: surrogate")


def test_the_shares_rise_by_the_factor_to_the_whole():
    assert shares(3, 3) == pytest.approx((1 / 9, 1 / 3, 1))
    assert shares(4, 1) == (1,)


def test_promoted_are_the_best_of_those_waiting_until_a_share_of_all_that_came_to_a_rung_went_on():
    rng = np.random.default_rng(0)
    for _ in range(200):
        factor, count = int(rng.integers(2, 5)), int(rng.integers(0, 20))
        curves = [[(float(each),) for each in rng.integers(0, 9, rng.integers(1, 4))] for _ in range(count)]
        wanted = set()
        for rung in (0, 1):
            figures = [(curve[rung][0], -index) for index, curve in enumerate(curves) if len(curve) > rung]
            gone = sum(len(curve) > rung + 1 for curve in curves)
            waiting = sorted([each for each in figures if len(curves[-each[1]]) == rung + 1], reverse=True)
            promoted = waiting[: max(len(figures) // factor - gone, 0)]
            # As ASHA has it, who goes on is among the best of all that came there.
            if gone <= len(figures) // factor:
                assert set(promoted) <= set(sorted(figures, reverse=True)[: len(figures) // factor])
            wanted |= {-place for _, place in promoted}
        assert set(promotable(curves, 3, factor)) == wanted


def test_the_leader_is_the_best_of_those_who_came_furthest():
    assert leader([[(9.0,)], [(1.0,), (2.0,)], [(1.0,), (3.0,)], ()]) == 2
    assert leader([(), ()]) is None


def test_a_run_promotes_from_the_whole_of_its_history(data, make_plan, inline, tmp_path):
    result = tune(make_plan(HALVED, OWN, ("trainings: 10", "trainings: 16")), data, tmp_path / "run", engine=inline)
    jobs = [job for job in inline.jobs if isinstance(job, RungJob)]
    stops = {
        job.spec.solver.max_iter: {round(job.spec.solver.max_iter * share) for share in shares(2, 3)} for job in jobs
    }
    assert all(job.until in stops[job.spec.solver.max_iter] for job in jobs)
    assert len(jobs) == len({(job.run, job.until) for job in jobs})
    for rung, share in enumerate(shares(2, 3)[:-1]):
        there = [each for each in result.history if len(each.curve) > rung and each.first == each.number]
        going_on = [each for each in there if len(each.curve) > rung + 1]
        assert len(going_on) == len(there) // 2, f"after {share}"
        worst = min(there, key=lambda each: each.curve[rung][0])
        assert worst not in going_on, f"after {share}"
    assert result.trained == 16
    assert result.best.state == "complete"
    assert sum(each.state == "complete" for each in result.history) < 8
    assert result.epochs < 0.8 * 16 * 3


def test_one_worker_and_two_and_a_torn_journal_give_the_same_history(data, make_plan, tmp_path):
    plan = make_plan(HALVED, OWN, ("confirm: null", "confirm: {best: 2, seeds: 2}"))
    for workers in (1, 2):
        with Processes(workers) as engine:
            tune(plan, data, tmp_path / str(workers), engine=engine)
    whole = (tmp_path / "1/history.jsonl").read_bytes()
    assert (tmp_path / "2/history.jsonl").read_bytes() == whole
    journal = (tmp_path / "1/journal.jsonl").read_bytes()
    for cut in (journal.index(b"\n") + 1, len(journal) // 3, 2 * len(journal) // 3, len(journal) - 5):
        run = tmp_path / f"cut-{cut}"
        run.mkdir()
        (run / "journal.jsonl").write_bytes(journal[:cut])
        with Processes(1) as engine:
            tune(plan, data, run, engine=engine, resume=True)
        assert (run / "history.jsonl").read_bytes() == whole
        assert (run / "best.yaml").read_bytes() == (tmp_path / "1/best.yaml").read_bytes()


def test_individuals_that_diverge_are_promoted_nowhere(data, make_plan, inline, tmp_path):
    plan = make_plan(
        HALVED,
        OWN,
        ("float: [0.01, 1], log: true", "choice: [0.1, 0.2, 1e+30]"),
        ("clip_gradients: 5", "momentum: 0"),
        ("trainings: 10", "trainings: 20"),
    )
    result = tune(plan, data, tmp_path / "run", engine=inline)
    failed = [each for each in result.history if each.state == "failed"]
    assert failed
    assert all(each.values is None and "rate is too high" in each.error for each in failed)
    assert result.best.genes["solver.base_lr"] < 1
    assert len(failed) < 10  # the surrogate has learned to keep away


def test_a_budget_too_small_for_a_promotion_ends_with_one_whole_training(data, make_plan, inline, tmp_path):
    result = tune(make_plan(HALVED, OWN, ("trainings: 10", "trainings: 1")), data, tmp_path / "run", engine=inline)
    assert [each.state for each in result.history] == ["complete"]


def test_a_budget_of_epochs_is_kept(data, make_plan, inline, tmp_path):
    plan = make_plan(HALVED, OWN, ("trainings: 10", "epochs: 20"))
    result = tune(plan, data, tmp_path / "run", engine=inline)
    assert 20 - 3 / 4 <= result.epochs <= 20 + 1e-9
    assert result.end == "the epochs of the budget are spent"


def test_several_objectives_are_halved_by_front(data, make_plan, inline, tmp_path):
    plan = make_plan(HALVED, OWN, ("budget:", "objectives: [HR@5, size]\nbudget:"), ("trainings: 10", "trainings: 16"))
    result = tune(plan, data, tmp_path / "run", engine=inline)
    points = {each.hash: each.curve[-1] for each in result.history if each.state == "complete"}
    wanted = {name for name, point in points.items() if not any(dominates(one, point) for one in points.values())}
    assert {each.hash for each in result.front} == wanted
    assert all(each.figures == (each.values["HR@5"], each.values["size"]) for each in result.front)


def test_the_surrogate_needs_no_optuna(data, make_plan, inline, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)  # as if it were not installed: importing it raises ImportError
    result = tune(make_plan(HALVED, OWN), data, tmp_path / "run", engine=inline)
    assert result.trained == 10
    assert (tmp_path / "run/report.html").is_file()


def test_halving_and_early_stopping_are_one_too_many(make_plan):
    both = "training: {epochs: 2, halving: {}, early_stopping: {after: [0.5]}}"
    with pytest.raises(SpecError, match=r"training\.halving: early_stopping is given too"):
        make_plan(("training: {epochs: 2}", both))
