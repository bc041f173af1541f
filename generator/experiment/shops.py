"""The data of a plan: a data folder for each fold, made once, and its training split cut to a net's windows."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from generator.data.sessions.ragged import KEPT_BOUGHT, Sessions
from generator.data.store.split import Split, read_sessions
from generator.data.windows import rows_of
from generator.errors import DataError
from generator.experiment.plan import ExperimentPlan, SessionSource
from generator.jobs.fingerprints import add_content
from generator.spec import Spec

__all__ = ["Fold", "folds_of"]

FORMAT = 2  # of a folder made from a log
READ = ("train.h5", "test.h5", "pages.txt", "items.txt")


@dataclass(frozen=True)
class Fold:
    """One division of the data: a folder with a training part and a test part.

    Attributes
    ----------
    folder
        What `drn sessions` wrote.
    fingerprint
        Hash (32 hex digits) of what experiments read of it.
    """

    folder: Path
    fingerprint: str
    _rows: dict[tuple[int, str], int] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, folder: Path) -> "Fold":
        """Return the fold in ``folder``.

        Raises
        ------
        DataError
            A file of `drn sessions` is missing.
        """
        digest = hashlib.blake2b(digest_size=16)
        for name in READ:
            if not (folder / name).is_file():
                raise DataError(f"{folder / name}: there is none; experiments read a folder of drn sessions")
            _hash_file(digest, folder / name)
        return cls(folder, digest.hexdigest())

    @cached_property
    def _sessions(self) -> Sessions:
        return read_sessions(self.folder / "train.h5")

    @cached_property
    def test(self) -> dict[str, Any]:
        """The test rows: ``session`` int32 (R,), ``unknown`` uint8 (R,)."""
        with Split(self.folder / "test.h5") as split:
            found = split.load(["rows/session", "rows/unknown"])
        return {"session": found["rows/session"].astype(np.int64), "unknown": found["rows/unknown"]}

    @property
    def items(self) -> int:
        """Items of the vocabulary."""
        return len((self.folder / "items.txt").read_bytes().splitlines())

    @property
    def training_sessions(self) -> int:
        """Sessions of the training part."""
        return len(self._sessions)

    def rows(self, spec: Spec) -> int:
        """Return the training rows that ``spec`` makes of the fold: they depend on its window and its loss."""
        key = (spec.window, spec.loss)
        if key not in self._rows:
            self._rows[key] = len(rows_of(self._sessions, *key))
        return self._rows[key]


def folds_of(
    plan: ExperimentPlan, root: Path, folder: Path, note: Callable[[str], None] = lambda _: None
) -> list[Fold]:
    """Return the folds of the plan's data, made below ``folder`` where they are not there yet.

    Parameters
    ----------
    plan
        The plan; its first variant's section ``data`` and vocabularies are those of the data.
    root
        Where relative paths of the data begin.
    folder
        Where made data are kept, each folder under a hash of what it was made of.
    note
        Told what is being made.

    Raises
    ------
    DataError
        The log does not hold, or a folder is none of `drn sessions`.
    """
    source = plan.data
    if source.folder:
        return [Fold.of(root / source.folder)]
    logs = [root / name for name in source.log]
    tests = [root / name for name in source.test]
    identity = _identity(plan, [*logs, *tests])
    made = []
    for number in range(source.folds or 1):
        target = folder / f"{identity[:16]}-{number}"
        if not target.is_dir():
            note("simulating a shop" if source.simulate else "reading the log")
            _make(plan, logs, tests, target, number)
        made.append(Fold.of(target))
    return made


def _identity(plan: ExperimentPlan, files: list[Path]) -> str:
    """Return a hash of what the data folders depend on."""
    first = next(iter(plan.specs.values()))
    digest = hashlib.sha256()
    options = plan.data.model_dump(exclude={"log", "test"})
    fields = [FORMAT, options, first.data.model_dump(), first.pages, first.items]
    if (kept := _made_for(plan).bought) > KEPT_BOUGHT:
        fields.append(kept)
    digest.update(json.dumps(fields, sort_keys=True).encode())
    for path in files:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file; say by --data in which folder the plan's files are")
        _hash_file(digest, path)
    return digest.hexdigest()


def _made_for(plan: ExperimentPlan) -> Spec:
    """Return the variant the data are made for: the first, or the one that reads the most purchases.

    A folder keeps at least KEPT_BOUGHT purchases before a session, whatever the variant.
    """
    specs: list[Spec] = list(plan.specs.values())
    widest = max(specs, key=lambda spec: spec.bought)
    return widest if widest.bought > KEPT_BOUGHT else specs[0]


def _hash_file(digest: Any, path: Path) -> None:
    digest.update(f"{path.name}:{path.stat().st_size}:".encode())
    add_content(digest, path)


def _make(plan: ExperimentPlan, logs: list[Path], tests: list[Path], target: Path, fold: int) -> None:
    """Make one data folder, whole or not at all."""
    from generator.data.build import build

    source = plan.data
    spec = _made_for(plan)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".make-") as name:
        if source.simulate:
            from generator.shop.simulator import Shop, simulate

            simulate(Path(name), Shop(**source.simulate.model_dump()))
            logs = [Path(name) / "events.parquet"]
        build(logs, Path(name) / "data", spec, _options(source, tests, fold), spec.name)
        (Path(name) / "data").rename(target)


def _options(source: SessionSource, tests: list[Path], fold: int) -> Any:
    from generator.data.build import Options
    from generator.data.sessions.splits import Division

    division = Division(
        files=bool(tests),
        days=source.test_days,
        share=source.test_share,
        users=source.test_users,
        folds=source.folds,
        fold=fold if source.folds else None,
        seed=source.seed,
    )
    return Options(
        form=source.format,
        test=tests,
        columns=source.columns,
        gap=source.gap,
        division=division,
        min_support=source.min_support,
        max_bad=source.max_bad,
        vocabulary=source.vocabulary,
    )
