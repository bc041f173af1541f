"""Where the metrics of a run go beside metrics.jsonl: to event files for TensorBoard, to a run of MLflow."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from generator.errors import TrainingError
from generator.files import write_text
from generator.spec.schema import Spec
from generator.training.run.folder import MEMBERS

__all__ = ["MLFLOW", "MlflowRun", "Watchers", "tensorboard"]

Write = Callable[[Mapping[str, float]], None]

MLFLOW = "mlflow.json"  # in a run: the run of MLflow that it is logged to
LONGEST = 500  # characters of a parameter, at most, in every version of MLflow


class Watchers:
    """What each record of metrics is given to; a context, which says at its end how the training ended.

    Attributes
    ----------
    finished
        Whether the training came to its end; to be set where it does.
    """

    def __init__(self, writes: Sequence[Write] = (), mlflow: "MlflowRun | None" = None) -> None:
        self._writes, self._mlflow, self.finished = list(writes), mlflow, False

    def __call__(self, record: Mapping[str, float]) -> None:
        """Give a record to all of them."""
        for write in self._writes:
            write(record)
        if self._mlflow:
            self._mlflow.write(record)

    def __enter__(self) -> "Watchers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._mlflow:
            self._mlflow.close("FAILED" if kind else "FINISHED" if self.finished else "KILLED")


def tensorboard(folder: Path, iteration: int) -> Write:
    """Return what writes records as scalars to event files for TensorBoard in ``folder``; needs tensorboardX.

    Of an earlier part of the run TensorBoard then shows what came up to ``iteration`` alone.
    """
    # Its SummaryWriter writes in a thread that loses the last records unless it is closed: this one writes at once.
    from tensorboardX import summary
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    file = RecordWriter(str(folder / f"events.out.tfevents.{time.time():.0f}.{iteration}.drn"))

    def put(**fields: Any) -> None:
        file.write(Event(wall_time=time.time(), **fields).SerializeToString())

    put(file_version="brain.Event:2")
    if iteration:
        put(step=iteration + 1, session_log=SessionLog(status=SessionLog.START))

    def write(record: Mapping[str, float]) -> None:
        for name, value in record.items():
            if name != "iteration":
                put(step=int(record["iteration"]), summary=summary.scalar(name, value))
        file.flush()

    return write


class MlflowRun:
    """A run of MLflow, in the experiment of the spec's name, that a training logs its metrics to; needs mlflow-skinny.

    The fields of the spec are its parameters. A resumed training goes on with the same run, which the file mlflow.json
    of its folder names, and logs no iteration twice. A server that fails later costs a note, not the training.

    Parameters
    ----------
    where
        A tracking URI of MLflow (``http://HOST:5000``, ``sqlite:///FILE``), or a folder, which gets mlflow.db.
    note
        Called with what a person should know.

    Raises
    ------
    TrainingError
        MLflow cannot be reached; from `begin` too, if it refuses.
    """

    def __init__(self, where: str, note: Callable[[str], None]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # what is trained is nobody else's business
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default seven, for minutes
        from mlflow import MlflowClient

        self._where, self._folder = where.rsplit("@", maxsplit=1)[-1], None if "://" in where else Path(where)
        self._note, self._failed, self._run, self._last = note, False, "", 0  # a URI may hold a password, `_where` none
        with self._reaching():
            self._client = MlflowClient(tracking_uri=_in_folder(self._folder) if self._folder else where)
            self._client.get_experiment_by_name("")

    def begin(self, run: Path, spec: Spec, *, resumed: bool) -> None:
        """Begin a run, or go on with that of an earlier part of the training in the folder ``run``."""
        with self._reaching():
            kept = json.loads((run / MLFLOW).read_text(encoding="utf-8")) if (run / MLFLOW).exists() else {}
            self._run = (self._known(kept.get("run_id")) if resumed else "") or self._new(run, spec)
            history = self._client.get_metric_history(self._run, "loss")
            self._last = max((each.step for each in history), default=0)
        write_text(run / MLFLOW, json.dumps({"run_id": self._run}) + "\n")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Raise TrainingError where MLflow cannot be reached or refuses."""
        try:
            yield
        except Exception as error:  # those of MLflow, of its store and of the network have no common root but this
            raise TrainingError(f"MLflow at {self._where}: {_first(error)}") from error

    def _known(self, name: str | None) -> str:
        """Return the name of an earlier part's run, which goes on; nothing if this MLflow has none of it."""
        from mlflow.exceptions import MlflowException

        try:
            if name:
                self._client.update_run(name, status="RUNNING")
                return name
        except MlflowException:
            pass
        return ""

    def _new(self, run: Path, spec: Spec) -> str:
        """Return the name of a new run, with the fields of the spec as parameters."""
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(spec.name)
        artifacts = (self._folder / spec.name).resolve().as_uri() if self._folder else None
        experiment = found.experiment_id if found else self._client.create_experiment(spec.name, artifacts)
        title, tags = _named(run.resolve())
        name: str = self._client.create_run(experiment, run_name=title, tags=tags).info.run_id
        fields = flattened(spec.model_dump(mode="json"))
        self._client.log_batch(name, params=[Param(key, str(value)[:LONGEST]) for key, value in fields.items()])
        return name

    def write(self, record: Mapping[str, float]) -> None:
        """Log a record, its iteration as the step."""
        from mlflow.entities import Metric

        step, now = int(record["iteration"]), int(time.time() * 1000)
        if step > self._last:
            metrics = [Metric(name, value, now, step) for name, value in record.items() if name != "iteration"]
            self._try(lambda: self._client.log_batch(self._run, metrics=metrics))

    def close(self, status: str) -> None:
        """Say how the training ended, in MLflow's words: FINISHED, KILLED or FAILED."""
        self._try(lambda: self._client.set_terminated(self._run, status))

    def _try(self, call: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:  # of many kinds, and none is worth a training
            self._failed = True
            self._note(f"MLflow at {self._where} fails and is told no more: {_first(error)}")


def _named(run: Path) -> tuple[str, dict[str, str]]:
    """Return the name and the tags of a run: of a net of an ensemble those by which they are found together.

    >>> _named(Path("/runs/shop")), _named(Path("/runs/shop/members/2"))
    (('shop', {}), ('shop/2', {'ensemble': '/runs/shop'}))
    """
    if run.parent.name != MEMBERS:
        return run.name, {}
    return f"{run.parents[1].name}/{run.name}", {"ensemble": str(run.parents[1])}


def _in_folder(folder: Path) -> str:
    """Return the URI of the database in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder.resolve() / 'mlflow.db'}"


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, by dotted keys; what is None is left out.

    >>> flattened({"name": "shop", "rnn": {"window": 4, "history": None}})
    {'name': 'shop', 'rnn.window': 4}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = value
    return found


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
