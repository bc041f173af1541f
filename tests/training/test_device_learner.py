"""Updates made by a graph on a device: PyTorch's losses, and the weights and histories of updates on the host.

Each test runs on onnxruntime's CPU provider, and where there is an NVIDIA GPU on it too.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from test_loop import HEAD, SAMPLED, torch_losses

from generator.caffe.solverstate import TrainingState
from generator.errors import TrainingError
from generator.onnxgraph.initialise import read_weights
from generator.onnxgraph.optimise import optimise_fixed
from generator.spec.schema import Spec
from generator.training.engine.batches import Batch
from generator.training.engine.dense_group import UpdateFactors
from generator.training.engine.device_learner import DeviceLearner
from generator.training.engine.learner import Learner
from generator.training.engine.update_graph import Update, update_graph
from generator.training.run.generated import Generated
from generator.training.run.metrics import MetricsLog
from generator.training.run.rows import load_split, training_batches
from generator.training.run.train import TrainOptions, train

Make = Callable[..., Spec]

CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers() and shutil.which("nvidia-smi") is not None
UPDATES = 24
RULES = {
    "SGD": {"type": "SGD", "base_lr": 0.05},
    "Nesterov": {"type": "Nesterov", "base_lr": 0.02},
    "AdaGrad": {"type": "AdaGrad", "base_lr": 0.02, "momentum": 0.0},
    "Adam": {"type": "Adam", "base_lr": 0.005},
    "lazy Adam": {"type": "Adam", "base_lr": 0.005, "lazy": True},
}
TIED = {"net": "rnn", "items": 12, "head": HEAD, "loss": "every"}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not CUDA, reason="no CUDA here"))])
def provider(request: pytest.FixtureRequest) -> str:
    """Where the device's updates are made."""
    return str(request.param)


def batches_of(spec: Spec, data: Path, learner: Learner, first: int = 0, order: str = "shuffle") -> Iterator[Batch]:
    """Return the batches of updates from ``first`` on."""
    rows = load_split(data / "train.h5", spec)
    batches = training_batches(spec, rows, order=order, tables=list(learner.tables))
    size = spec.solver.iter_size
    return iter(batches.some(first * size, 2 * UPDATES * size))


def state_of(learner: Learner) -> TrainingState:
    """Return where a learner stands, in arrays of its own."""
    history = [array.copy() for array in learner.history]
    return TrainingState(learner.iteration, "", history, learner.current_step)


def assert_same(ours: Learner, host: Learner) -> None:
    """Assert that two learners stand at the same point, to rounding."""
    ours.flush()
    host.flush()
    assert (ours.iteration, ours.current_step, ours.rate) == (host.iteration, host.current_step, host.rate)
    for name, weight in host.weights.items():
        np.testing.assert_allclose(ours.weights[name], weight, rtol=1e-4, atol=2e-6, err_msg=name)
    for array, expected in zip(ours.history, host.history, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "solver"),
    [
        ({}, RULES["SGD"] | {"weight_decay": 0.01, "iter_size": 2, "clip_gradients": 0.5}),
        ({}, RULES["Nesterov"] | {"clip_gradients": 1.0}),
        ({}, RULES["AdaGrad"] | SAMPLED),
        ({}, RULES["Adam"]),
        ({"net": "fnn"}, RULES["Nesterov"] | {"clip_gradients": 1.0, "iter_size": 2, **SAMPLED}),
        ({"net": "rnn"}, {"base_lr": 0.2, "warmup": 30, "momentum": 0.0}),
        ({"loss": "every"}, RULES["SGD"]),
        ({"items": 12, "head": HEAD | {"dropout": 0.5}}, {"base_lr": 0.02}),
        ({"items": 12, "head": HEAD | {"dropout": 0.5}, "loss": "every"}, {"base_lr": 0.05, **SAMPLED}),
        (TIED, RULES["lazy Adam"] | {"delta": 1e-4, **SAMPLED}),
    ],
    ids=[
        "decay-iter_size-clip",
        "nesterov",
        "adagrad-sampled",
        "adam",
        "fnn",
        "warmup",
        "every",
        "dropout",
        "head",
        "lazy",
    ],
)
def test_losses_are_those_of_pytorch(
    changes: dict[str, Any], solver: dict[str, Any], provider: str, make_data: Callable[..., Path], make_spec: Make
) -> None:
    spec = make_spec(**changes, solver=solver)
    data, made = make_data(every=spec.loss == "every"), Generated.of(spec)
    initial = made.fresh()
    learner = made.device_learner(initial, provider=provider, threads=1)
    batches = batches_of(spec, data, learner, order="file")
    losses = [learner.step(batches) for _ in range(2 * UPDATES)]
    np.testing.assert_allclose(losses, torch_losses(spec, data, initial, 2 * UPDATES), rtol=1e-5, atol=1e-5)
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


