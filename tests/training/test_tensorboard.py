"""The event files of a run, read back by the published form: length, its checksum, the message, its checksum."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from generator.spec.schema import Spec
from generator.training.run.train import TrainOptions, train

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")

Make = Callable[..., Spec]


def events(folder: Path) -> Iterator[tuple[int, str, float]]:
    """Yield step, tag and value of each scalar of the event files, in their order."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[12 + length + 4 :]
            for value in event.summary.value:
                yield event.step, value.tag, value.simple_value


def test_the_events_are_the_metrics(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, tensorboard=True))
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    wanted = [(line["iteration"], tag, value) for line in lines for tag, value in line.items() if tag != "iteration"]
    found = list(events(tmp_path / "run/tensorboard"))
    assert [each[:2] for each in found] == [each[:2] for each in wanted]
    assert [each[2] for each in found] == pytest.approx([each[2] for each in wanted], rel=1e-6)
    assert {tag for _, tag, _ in found} >= {"loss", "lr", "test_loss", "test_accuracy_top3"}


def test_without_the_option_there_are_none(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    assert not (tmp_path / "run/tensorboard").exists()


def test_a_resumed_run_goes_on_with_them(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, tensorboard=True, until=10))
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, tensorboard=True, resume=True))
    assert [step for step, tag, _ in events(tmp_path / "run/tensorboard") if tag == "loss"] == [10, 15, 20, 30]
