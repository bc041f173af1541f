"""Reports on folders: what gen-model wrote, and the run of a training."""

import json
import re
from pathlib import Path
from typing import Any

from generator.errors import ModelError
from generator.inspect.detect import KNOWN, inspect_file
from generator.inspect.report import FileReport

__all__ = ["inspect"]


def inspect(path: Path) -> FileReport:
    """Report on a prototxt, caffemodel, solverstate or ONNX file, or on a run or generated folder.

    A folder's layers and parameters are those of its deploy.prototxt, or else of its train_val.prototxt; of its
    snapshots the newest is read.

    Raises
    ------
    ModelError
        The path is not there, is of no kind known, or does not hold: with the file and why. In a folder, files that
        do not hold are listed as its problems instead.
    """
    return _folder(path) if path.is_dir() else inspect_file(path)


def _folder(folder: Path) -> FileReport:
    nets = [folder / name for name in ("deploy.prototxt", "train_val.prototxt") if (folder / name).is_file()]
    if not nets:
        raise ModelError(
            f"{folder}: is neither a run nor a generated folder: it holds no deploy.prototxt and no "
            f"train_val.prototxt; drn inspect explains {KNOWN}"
        )
    found = [_inspected(path) for path in _files(folder)]
    files = [report for report in found if isinstance(report, FileReport)]
    problems = [complaint for complaint in found if isinstance(complaint, str)]
    is_run = (folder / "metrics.jsonl").is_file() or (folder / "snapshots").is_dir()
    net = next((file for wanted in nets for file in files if file.path == str(wanted)), None)
    return FileReport(
        path=str(folder),
        kind="run folder" if is_run else "generated folder",
        facts={"name": net.facts["name"] if net else folder.name} | (_progress(folder, problems) if is_run else {}),
        layers=net.layers if net else (),
        blobs=net.blobs if net else (),
        parameters=net.parameters if net else (),
        flop=net.flop if net else None,
        files=files,
        problems=problems,
    )


def _inspected(path: Path) -> FileReport | str:
    """Return the report on a file, or what is wrong with it."""
    try:
        return inspect_file(path)
    except ModelError as error:
        return str(error)


def _files(folder: Path) -> list[Path]:
    """Return the folder's model files, the newest snapshot and the exported models."""
    own = [path for suffix in ("prototxt", "onnxtxt", "onnx") for path in sorted(folder.glob(f"*.{suffix}"))]
    snapshots = [max(found, key=_iteration) for suffix in ("caffemodel", "solverstate")
                 if (found := [*folder.glob(f"snapshots/*.{suffix}")])]  # fmt: skip
    return [*own, *snapshots, *sorted(folder.glob("models/*/*/model.onnx"))]


def _iteration(path: Path) -> int:
    match = re.search(r"_iter_(\d+)$", path.stem)
    return int(match[1]) if match else -1


def _progress(folder: Path, problems: list[str]) -> dict[str, Any]:
    """Return how far a run has come: its snapshots and the last line of its metrics."""
    facts: dict[str, Any] = {"snapshots": sorted(map(_iteration, folder.glob("snapshots/*.solverstate")))}
    metrics = folder / "metrics.jsonl"
    # A last line without its end is being written, or was when the run was killed.
    *lines, _torn = metrics.read_text(encoding="utf-8", errors="replace").split("\n") if metrics.is_file() else [""]
    if lines:
        try:
            facts["last metrics"] = json.loads(lines[-1])
        except ValueError:
            problems.append(f"{metrics}:{len(lines)}: is no JSON")
    return facts
