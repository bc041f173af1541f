"""Training by two replicas on Ray: one learner's losses, the same files, whatever becomes of a replica."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from generator.caffe.caffemodel import read_caffemodel
from generator.caffe.prototxt import learnable, read_net
from generator.errors import TrainingError
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.scale.gloo import Gloo, rendezvous
from generator.scale.replica import follow
from generator.scale.training import train_on_ray
from generator.spec import load_spec
from generator.training.engine.batches import shard_of
from generator.training.run.metrics import MetricsLog
from generator.training.run.train import TrainOptions, train

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'drn-recommender[scale]'")
pytestmark = pytest.mark.oracle

MANY = {  # what the sums meet: dropout, Adam (all tables dense), two batches an update, a label at every state
    "plain": [],
    "every": ["loss=every", "data.target=next", "net=rnn"],
    "adam": ["solver.type=Adam", "solver.base_lr=0.01", "head.dropout=0.2"],
    "iter_size": ["solver.iter_size=2", "solver.max_iter=20"],
    "sampled": ["solver.sampled.negatives=20", "solver.momentum=0.5"],
}


def losses(run):
    return [record["loss"] for record in MetricsLog.read(run / "metrics.jsonl")]


def weights(run, spec, iteration):
    net = read_net(run / "train_val.prototxt")
    shapes = parameter_shapes(parse((run / "gradient.onnxtxt").read_text(), "gradient.onnxtxt"))
    path = run / "snapshots" / f"{spec.name}_iter_{iteration}.caffemodel"
    return read_caffemodel(path, net, {each.name: shapes[each.name] for each in learnable(net)})


def files(run):
    return {path.relative_to(run) for path in run.rglob("*") if path.is_file()}


def test_two_replicas_train_as_one_learner(cluster, data, spec, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    train(spec, data, one)
    result = train_on_ray(spec, data, two, workers=2)
    assert (result.iterations, result.signal) == (40, 0)
    np.testing.assert_allclose(losses(two), losses(one), atol=1e-4)
    assert losses(one)[-1] < losses(one)[0] - 0.1, "nothing was learned, so nothing was compared"
    mine, theirs = weights(two, spec, 40), weights(one, spec, 40)
    for name, weight in theirs.items():
        np.testing.assert_allclose(mine[name], weight, atol=1e-4, err_msg=name)
    assert files(two) == files(one)


def test_a_lost_replica_costs_the_updates_since_the_newest_snapshot(cluster, data, spec, tmp_path):
    whole, lost = tmp_path / "whole", tmp_path / "lost"
    spec = spec.model_copy(update={"solver": spec.solver.model_copy(update={"max_iter": 400, "snapshot": 50})})
    train_on_ray(spec, data, whole, workers=2)
    killed, notes = [], []

    def kill_one(iteration, _loss, _speed):
        if 50 < iteration < 400 and not killed:
            killed.append(other_replica())
            os.kill(killed[0], signal.SIGKILL)

    result = train_on_ray(spec, data, lost, workers=2, progress=kill_one, note=notes.append)
    assert killed
    (told,) = [note for note in notes if "a worker was lost" in note]
    assert "all go on from the snapshot of iteration" in told
    assert result.iterations == 400
    assert losses(lost) == losses(whole)
    for name, weight in weights(whole, spec, 400).items():
        np.testing.assert_array_equal(weights(lost, spec, 400)[name], weight, err_msg=name)


def other_replica() -> int:
    """Return the process of a replica: Ray names it so, and its raylet is a child of the tests'."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            mine = parent(parent(folder.name)) == os.getpid()
            if mine and (folder / "cmdline").read_bytes().startswith(b"ray::Replica"):
                return int(folder.name)
    raise AssertionError("no replica is running")