@pytest.mark.parametrize("net", [{}, TIED], ids=["combined", "tied"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "solver",
    [
        {},
        {"clip_gradients": 0.3},
        {"iter_size": 5},
        {"weight_decay": 0.01, "multipliers": {"table": {"decay": 1.0}, "bias": {"lr": 2.0}}},
        {"weight_decay": 0.01, "iter_size": 2, "clip_gradients": 0.3, **SAMPLED},
        {"multipliers": {"table": {"lr": 0.0}}, "weight_decay": 0.01, "clip_gradients": 0.3},
        {"multipliers": {"weight": {"lr": 0.0}, "table": {"lr": 0.5}}, "iter_size": 2, **SAMPLED},
    ],
    ids=["plain", "clip", "iter_size", "decay", "all-at-once", "frozen-tables", "frozen-weights"],
)
def test_weights_and_histories_are_those_of_the_host(
    solver: dict[str, Any],
    rule: str,
    net: dict[str, Any],
    provider: str,
    make_data: Callable[..., Path],
    make_spec: Make,
) -> None:
    """Both go on from a state with histories, so that what is frozen has momentum too."""
    policy = {"lr_policy": "multistep", "stepvalue": [UPDATES + 8, UPDATES + 20]}
    spec = make_spec(**net, solver={**RULES[rule], **policy, **solver})
    data, made = make_data(every=spec.loss == "every"), Generated.of(spec)
    free = Generated.of(make_spec(**net, solver={**RULES[rule], **policy}))  # nothing frozen: histories of all
    first = free.learner(free.fresh(), threads=1)
    batches = batches_of(free.spec, data, first)
    for _ in range(UPDATES):
        first.step(batches)
    first.flush()
    host = made.learner({k: array.copy() for k, array in first.weights.items()}, state=state_of(first), threads=1)
    ours = made.device_learner(first.weights, state=state_of(first), threads=1, provider=provider)
    assert_same(ours, host)
    left, right = (batches_of(spec, data, each, UPDATES) for each in (ours, host))
    for _ in range(UPDATES):
        assert ours.step(left) == pytest.approx(host.step(right), rel=1e-5)
    assert_same(ours, host)
    assert host.weights["output_bias"].any()


def test_what_lazy_momentum_comes_near_to_is_what_a_device_does(
    provider: str, make_data: Callable[..., Path], make_spec: Make
) -> None:
    data = make_data(every=True)
    near, caffe = (
        Generated.of(make_spec(**TIED, solver={**RULES["Adam"], **SAMPLED, **lazy}))
        for lazy in ({"lazy": "momentum"}, {})
    )
    ours = near.device_learner(near.fresh(), provider=provider, threads=1)
    host = caffe.learner(caffe.fresh(), threads=1)
    left, right = batches_of(near.spec, data, ours), batches_of(caffe.spec, data, host)
    for _ in range(UPDATES):
        assert ours.step(left) == pytest.approx(host.step(right), rel=1e-5)
    assert_same(ours, host)


@pytest.mark.parametrize("changes", [{}, {"loss": "every"}, TIED, {"net": "fnn"}], ids=["last", "every", "tied", "fnn"])
@pytest.mark.parametrize("solver", [{}, {"clip_gradients": 1.0, **SAMPLED}], ids=["plain", "clipped-sampled"])
@pytest.mark.parametrize("kind", ["SGD", "lazy Adam"])
def test_nothing_is_left_for_the_cpu(
    kind: str, solver: dict[str, Any], changes: dict[str, Any], tmp_path: Path, make_spec: Make
) -> None:
    """Once the shapes are known, onnxruntime computes no shape and looks for no row: a GPU never waits for either."""
    spec = make_spec(**changes, solver={**RULES[kind], **solver})
    made = Generated.of(spec)
    fixed = optimise_fixed(onnx.load_from_string(made.files["gradient.onnx"]), {"B": spec.solver.batch_size})
    by_rows = {name for name in made.shapes if f"{name}_grad_rows" in made.gradients if spec.solver.lazy}
    updates = [Update(name, shape, UpdateFactors(), name in by_rows) for name, shape in made.shapes.items()]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    model = update_graph(fixed, updates, made.solver)
    onnx.checker.check_model(model, full_check=True)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    used = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert not used & {"Shape", "Size", "NonZero", "Compress", "Range", "ConstantOfShape", "Loop", "If", "Scan"}
    assert {"Gather", "ScatterElements", "Softmax"} <= used


@pytest.mark.parametrize(
    ("solver", "match"),
    [({"base_lr": 1e-3}, "the loss is nan"), ({"base_lr": 1e-3, "clip_gradients": 1.0}, "the loss is nan")],
    ids=["loss", "clipped"],
)
def test_a_loss_that_is_no_number_leaves_weights_and_histories(
    solver: dict[str, Any], match: str, provider: str, data: Path, make_spec: Make
) -> None:
    spec = make_spec(net="fnn", solver=solver)
    made = Generated.of(spec)
    learner = made.device_learner(made.fresh(), provider=provider, threads=1)
    batches = batches_of(spec, data, learner)
    for _ in range(3):
        learner.step(batches)
    learner.flush()
    weights, history = {name: array.copy() for name, array in learner.weights.items()}, learner.history
    bad = next(batches)
    bad.blobs["bought_weight"][0] = np.nan
    with pytest.raises(TrainingError, match=f"iteration 3: {match}.*No weights were written"):
        learner.step(iter([bad]))
    learner.flush()
    assert learner.iteration == 3
    assert all(np.array_equal(array, weights[name]) for name, array in learner.weights.items())
    assert all(np.array_equal(*pair) for pair in zip(learner.history, history, strict=True))
    learner.step(batches)
    learner.flush()
    assert not np.array_equal(learner.weights["output_bias"], weights["output_bias"])


@pytest.mark.parametrize("kind", RULES)
def test_a_run_on_a_device_is_the_run_on_the_host_resumed_or_not(
    kind: str, provider: str, tmp_path: Path, data: Path, make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots, test passes and the export read what is on the device; a run goes on from a snapshot of either."""
    spec = make_spec(solver={**RULES[kind], "max_iter": 30})
    host = train(spec, data, tmp_path / "host", TrainOptions(threads=1))

    def device(made: Generated, weights: Any, **options: Any) -> DeviceLearner:
        options |= {"provider": provider}
        return made.device_learner(weights, **{name: options[name] for name in ("provider", "state", "threads")})

    monkeypatch.setattr(Generated, "learner", device)
    train(spec, data, tmp_path / "device", TrainOptions(threads=1))
    train(spec, data, tmp_path / "parts", TrainOptions(threads=1, until=13))
    result = train(spec, data, tmp_path / "parts", TrainOptions(threads=1, resume=True))
    assert result.iterations == 30
    expected, device_log, parts = (
        MetricsLog.read(tmp_path / run / "metrics.jsonl") for run in ("host", "device", "parts")
    )
    for line, other in zip(expected, device_log, strict=True):
        measured = line.keys() - {"seconds", "samples_per_second"}
        assert {name: other[name] for name in measured} == pytest.approx(
            {name: line[name] for name in measured}, rel=1e-4
        )
    assert parts[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-4)
    ours, theirs = (read_weights(each.model, [*Generated.of(spec).shapes]) for each in (result, host))
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_device_without_memory_is_named_with_what_it_would_take(data: Path, make_spec: Make) -> None:
    spec = make_spec(solver={"type": "Adam"})
    made = Generated.of(spec)
    learner = made.device_learner(made.fresh(), provider="cpu", threads=1)
    batch = next(batches_of(spec, data, learner))
    huge = Batch(batch.blobs | {"page": np.broadcast_to(batch.blobs["page"][:1], (1 << 50, 3))}, {})
    with pytest.raises(
        TrainingError, match=r"memory is too small: weights and solver history take 0\.0 GiB .*--provider"
    ):
        learner.step(iter([huge]))


def test_several_learners_are_refused_a_device(make_spec: Make) -> None:
    made = Generated.of(make_spec())
    with pytest.raises(TrainingError, match="several learners train one net on CPUs: leave provider cuda out"):
        made.learner(made.fresh(), provider="cuda", exchange=Alone())


class Alone:
    """An exchange of one."""

    size, stopping = 1, False

    def shard(self, batch: Batch) -> tuple[Batch, float]:
        return batch, 1.0

    def all_reduce(self, array: Any) -> None: ...

    def broadcast(self, array: Any) -> None: ...
