"""`drn train` on Ray: replicas that make every update together, begun again when one is lost."""

from pathlib import Path
from typing import Any

from generator.errors import DrnError, TrainingError
from generator.scale.cluster import cores, first_line, remote
from generator.scale.gloo import Lost
from generator.scale.replica import Replica
from generator.spec.schema import Spec
from generator.train.batches import Order
from generator.train.iterations import Progress, stop_signals
from generator.train.loop import Result
from generator.train.snapshots import whole_snapshots
from generator.train.start import Note

__all__ = ["train_on_ray"]

TICK = 0.2  # seconds between two looks at how far the replicas are


def train_on_ray(
    spec: Spec,
    data: Path,
    run: Path,
    *,
    workers: int,
    threads: int = 0,
    resume: bool | Path = False,
    weights: Path | None = None,
    order: Order = "shuffle",
    until: int | None = None,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Result:
    """Train as `generator.train.loop.train` does, each batch divided among replicas; be connected to Ray.

    Every replica computes the gradients of its rows of a batch; they are summed, and all make the same update. The
    losses are those of one learner but for the order of sums; the files are the same. When a replica is lost, all are
    begun again from the newest snapshot, unless no snapshot was written since the last time.

    Parameters
    ----------
    data, run
        Folders that every node sees at the same path; only the first replica writes.
    workers
        Replicas; the batch size is a multiple.
    threads
        Cores, and intra-op threads of onnxruntime, of a replica; 0: one.
    spec, resume, weights, order, until, progress, note
        As `generator.train.loop.train` takes them.

    Raises
    ------
    TrainingError
        The batch cannot be divided, the cluster has too few cores, or replicas are lost again and again.
    DrnError
        As `generator.train.loop.train` raises them.
    """
    if spec.solver.batch_size % workers:
        raise TrainingError(
            f"solver.batch_size is {spec.solver.batch_size}, which {workers} workers cannot divide evenly: "
            f"take a multiple of {workers}"
        )
    threads = threads or 1
    if workers * threads > cores():
        raise TrainingError(f"{workers} workers of {threads} cores want {workers * threads}; the cluster has {cores()}")
    options = {"threads": threads, "order": order, "until": until, "resume": resume, "weights": weights}
    note = note or (lambda _: None)
    begun_at: int | None = None
    while True:
        ended = _together(spec, data.absolute(), run.absolute(), workers, options, progress, note)
        if isinstance(ended, Result):
            return ended
        newest = max(whole_snapshots(run), default=None)
        if newest is None or newest == begun_at:
            again = "" if newest is None else " again, and no snapshot was written since"
            raise TrainingError(f"a worker was lost{again}: {ended}") from ended
        note(f"a worker was lost ({ended}); all go on from the snapshot of iteration {newest}")
        begun_at = newest
        options |= {"resume": True, "weights": None}


def _together(
    spec: Spec,
    data: Path,
    run: Path,
    workers: int,
    options: dict[str, Any],
    progress: Progress | None,
    note: Note,
) -> Result | Lost:
    """Train once, with replicas begun for it."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    threads = options["threads"]
    environment = {"env_vars": dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))}
    actor = remote(Replica, num_cpus=threads, max_concurrency=2, runtime_env=environment)
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
        if isinstance(error.cause, Lost):
            return error.cause
        raise
    except RayError as error:
        return Lost(first_line(error))
    finally:
        for replica in team:
            ray.kill(replica)