def parent(pid) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@ray.remote(num_cpus=1)
class Rank:
    """A replica that hands out its weights at the end."""

    def host(self):
        address = ray.util.get_node_ip_address()
        self.store = rendezvous(address, 0, first=True)
        return address, self.store.port

    def lead(self, spec, data, run):
        train(spec, data, run, TrainOptions(threads=1), exchange=Gloo(0, 2, self.store))

    def follow(self, address, spec, data):
        learner = follow(spec, data, Gloo(1, 2, rendezvous(*address, first=False)), TrainOptions(threads=1))
        learner.flush()
        return learner.weights


@pytest.mark.parametrize("kind", MANY)
def test_replicas_hold_the_same_bits(cluster, kind, spec_file, data, shop, tmp_path):
    spec = load_spec(spec_file, MANY[kind])
    if kind == "every":
        from generator.data.build import Options, build

        data = tmp_path / "next"
        build([shop], data, spec, Options())
    lead, other = Rank.remote(), Rank.remote()
    address = ray.get(lead.host.remote())
    leading = lead.lead.remote(spec, data, tmp_path / "run")
    followed = ray.get(other.follow.remote(address, spec, data))
    ray.get(leading)
    led = weights(tmp_path / "run", spec, spec.solver.max_iter)
    assert followed.keys() == led.keys()
    for name, weight in led.items():
        np.testing.assert_array_equal(followed[name], weight, err_msg=name)
    train(spec, data, tmp_path / "alone", TrainOptions(threads=1))
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(tmp_path / "alone"), atol=1e-4)
    ray.kill(lead)
    ray.kill(other)


def test_the_command_stops_at_a_signal_and_resumes(cluster, data, spec_file, tmp_path):
    command = [sys.executable, "-m", "generator", "train", spec_file, "--data", data, "-o", "run"]
    command += ["--engine", "ray", "--workers", "2", "--set", "solver.display=1"]
    environment = os.environ | {"RAY_ADDRESS": cluster, "PYTHONPATH": str(Path(__file__).parents[2])}
    first = subprocess.Popen(
        [*map(str, command), "--set", "solver.max_iter=100000"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    while first.poll() is None and not (metrics.exists() and metrics.read_bytes().count(b"\n") > 3):
        threading.Event().wait(0.05)
    first.send_signal(signal.SIGINT)
    _, complaint = first.communicate()
    assert first.returncode == 128 + signal.SIGINT, complaint.decode()
    at = MetricsLog.read(metrics)[-1]["iteration"]
    assert (tmp_path / "run" / "snapshots" / f"tiny_iter_{at}.solverstate").exists()
    end = at + 5
    done = subprocess.run(
        [*map(str, command), "--resume", "--set", f"solver.max_iter={end}", "--format", "json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["iterations"] == end
    assert Path(found["model"]).is_file()


def test_what_cannot_be_divided_is_refused(cluster, data, spec, tmp_path):
    with pytest.raises(TrainingError, match="ensemble: 2, but workers"):
        train_on_ray(spec.model_copy(update={"ensemble": 2}), data, tmp_path / "run", workers=2)
    with pytest.raises(TrainingError, match=r"solver.batch_size is 32, which 3 workers cannot divide evenly"):
        train_on_ray(spec, data, tmp_path / "run", workers=3)
    with pytest.raises(TrainingError, match=r"4 workers of 1 cores want 4; the cluster has 2"):
        train_on_ray(spec, data, tmp_path / "run", workers=4)
    with pytest.raises(TrainingError, match="no snapshot to resume"):  # said by the first replica
        train_on_ray(spec, data, tmp_path / "run", TrainOptions(resume=True), workers=2)
    assert not (tmp_path / "run").exists()


def test_a_dropout_mask_is_divided_by_sessions():
    mask = np.arange(12.0, dtype=np.float32).reshape(6, 2)  # three states of two sessions
    blobs = {"label": np.array([1, 1]), "mask": mask}
    np.testing.assert_array_equal(shard_of(blobs, 1, 2)["mask"], mask[3:])
