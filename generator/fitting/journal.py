"""The journal of a fit: what each stage came to, so that a fit that was killed goes on where it was."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generator.errors import DataError
from generator.files import holds_more, write_text
from generator.fitting.budget import TimeBudget

__all__ = ["FILE", "LOCK", "FitJournal", "refuse_used"]

FILE = "fit.json"
LOCK = ".fit.lock"  # of the whole fit, beside the lock of its run


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds a fit, or anything else than the spec of a dry run; with DataError."""
    if (folder / FILE).exists():
        raise DataError(f"{folder}: holds a fit already; go on with --resume, or take another folder")
    if holds_more(folder, "spec.yaml", LOCK):
        raise DataError(f"{folder}: is not empty and holds no fit; take a new folder")


class FitJournal:
    """The stages of a fit that are done, in a file that is replaced whole after each.

    Parameters
    ----------
    folder
        Of the fit.
    identity
        What was asked for, and of which log: a fit goes on only with the same.
    budget
        Is told what each stage took; of a stage that is read, what it took when it was done.
    resume
        Whether the folder may hold a fit.

    Raises
    ------
    DataError
        The folder holds a fit, or anything else, and ``resume`` is not asked for; or it holds none, or one of
        something else, and it is.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], budget: TimeBudget, *, resume: bool) -> None:
        self._path, self.budget = folder / FILE, budget
        held = self._read()
        if not resume:
            refuse_used(folder)
        elif held is None:
            raise DataError(f"{folder}: holds no fit to go on with; begin one without --resume")
        elif changed := [key for key, value in identity.items() if held["asked"].get(key) != value]:
            raise DataError(
                f"{folder}: was begun with another {', '.join(changed)}; give what it was begun with, or take another "
                "folder"
            )
        self._done: dict[str, Any] = held or {"asked": identity, "stages": {}}
        self._save()

    def stage(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what the stage ``name`` came to: as it is written, or by ``work``, and then it is written.

        Its seconds are among it, as ``took``.
        """
        stages = self._done["stages"]
        if name not in stages:
            started = time.monotonic()
            # As JSON has it, so that what goes on is the same whether it is read or not.
            stages[name] = json.loads(json.dumps({**work(), "took": time.monotonic() - started}))
            self._save()
        found: dict[str, Any] = stages[name]
        self.budget.spend(found["took"])
        return found

    def read(self, name: str) -> dict[str, Any]:
        """Return what a stage that is done came to; KeyError where it is not."""
        found: dict[str, Any] = self._done["stages"][name]
        return found

    def remove(self) -> None:
        """Forget the fit, as if it had never been begun."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        try:
            held: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            written = held.pop("sha256")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self._path}: is no journal of a fit ({error}); take another folder") from error
        if written != _hash(held):
            raise DataError(f"{self._path}: is not as drn fit wrote it: damaged, or changed; take another folder")
        return held

    def _save(self) -> None:
        held = {**self._done, "sha256": _hash(self._done)}
        write_text(self._path, json.dumps(held, indent=1, ensure_ascii=False) + "\n")


def _hash(held: dict[str, Any]) -> str:
    """Return the hash of a journal: a figure that was changed, by a fault of the disk or a hand, is none of the fit."""
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()
