"""The folder of a run: what real Caffe and a reader need in it, and whether a run may begin or go on there."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from generator.codegen.artefacts import write
from generator.data.rewindowed import Rewindow, remove_unfinished, rewindow_folder, window_name
from generator.data.store.parts import parts_of
from generator.errors import TrainingError
from generator.files import holds_more, unfinished, write_text
from generator.jobs.locks import LOCK, locked
from generator.spec import dump_spec, load_spec
from generator.spec.schema import Spec
from generator.training.run.rows import fits
from generator.training.run.snapshots import Snapshots

__all__ = ["MEMBERS", "held_out", "prepare", "refuse_used", "snapshot_to_resume", "taken"]

MEMBERS = "members"  # in the run of an ensemble: the runs of its nets

# The fields of a spec that a resumed run may not change: its snapshots are of that net.
NET_FIELDS = ("name", "net", "pages", "items", "rnn", "fnn", "head", "loss")


def prepare(spec: Spec, files: Mapping[str, bytes], data: Path, run: Path) -> None:
    """Write what real Caffe and a reader need to train in ``run``: the generated texts, the HDF5 lists, spec.yaml.

    The lists name the data relative to ``run``, where Caffe runs. Without a held-out split test.txt names train.h5: the
    solver asks for a test net, and Caffe starts no other. The binary graphs stay out: with their parameters
    as inputs they serve nothing but training. Data cut for other windows are written anew to ``run``/data.
    """
    names = ("train.h5", *(path.name for path in [held_out(data)] if path))
    anew = not all(fits(data / name, spec) for name in names)
    read = run / "data" / window_name(spec) if anew else data
    if anew:
        remove_unfinished(run / "data")
        rewindow_folder(Rewindow(data, read, spec, names))
    write_text(run / "train.txt", _listed(read / names[0], run))
    write_text(run / "test.txt", _listed(read / names[-1], run))
    write({name: content for name, content in files.items() if not name.endswith(".onnx")}, run)
    write_text(run / "spec.yaml", dump_spec(spec))


def held_out(data: Path) -> Path | None:
    """Return the split the test passes read: valid.h5, else test.h5, else None."""
    return next((data / name for name in ("valid.h5", "test.h5") if (data / name).exists()), None)


def refuse_used(run: Path, snapshots: Snapshots) -> None:
    """Refuse a folder that holds a run, or anything else; one that was prepared and came no further is fine.

    Raises
    ------
    TrainingError
        If it does.
    """
    if (newest := snapshots.newest()) is not None:
        raise TrainingError(
            f"{run}: holds a run already, at iteration {newest}; go on with --resume, or take another folder"
        )
    _refuse_rest(run)


def _refuse_rest(run: Path) -> None:
    """Refuse a folder without snapshots in which no training can begin."""
    if left := [name for name in ("metrics.jsonl", "models") if (run / name).exists()]:
        raise TrainingError(f"{run}: holds {' and '.join(left)} of a run whose snapshots are gone; take a new folder")
    if holds_more(run, LOCK) and not (run / "train.txt").exists():
        raise TrainingError(f"{run}: is not empty and holds no run; take a new folder")


@contextmanager
def taken(run: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Have the folder of a run to oneself, without the temporary files of a run that was killed.

    Raises
    ------
    DrnError
        If another process is at work in it for ``wait`` seconds.
    TrainingError
        If it is a file.
    """
    if run.exists() and not run.is_dir():
        raise TrainingError(f"{run}: is a file; a run wants a folder")
    with locked(run, wait=wait):
        for folder in (run, run / "snapshots", *(run / "models").glob("*")):
            for path in unfinished(folder):
                path.unlink()
        yield


def snapshot_to_resume(spec: Spec, run: Path, snapshots: Snapshots, state: Path | None) -> int:
    """Return the iteration of the snapshot to resume from: that of ``state``, a .solverstate, else the newest.

    Raises
    ------
    TrainingError
        If there is none, or it is of another run or another net.
    """
    iteration = snapshots.newest() if state is None else _iteration_of(state, snapshots)
    if iteration is None:
        _refuse_rest(run)
        raise TrainingError(f"{run}: no snapshot to resume; train without --resume")
    if not (run / "spec.yaml").is_file():
        raise TrainingError(f"{run}: holds snapshots but no spec.yaml; take the folder of a drn train run")
    before = load_spec(run / "spec.yaml")
    changed = [field for field in NET_FIELDS if getattr(before, field) != getattr(spec, field)]
    if changed:
        raise TrainingError(
            f"{run}: was begun with another net: {', '.join(changed)} differ from its spec.yaml; resume with the same "
            "net (the solver may change), or train in a new folder"
        )
    return iteration


def _listed(path: Path, run: Path) -> str:
    """Return the list of the files of a split, relative to the run, a line each."""
    listed = (Path(os.path.relpath(part.resolve(), run.resolve())).as_posix() for part in parts_of(path))
    return "".join(f"{name}\n" for name in listed)


def _iteration_of(state: Path, snapshots: Snapshots) -> int:
    match = re.search(r"_iter_(\d+)\.solverstate$", state.name)
    if not match or state.resolve() != snapshots.path(int(match[1]), ".solverstate").resolve() or not state.is_file():
        raise TrainingError(
            f"{state}: is no snapshot of this run; its snapshots are {snapshots.path(0, '.solverstate').parent}/"
            "<name>_iter_<k>.solverstate"
        )
    return int(match[1])
