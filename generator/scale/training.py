"""`drn train` on Ray: replicas that make every update together, begun again when one is lost."""

from dataclasses import replace
from pathlib import Path

from generator.errors import DrnError, TrainingError
from generator.scale.cluster import cores, first_line, remote
from generator.scale.gloo import ReplicaLostError
from generator.scale.replica import Replica
from generator.spec.schema import Spec
from generator.training.run.loop import Progress, stop_signals
from generator.training.run.snapshots import whole_snapshots
from generator.training.run.start import Note
from generator.training.run.train import FRESH, Result, TrainOptions

__all__ = ["train_on_ray"]

TICK = 0.2  # seconds between two looks at how far the replicas are


def train_on_ray(
    spec: Spec,
    data: str | Path,
    run: str | Path,
    options: TrainOptions = FRESH,
    *,
    workers: int,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Result:
    """Train as `generator.training.run.train.train` does, each batch divided among replicas; be connected to Ray.

    Every replica computes the gradients of its rows of a batch; they are summed, and all make the same update. The
    losses are those of one learner but for the order of sums; the files are the same. When a replica is lost, all are
    begun again from the newest snapshot, unless no snapshot was written since the last time.

    Parameters
    ----------
    data, run
        Folders that every node sees at the same path; only the first replica writes.
    workers
        Replicas; the batch size is a multiple.
    options
        As `TrainOptions`, but ``threads`` are the cores of a replica; 0: one.
    spec, progress, note
        As `generator.training.run.train.train` takes them.

    Raises
    ------
    TrainingError
        The batch cannot be divided, the cluster has too few cores, or replicas are lost again and again.
    DrnError
        As `generator.training.run.train.train` raises them.
    """
    if spec.ensemble > 1:
        raise TrainingError(
            f"{spec.name}: ensemble: {spec.ensemble}, but workers on Ray train one net: train it by the local engine, "
            "or set ensemble: 1"
        )
    if spec.solver.batch_size % workers:
        raise TrainingError(
            f"solver.batch_size is {spec.solver.batch_size}, which {workers} workers cannot divide evenly: "
            f"take a multiple of {workers}"
        )
    data, run, note = Path(data).absolute(), Path(run).absolute(), note or (lambda _: None)
    threads = options.threads or 1
    if workers * threads > cores():
        raise TrainingError(f"{workers} workers of {threads} cores want {workers * threads}; the cluster has {cores()}")
    options = replace(options, threads=threads)
    begun_at: int | None = None
    while True:
        ended = _train_once(spec, data, run, workers, options, progress, note)
        if isinstance(ended, Result):
            return ended
        newest = max(whole_snapshots(run), default=None)
        if newest is None or newest == begun_at:
            again = "" if newest is None else " again, and no snapshot was written since"
            raise TrainingError(f"a worker was lost{again}: {ended}") from ended
        note(f"a worker was lost ({ended}); all go on from the snapshot of iteration {newest}")
        begun_at = newest
        options = replace(options, resume=True, weights=None)


def _train_once(
    spec: Spec,
    data: Path,
    run: Path,
    workers: int,
    options: TrainOptions,
    progress: Progress | None,
    note: Note,
) -> Result | ReplicaLostError:
    """Train once, with replicas begun for it."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    environment = {"env_vars": dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))}
    actor = remote(Replica, num_cpus=options.threads, max_concurrency=2, runtime_env=environment)
    team = [actor.remote(rank, workers) for rank in range(workers)]
    try:
        address = ray.get(team[0].host.remote())
        running = [replica.train.remote(address, spec, data, run, options) for replica in team]
        with stop_signals() as stop:
            while True:
                done, running_still = ray.wait(running, num_returns=1, timeout=TICK)
                ended = ray.get(done)
                at, notes = ray.get(team[0].news.remote())
                for text in notes:
                    note(text)
                if at and progress:
                    progress(*at)
                if any(isinstance(end, DrnError) for end in ended):
                    raise next(end for end in ended if isinstance(end, DrnError))
                if any(isinstance(end, Result) for end in ended):
                    return next(end for end in ended if isinstance(end, Result))
                running = running_still
                if stop:
                    ray.get(team[0].stop.remote())
    except RayTaskError as error:
        if isinstance(error.cause, ReplicaLostError):
            return error.cause
        raise
    except RayError as error:
        return ReplicaLostError(first_line(error))
    finally:
        for replica in team:
            ray.kill(replica)
