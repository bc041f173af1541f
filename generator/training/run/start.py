"""The weights a run starts from, where they are given: all of a net's or some, from a file or from another run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.caffe.caffemodel import read_caffemodel
from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import ModelError, TrainingError
from generator.training.engine.solver import Array
from generator.training.run.export import VOCABULARIES
from generator.training.run.generated import Generated
from generator.training.run.snapshots import whole_snapshots

__all__ = ["Note", "start_from"]

# Called with what a person should know, in words.
Note = Callable[[str], None]


def start_from(given: Path, made: Generated, label: NDArray[np.integer], data: Path, note: Note) -> dict[str, Array]:
    """Return the weights of a net by name: those that ``given`` holds, the rest as `Generated.fresh` starts them.

    Layers are matched by name, as Caffe's `Net::CopyTrainedLayersFrom` does.

    Parameters
    ----------
    given
        A .caffemodel, or the folder of a run, whose newest snapshot is taken.
    made, label
        The net, and the labels of its training rows.
    data
        The data folder of the training, whose ids must be those of the run.
    note
        Called with which parameters are taken, which start anew, and if the run's ids are others.

    Raises
    ------
    ModelError
        The file does not hold, none of its layers is of the net, or one has another shape.
    TrainingError
        The folder holds no snapshot.
    """
    path = _newest(given) if given.is_dir() else given
    taken = read_caffemodel(path, made.net, made.shapes, partial=True)
    if not taken:
        raise ModelError(
            f"{path}: holds no parameter of {made.spec.name}, none of {', '.join(made.shapes)}; take weights "
            "of a net with some of its layers, or leave --weights out"
        )
    anew = [name for name in made.shapes if name not in taken]
    note(f"{path}: taken {', '.join(taken)}" + (f"; starting anew: {', '.join(anew)}" if anew else ""))
    if given.is_dir():
        _compare_ids(given, data, note)
    return made.fresh(label) | taken


def _newest(run: Path) -> Path:
    """Return the .caffemodel of the newest snapshot of a run that is whole."""
    found = whole_snapshots(run)
    if not found:
        raise TrainingError(
            f"{run}: holds no snapshot to start from (snapshots/<name>_iter_<k>.caffemodel and .solverstate); "
            "take the folder of a drn train run, or a .caffemodel"
        )
    return found[max(found)]


def _compare_ids(run: Path, data: Path, note: Note) -> None:
    """Warn if the run was trained on other ids, as far as its data are still there."""
    listed = run / "train.txt"
    if not listed.is_file():
        return
    before = (run / listed.read_text(encoding="utf-8").strip()).resolve().parent
    if not all((before / name).is_file() for name in VOCABULARIES):
        return
    others = [
        name for name in VOCABULARIES if Vocabulary.read(before / name).labels != Vocabulary.read(data / name).labels
    ]
    if others:
        note(
            f"{' and '.join(others)} of {data} and of {before} differ, so the rows of its tables mean other pages or "
            f"items here; make the data with drn sessions --vocabulary {before}"
        )
