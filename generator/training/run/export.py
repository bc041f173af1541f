"""A trained net as a version of a Triton model repository: model.onnx with its weights, and its vocabularies."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import DataError
from generator.files import write_bytes, write_text
from generator.jobs.fingerprints import sha256_of
from generator.model.find import version_number
from generator.onnxgraph.initialise import save
from generator.onnxgraph.parse import parse
from generator.spec import spec_hash
from generator.spec.schema import Spec

__all__ = ["VOCABULARIES", "check_vocabularies", "export"]

VOCABULARIES = ("pages.txt", "items.txt")


def check_vocabularies(data: Path, spec: Spec) -> None:
    """Check that the vocabularies of a data folder are there and fit the spec, so that `export` will find them.

    Raises
    ------
    DataError
        If one is absent or has more lines than the spec has ids.
    """
    for name, largest in zip(VOCABULARIES, (spec.pages, spec.items), strict=True):
        path = data / name
        if not path.is_file():
            raise DataError(f"{path}: no such file; `drn sessions ... -o {data}` writes it beside train.h5")
        labels = len(Vocabulary.read(path))
        if labels > largest:
            field = path.stem
            raise DataError(
                f"{path}: holds {labels} ids, but the spec has {field}: {largest}; raise {field} in the spec"
            )


def export(
    folder: Path,
    spec: Spec,
    files: Mapping[str, bytes],
    weights: Mapping[str, NDArray[Any]],
    *,
    iteration: int,
    data: Path,
) -> Path:
    """Write a new version of a model into a model repository; it appears whole or not at all.

    Parameters
    ----------
    folder
        The repository, ``RUN/models``: gets <name>/config.pbtxt and <name>/<version>/{model.onnx, pages.txt,
        items.txt, manifest.json}; the version is the next free number.
    spec, files
        The spec and its generated artefacts.
    weights
        The weights by name, and the tables of a mixture.
    iteration
        Updates made; a version that holds these weights and vocabularies, of this spec at this iteration, is kept
        instead of written again.
    data
        The data folder, for its vocabularies.

    Returns
    -------
    Path
        The model.onnx of the version.
    """
    model = folder / spec.name
    identity = {
        "name": spec.name,
        "spec": spec_hash(spec),
        "iteration": iteration,
        "content": _content(weights, [data / name for name in VOCABULARIES]),
    }
    newest = max((version_number(path.name) or 0 for path in model.glob("[0-9]*")), default=0)
    if newest and _holds(model / str(newest) / "manifest.json", identity):
        return model / str(newest) / "model.onnx"

    beside = model / f".{newest + 1}"
    shutil.rmtree(beside, ignore_errors=True)  # what a kill left half written
    save(parse(files["model.onnxtxt"].decode(), "model.onnxtxt"), _made(beside) / "model.onnx", weights)
    for name in VOCABULARIES:
        write_bytes(beside / name, (data / name).read_bytes())
    hashes = {path.name: sha256_of(path) for path in sorted(beside.iterdir())}
    write_text(beside / "manifest.json", json.dumps({**identity, "sha256": hashes}, indent=2) + "\n")
    write_bytes(model / "config.pbtxt", files["config.pbtxt"])
    beside.rename(model / str(newest + 1))
    return model / str(newest + 1) / "model.onnx"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _holds(manifest: Path, identity: Mapping[str, object]) -> bool:
    if not manifest.is_file():
        return False
    held = json.loads(manifest.read_text(encoding="utf-8"))
    return all(held.get(key) == value for key, value in identity.items())


def _content(weights: Mapping[str, NDArray[Any]], vocabularies: Sequence[Path]) -> str:
    """Return a hash of what was learnt, and of what the ids mean: that of a model trained on other data is another."""
    found = hashlib.sha256()
    for name, weight in weights.items():
        found.update(name.encode() + np.ascontiguousarray(weight).tobytes())
    for path in vocabularies:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
