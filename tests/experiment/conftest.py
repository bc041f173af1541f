"""A plan that takes seconds: a tiny simulated shop, all seven experiments."""

from pathlib import Path

import pytest

from generator.experiment.plan import load_plan
from generator.experiment.run import experiment
from generator.jobs.workers import Processes

PLAN = """
title: A <tiny> shop
data:
  simulate: {sessions: 1500, users: 300, items: 20, categories: 4, conversion: 0.6, seed: 3}
  test_share: 0.2
spec:
  name: tiny
  net: combined
  pages: 27
  items: 27
  top_k: 5
  rnn: {window: 3, widths: [8], history: 4}
  fnn: {bought: 4, widths: [8]}
  solver: {type: Adam, batch_size: 32, base_lr: 0.01, lr_policy: multistep, stepvalue: [60], max_iter: 80}
variants:
  fnn: {net: fnn}
  rnn: {net: rnn}
  combined:
seeds: [1, 2]
baselines: [popularity, recency]
experiments:
  accuracy:
  als: {baseline: popularity}
  nets:
  top_k:
  history: {windows: [1, 3], states: 4}
  batch_size: {values: [16, 32]}
  convergence: {epochs: [0.5, 1, 2, 50], variants: [combined]}
"""


@pytest.fixture(scope="session")
def plan_file(tmp_path_factory) -> Path:
    """PLAN in a file."""
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="session")
def whole(plan_file, tmp_path_factory) -> Path:
    """The folder of an undisturbed run of the plan, by two workers."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with Processes(2) as engine:
        experiment(load_plan(plan_file), out, engine=engine)
    return out
