"""Caffe's policies against figures worked by hand, its rules against torch.optim."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from generator.errors import TrainingError
from generator.training.engine.solver import BLOCK, Rule, clip_factor, learning_rate, squared_norm


@dataclass(frozen=True)
class Settings:
    """SolverParameter's fields with values that are exact in float32."""

    type: str = "SGD"
    base_lr: float = 0.5
    lr_policy: str = "fixed"
    gamma: float = 0.5
    power: float = 2.0
    stepsize: int = 10
    stepvalue: list[int] = field(default_factory=list)
    max_iter: int = 100
    momentum: float = 0.875
    momentum2: float = 0.75
    delta: float = 1e-8


@pytest.mark.parametrize(
    ("policy", "iteration", "rate"),
    [
        ("fixed", 0, 0.5),
        ("fixed", 99, 0.5),
        ("step", 9, 0.5),  # 0.5 * 0.5^0
        ("step", 10, 0.25),  # 0.5 * 0.5^1
        ("step", 39, 0.0625),  # 0.5 * 0.5^3
        ("exp", 0, 0.5),
        ("exp", 3, 0.0625),  # 0.5 * 0.5^3
        ("inv", 0, 0.5),
        ("inv", 2, 0.125),  # 0.5 * (1 + 0.5 * 2)^-2
        ("inv", 6, 0.03125),  # 0.5 * (1 + 0.5 * 6)^-2
        ("poly", 0, 0.5),
        ("poly", 50, 0.125),  # 0.5 * (1 - 50/100)^2
        ("poly", 75, 0.03125),  # 0.5 * (1 - 75/100)^2
        ("poly", 100, 0.0),
        ("sigmoid", 10, 0.25),  # 0.5 / (1 + e^0)
        ("sigmoid", 12, 0.36552929),  # 0.5 / (1 + e^-1), e = 2.718281828
        ("sigmoid", 8, 0.13447071),  # 0.5 / (1 + e^1)
    ],
)
def test_policy_as_worked_by_hand(policy: str, iteration: int, rate: float) -> None:
    assert learning_rate(Settings(lr_policy=policy), iteration)[0] == pytest.approx(rate, rel=1e-7, abs=0)


def test_multistep_counts_its_steps_as_caffe_does() -> None:
    solver = Settings(lr_policy="multistep", stepvalue=[2, 4, 5])
    rates, step = [], 0
    for iteration in range(7):
        rate, step = learning_rate(solver, iteration, step)
        rates.append(rate)
    assert rates == [0.5, 0.5, 0.25, 0.25, 0.125, 0.0625, 0.0625]
    assert step == 3


def test_multistep_moves_one_step_in_an_update_and_keeps_the_step_it_resumed_with() -> None:
    solver = Settings(lr_policy="multistep", stepvalue=[2, 4, 5])
    assert learning_rate(solver, 100, 0) == (0.25, 1)
    assert learning_rate(solver, 100, 1) == (0.125, 2)


def test_step_reports_its_current_step_for_the_solverstate() -> None:
    assert learning_rate(Settings(lr_policy="step"), 25) == (0.125, 2)


def test_rate_is_a_float32_as_in_caffe() -> None:
    assert learning_rate(Settings(base_lr=0.1), 0)[0] == float(np.float32(0.1))


@pytest.mark.parametrize("changes", [{"lr_policy": "cosine"}, {"type": "RMSProp"}])
def test_unknown_names_are_refused_with_the_known_ones(changes: dict[str, Any]) -> None:
    solver = Settings(**changes)
    with pytest.raises(TrainingError, match=r"'(cosine|RMSProp)'.*(sigmoid|Adam)"):
        (Rule(solver), learning_rate(solver, 0))


def torch_optimizer(kind: str, weight: torch.Tensor, lr: float, decay: float) -> torch.optim.Optimizer:
    match kind:
        case "SGD":
            return torch.optim.SGD([weight], lr, momentum=0.875, weight_decay=decay)
        case "Nesterov":
            return torch.optim.SGD([weight], lr, momentum=0.875, weight_decay=decay, nesterov=True)
        case "AdaGrad":
            return torch.optim.Adagrad([weight], lr, weight_decay=decay, eps=1e-8)
        case _:
            # Caffe adds delta to sqrt(v), torch to sqrt(v / (1 - b2^t)): one and the same at gradients far above it.
            return torch.optim.Adam([weight], lr, betas=(0.875, 0.75), weight_decay=decay, eps=1e-8)


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "Adam"])
@pytest.mark.parametrize("decay", [0.0, 0.125])
@pytest.mark.parametrize("shape", [(7,), (3, BLOCK // 2 + 5)])
def test_rule_is_that_of_torch(kind: str, decay: float, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    ours = rng.standard_normal(shape).astype(np.float32)
    theirs = torch.nn.Parameter(torch.tensor(ours.copy()))
    optimizer = torch_optimizer(kind, theirs, 0.0625, decay)
    rule = Rule(Settings(type=kind))
    histories = [np.zeros(shape, np.float32) for _ in range(rule.histories)]
    for iteration in range(8):
        gradient = (rng.uniform(4, 8, shape) * rng.choice([-1, 1], shape)).astype(np.float32)
        theirs.grad = torch.tensor(gradient * 0.25)
        optimizer.step()
        rule.apply(ours, gradient, histories, iteration=iteration, rate=0.0625, scale=0.25, decay=decay)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=2e-5, atol=2e-6)


def test_momentum_keeps_the_rate_it_was_gathered_at() -> None:
    # Caffe: v = m v + lr g. Where the rate falls, torch (lr times v) is another rule.
    weight, gradient, history = (np.full(1, x, np.float32) for x in (1.0, 1.0, 0.0))
    rule = Rule(Settings(momentum=0.5))
    rule.apply(weight, gradient.copy(), [history], iteration=0, rate=0.5)
    rule.apply(weight, gradient.copy(), [history], iteration=1, rate=0.0)
    assert (weight.item(), history.item()) == (1.0 - 0.5 - 0.25, 0.25)


def test_adam_follows_caffe_where_delta_matters() -> None:
    # m = 0.125 g, v = 0.25 g², correction sqrt(1 - 0.75) / (1 - 0.875) = 4, delta beside sqrt(v), not corrected.
    weight, gradient, m, v = (np.full(1, x, np.float32) for x in (0.0, 2.0, 0.0, 0.0))
    Rule(Settings(type="Adam", delta=1.0)).apply(weight, gradient, [m, v], iteration=0, rate=1.0)
    assert (m.item(), v.item()) == (0.25, 1.0)
    assert weight.item() == -4 * 0.25 / (1.0 + 1.0)


def test_clip_bounds_the_common_norm() -> None:
    assert clip_factor(25.0, 2.5) == 0.5
    assert clip_factor(25.0, 5.0) == 1.0
    assert clip_factor(25.0, -1.0) == 1.0
    assert clip_factor(0.0, 5.0) == 1.0


def test_squared_norm_crosses_blocks() -> None:
    array = np.ones((3, BLOCK), np.float32) * 2
    assert squared_norm(array) == 3 * BLOCK * 4
