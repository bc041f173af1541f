"""What a training takes is known before it starts: weights, history, gradients."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from generator.errors import DrnError
from generator.spec.schema import Spec
from generator.training.run import rows
from generator.training.run.generated import Generated
from generator.training.run.train import TrainOptions, train

Make = Callable[..., Spec]


@pytest.mark.parametrize("solver", [{"type": "SGD"}, {"type": "Adam"}, {"type": "SGD", "iter_size": 2}])
def test_it_is_what_a_learner_holds(make_spec: Make, solver: dict[str, object]) -> None:
    made = Generated.of(make_spec(rnn={"window": 2, "widths": [500, 500]}, solver={"base_lr": 0.1, **solver}))
    tracemalloc.start()
    try:
        weights = made.fresh()
        learner = made.learner(weights, threads=1)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(learner.history) in (len(weights), 2 * len(weights))
    assert made.training_memory <= held < 1.2 * made.training_memory


def test_a_training_that_would_not_fit_is_refused_before_it_starts(tmp_path: Path, data: Path, make_spec: Make) -> None:
    """Nine layers of 65,536: each has two square matrices of 16 GiB, but the lowest."""
    spec = make_spec(net="rnn", rnn={"window": 3, "history": 2, "widths": [65536] * 9})
    with pytest.raises(DrnError, match=r"weights, the solver's history and gradients take 1,08\d\.\d GiB of memory"):
        train(spec, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("loss", ["last", "every"])
def test_a_test_pass_in_pieces_says_what_whole_batches_say(
    loss: str, tmp_path: Path, make_data: Callable[..., Path], make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece holds few scores at a time; 32 rows are tested, two batches, in pieces of three rows or less."""
    data, spec = make_data(every=loss == "every"), make_spec(loss=loss, solver={"test_iter": 2})
    found = {}
    for cells in (rows.CELLS, 3 * (spec.items + 1)):
        monkeypatch.setattr(rows, "CELLS", cells)
        train(spec, data, tmp_path / str(cells), TrainOptions(threads=1))
        lines = (tmp_path / str(cells) / "metrics.jsonl").read_text().splitlines()
        found[cells] = [
            {name: value for name, value in json.loads(line).items() if name.startswith("test_")} for line in lines
        ]
    whole, pieces = found.values()
    assert any(whole)
    for one, other in zip(whole, pieces, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
