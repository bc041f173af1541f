"""Snapshots of a run: Caffe's pair of files, each whole or absent, the state last."""

import io
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from generator.caffe import blobs
from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
from generator.caffe.hdf5 import write_state_hdf5, write_weights_hdf5
from generator.caffe.schema import Message
from generator.caffe.solverstate import TrainingState, read_solverstate, write_solverstate
from generator.errors import ModelError
from generator.files import write_bytes
from generator.training.engine.learner import Learner
from generator.training.engine.solver import Array

__all__ = ["Snapshots", "whole_snapshots"]


def whole_snapshots(run: Path) -> dict[int, Path]:
    """Return the .caffemodel of each complete pair in a run's folder by its iteration, whatever the net's name."""
    return {
        int(match[1]): path.with_suffix(".caffemodel")
        for path in (run / "snapshots").glob("*.solverstate")
        if (match := re.search(r"_iter_(\d+)$", path.stem)) and path.with_suffix(".caffemodel").is_file()
    }


class Snapshots:
    """The snapshots of a run: ``<folder>/<name>_iter_<k>.caffemodel`` and ``.solverstate``.

    Between the iterations at which a run flushes its tables anyhow (multiples of ``snapshot`` and
    ``test_interval``), flushing for the pair would round rows where an unbroken run would not. A third file,
    ``.rows.npz``, then holds the tables as they were, and resuming reads them from there: the same bits as an
    unbroken run. Caffe does not need it.

    Past 2 GiB, which protobuf cannot hold, the pair is of Caffe's HDF5 form, under the same names: drn tells by the
    content, Caffe wants the state's name to end in ``.h5``.

    Parameters
    ----------
    folder
        ``RUN/snapshots``.
    name
        The net's name.
    net
        Its NetParameter, ``train_val.prototxt``.
    also
        ``deploy.prototxt``, which must find its weights in the caffemodel too.
    """

    def __init__(self, folder: Path, name: str, net: Message, also: Message) -> None:
        self._folder, self._name, self._net, self._also = folder, name, net, also

    def path(self, iteration: int, suffix: str) -> Path:
        """Return the path of one file of a snapshot."""
        return self._folder / f"{self._name}_iter_{iteration}{suffix}"

    def newest(self) -> int | None:
        """Return the iteration of the newest complete pair; None if there is none."""
        pattern = re.compile(re.escape(self._name) + r"_iter_(\d+)\.solverstate")
        found = (pattern.fullmatch(path.name) for path in self._folder.glob("*.solverstate"))
        iterations = [int(match[1]) for match in found if match]
        return max((each for each in iterations if self.path(each, ".caffemodel").exists()), default=None)

    def save_rows(self, learner: Learner) -> None:
        """Write the tables as they are, if a row is behind: before anything flushes them for this snapshot."""
        path = self.path(learner.iteration, ".rows.npz")
        rows = {
            f"{name}/{part}": array
            for name, table in learner.tables.items()
            if table.behind(learner.iteration)
            for part, array in table.parts.items()
        }
        path.unlink(missing_ok=True)
        if rows:
            content = io.BytesIO()
            np.savez(content, **rows)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options
            write_bytes(path, content.getvalue())

    def save(self, learner: Learner) -> None:
        """Write the pair, the state last; the tables are flushed.

        Raises
        ------
        TrainingError
            If a weight is not finite: nothing is written.
        """
        learner.flush()
        learner.check_finite()
        model = self.path(learner.iteration, ".caffemodel")
        if _past_limit(learner.weights.values()):
            write_weights_hdf5(model, [self._net, self._also], learner.weights)
        else:
            write_caffemodel(model, self._net, learner.weights, also=[self._also])
        state = self.path(learner.iteration, ".solverstate")
        # Caffe runs in the run folder, so it finds the weights from there.
        learned = f"{self._folder.name}/{model.name}"
        write = write_state_hdf5 if _past_limit(learner.history) else write_solverstate
        write(state, learner.iteration, learned, learner.history, learner.current_step)

    def load(
        self, iteration: int, shapes: Mapping[str, tuple[int, ...]], histories: int
    ) -> tuple[dict[str, Array], TrainingState]:
        """Read a pair: the weights by name, and the state with ``histories`` arrays a parameter.

        Raises
        ------
        ModelError
            If a file does not hold, or is of another net or solver type.
        """
        weights = read_caffemodel(self.path(iteration, ".caffemodel"), self._net, shapes)
        return weights, read_solverstate(self.path(iteration, ".solverstate"), [*shapes.values()] * histories)

    def restore_rows(self, learner: Learner) -> None:
        """Put back what `save_rows` wrote at the learner's iteration, if it wrote and the pair is still of that run.

        Caffe may have gone on from an earlier snapshot, and its pair have taken the place of ours.

        Raises
        ------
        ModelError
            If the file is damaged.
        """
        path = self.path(learner.iteration, ".rows.npz")
        if not path.exists():
            return
        try:
            with np.load(path, allow_pickle=False) as file:
                rows = dict(file)
            for name, table in learner.tables.items():
                if f"{name}/seen" in rows:
                    learner.restore(name, {part: rows[f"{name}/{part}"] for part in table.parts})
        except (BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError, NotImplementedError) as error:
            raise ModelError(
                f"{path}: is damaged ({error}); remove it to go on from the snapshot beside it, without the last "
                "digits of an unbroken run"
            ) from error


def _past_limit(arrays: Iterable[Array]) -> bool:
    """Whether a protobuf message cannot hold them, with some room for all else."""
    return sum(array.nbytes for array in arrays) + 2**20 > blobs.LIMIT
