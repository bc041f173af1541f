"""Nets trained within a fit: the parts of the sessions that candidates are tried on, and the call of the trainer."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.data.rewindowed import Rewindow, rewindow_folder, window_name
from generator.data.sessions.ragged import Sessions
from generator.data.stages.write import write_split
from generator.data.store.split import read_kept, read_sessions
from generator.errors import DataError, DrnError
from generator.files import write_bytes
from generator.fitting.choose import Candidate, with_iterations
from generator.fitting.options import Listener
from generator.spec.schema import Spec
from generator.training.run.snapshots import whole_snapshots
from generator.training.run.train import FRESH, Result, TrainOptions, train

__all__ = ["StoppedError", "TrialParts", "trained", "trial_folder", "trial_spec"]

# Of the training sessions, the newest, for validation; of no more than SMALL; at most, in all and by the minute.
VALID_SHARE, SMALL_SHARE, SMALL = 0.1, 0.2, 10_000
VALID_SESSIONS, VALID_A_MINUTE = 10_000, 1_000
SAMPLES = 200_000  # rows that a trial sees, all passes together: more sessions are left out, the oldest
VOCABULARIES = ("pages.txt", "items.txt")


class StoppedError(DrnError):
    """A signal ended a training; what was done is kept.

    Attributes
    ----------
    signal
        Its number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(frozen=True)
class TrialParts:
    """Sessions of a trial, indices int64 in the order of the training part: to train on, to validate on."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]

    @classmethod
    def of(cls, sessions: Sessions, most: int, seed: int, minutes: float) -> "TrialParts":
        """Divide the training sessions: the newest validate, the ``most`` before them train.

        Without times they are divided at random.
        """
        order = np.arange(len(sessions))
        if np.isnan(sessions.start).any():
            order = np.random.default_rng(seed).permutation(order)
        share = SMALL_SHARE if len(order) <= SMALL else VALID_SHARE
        valid = max(1, min(round(share * len(order)), VALID_SESSIONS, round(VALID_A_MINUTE * minutes)))
        train = order[: len(order) - valid]
        if not len(train):
            raise DataError("the training part is one session: there is nothing to validate on")
        return cls(np.sort(train[-most:]), np.sort(order[len(order) - valid :]))


def trial_folder(log: Path, folder: Path, spec: Spec, epochs: float, seed: int, minutes: float) -> Path:
    """Make the data folder of the trials of ``spec``, whole or not at all, unless it is there; return it.

    Parameters
    ----------
    log
        The data folder of the log.
    folder
        Where the data of the trials are kept, by window.
    epochs
        Passes over the rows that the trials make.
    seed
        Of a division at random.
    minutes
        That the fit may take.
    """
    source = folder / "sessions"
    if not source.is_dir():
        beside = folder / ".sessions"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        sessions, kept = read_sessions(log / "train.h5"), read_kept(log / "train.h5")
        parts = TrialParts.of(sessions, max(1, round(SAMPLES / epochs)), seed, minutes)
        write_split(beside / "train.h5", sessions.take(parts.train, training=True), spec, kept)
        write_split(beside / "valid.h5", sessions.take(parts.valid), spec, kept)
        for name in VOCABULARIES:
            write_bytes(beside / name, (log / name).read_bytes())
        beside.rename(source)
    target = folder / window_name(spec)
    rewindow_folder(Rewindow(source, target, spec, ("train.h5", "valid.h5")))
    return target


def trial_spec(candidate: Candidate, share: float) -> Spec:
    """Return the spec of a candidate for a trial on ``share`` of the training rows."""
    solver = candidate.spec.solver
    most = max(1, min(round(share * solver.max_iter), SAMPLES // (solver.batch_size * solver.iter_size)))
    shorter = with_iterations(candidate.spec, most)
    return shorter.model_copy(update={"name": candidate.name})


def trained(
    spec: Spec, data: Path, run: Path, listener: Listener, options: TrainOptions = FRESH, *, task: str = ""
) -> Result:
    """Train a net as ``options`` say, from the newest snapshot of the run where it has any.

    Parameters
    ----------
    spec, data, run, options
        As `generator.training.run.train.train` takes them.
    listener
        Hears of the progress of ``task``, by default of a trial of the run's name.

    Raises
    ------
    StoppedError
        A signal ended it.
    """
    begun = bool(whole_snapshots(run))
    result = train(
        spec,
        data,
        run,
        replace(options, resume=True, weights=None) if begun else options,
        progress=lambda iteration, *_: listener.progress(task or f"try {run.name}", iteration, spec.solver.max_iter),
    )
    if result.signal:
        raise StoppedError("stopped; go on with --resume", result.signal)
    return result
