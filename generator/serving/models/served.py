"""One version of a model at work: proven on a probe, answering in batches."""

import json
import logging
from pathlib import Path

import numpy as np

from generator.errors import ModelError
from generator.jobs.fingerprints import sha256_of
from generator.model.model import Model
from generator.model.query import Query
from generator.model.windows import input_blobs

__all__ = ["Served", "Signature", "signature"]

PROBES = 8
Signature = tuple[tuple[str, int, int], ...]
LOG = logging.getLogger("drn.serve")


class Served:
    """A model version loaded from its folder, and tried.

    Parameters
    ----------
    folder
        NAME/VERSION of a model repository.
    int8, index
        See `Model`; the index is built before the version is served.

    Attributes
    ----------
    model
        The model, for single requests.
    version
        Its number in the repository.

    Raises
    ------
    ModelError
        It cannot be loaded, differs from the hashes of its manifest, is written to meanwhile, or answers a probe with
        anything but probabilities.
    """

    def __init__(self, folder: Path, *, int8: bool = False, index: bool = False) -> None:
        before = signature(folder)
        _compare_with_manifest(folder)
        self.model = Model(folder / "model.onnx", int8=int8, index=index, resident=True)
        self.version = int(folder.name)
        _probe(self.model)
        if signature(folder) != before:
            raise ModelError(f"{folder}: it was written to while it was loaded; publish a version by renaming it")
        if built := self.model.index:
            took = {"mib": round(built.bytes / 2**20, 1), "cpu_seconds": round(built.seconds, 1)}
            LOG.info("index", extra={"fields": {"model": self.model.name, "version": self.version, **took}})


def signature(folder: Path) -> Signature:
    """Return names, sizes and times of the files of a version: by which it is seen to have changed."""
    try:
        stats = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    except OSError:  # it is gone, or going
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _probe(model: Model) -> None:
    """Try an empty session, a new user, and drawn sessions; ModelError where the answers are no ranking."""
    random = np.random.default_rng(0)
    queries = [Query([])]
    for length in range(1, PROBES):
        pages = random.integers(0, max(len(model.pages), 1), length * 3)
        items = random.integers(0, max(len(model.items), 1), length)
        queries.append(
            Query(
                [(model.pages.labels[page], float(page % 60)) for page in pages] if len(model.pages) else [],
                [model.items.labels[item] for item in items] if len(model.items) else [],
            )
        )
    blobs = input_blobs([model.window(query) for query in queries], model.sizes)
    probability, item, top = model.infer(("probability", "top_item", "top_probability"), blobs)
    if not np.isfinite(probability).all() or (probability < 0).any():
        raise ModelError(f"{model.file}: a probe is answered with something that is no probability")
    if not np.allclose(probability.sum(axis=1), 1, atol=1e-3):
        raise ModelError(f"{model.file}: the probabilities of a probe add up to {probability.sum(axis=1)[0]:.4f}")
    if item.min() < 1 or item.max() >= model.width or (np.diff(top, axis=1) > 0).any():
        raise ModelError(f"{model.file}: the top items of a probe are no ranking of the items 1..{model.width - 1}")
    model.recommend(queries)


def _compare_with_manifest(folder: Path) -> None:
    """Refuse a version whose files are not those it was written with; one without hashes goes unchecked."""
    file = folder / "manifest.json"
    if not file.is_file():
        return
    try:
        manifest = json.loads(file.read_bytes())
        hashes = {name: str(digest) for name, digest in manifest.get("sha256", {}).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{file}: is no manifest of drn: {error}") from error
    for name in ("model.onnx", "model.onnx.data", "pages.txt", "items.txt"):
        if name in hashes and (folder / name).is_file() and sha256_of(folder / name) != hashes[name]:
            raise ModelError(f"{folder / name}: is not the file its manifest.json names: damaged or half copied")
