"""The process engine: all outcomes, once each, whatever becomes of the workers."""

import os
import threading
from pathlib import Path

import pytest
from worker_jobs import die, double, refuse, threads

from generator.jobs.workers import Processes


def own_process(_job):
    return os.getpid()


def hang(flag):
    """Hang this worker, if ``flag`` is a file once only."""
    if not flag or not Path(flag).exists():
        if flag:
            Path(flag).touch()
        threading.Event().wait()
    return "lived"


@pytest.fixture(scope="module")
def engine():
    with Processes(2, timeout=60) as made:
        yield made


def test_every_job_has_its_outcome_on_two_processes(engine):
    outcomes = sorted(engine.map(double, list(range(20))), key=lambda outcome: outcome.index)
    assert [(outcome.index, outcome.value, outcome.tries) for outcome in outcomes] == [(n, 2 * n, 1) for n in range(20)]
    pids = {outcome.value for outcome in engine.map(own_process, list(range(50)))}
    assert len(pids) <= 2
    assert os.getpid() not in pids


def test_no_jobs_give_no_outcomes(engine):
    assert list(engine.map(double, [])) == []


def test_an_exception_is_an_outcome_and_is_not_tried_again(engine):
    errors = {outcome.index: (outcome.error, outcome.tries) for outcome in engine.map(refuse, [0, 1])}
    assert errors == {0: ("ZeroDivisionError: zero", 1), 1: ("no 1", 1)}


def test_a_worker_has_one_thread(engine):
    assert [outcome.value for outcome in engine.map(threads, [0])] == ["1"]
    assert "OMP_NUM_THREADS" not in os.environ or os.environ["OMP_NUM_THREADS"] != ""


def test_a_dead_worker_costs_one_retry(engine, tmp_path):
    jobs = [str(tmp_path / "once"), None]
    outcomes = {outcome.index: outcome for outcome in engine.map(die, jobs)}
    assert (outcomes[0].value, outcomes[0].tries) == ("lived", 2)
    assert outcomes[1].value is None
    assert outcomes[1].error == "its worker was lost, 2 times: killed by signal 9"
    assert [outcome.value for outcome in engine.map(double, [1])] == [2]


def test_a_hung_worker_costs_one_retry(tmp_path):
    # The timeout holds the start of the process too, which takes a moment.
    with Processes(2, timeout=3) as engine:
        outcomes = {outcome.index: outcome for outcome in engine.map(hang, [str(tmp_path / "once"), None])}
    assert (outcomes[0].value, outcomes[0].tries) == ("lived", 2)
    assert outcomes[1].error == "its worker was lost, 2 times: no answer in 3 s"
