"""A model repository watched: new versions are loaded, tried and swapped in, broken ones refused."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from generator.errors import DrnError, ModelError
from generator.model.find import find_model, version_number
from generator.serving.models.choice import VersionChoice
from generator.serving.models.served import Served, Signature, signature

__all__ = ["Repository"]

VersionTried = Callable[[str, int, str], None]  # model, version, and "" or why it was refused


@dataclass
class _Versions:
    """The versions of one model: those loaded, those refused with what their files were like, and the one served."""

    loaded: dict[int, Served] = field(default_factory=dict)
    refused: dict[int, tuple[Signature, str]] = field(default_factory=dict)
    current: int | None = None


class Repository:
    """The models under a folder, the newest version of each loaded.

    Parameters
    ----------
    path
        A run, a model repository, a model or a version of one.
    model
        The model whose recommendations are served; it may be left out where there is only one.
    choice
        Which of its versions.
    report
        Called for each version that was tried.
    int8, index
        Whether output layers multiply in 8 bits; whether an index finds the best items: see `Model`.

    Raises
    ------
    ModelError
        There is no model, or none of its versions holds, or ``model`` does not say which.
    """

    def __init__(
        self,
        path: Path,
        model: str | None = None,
        choice: VersionChoice | None = None,
        report: VersionTried | None = None,
        *,
        int8: bool = False,
        index: bool = False,
    ) -> None:
        self._int8, self._index = int8, index
        self._choice, self._report = choice or VersionChoice(), report or (lambda _name, _version, _why: None)
        self._folders, only = _models(path, model)
        if only is not None:
            self._choice = VersionChoice(only, self._choice.rival, self._choice.share)
        self._models: dict[str, _Versions] = {name: _Versions() for name in self._folders}
        self._lock = threading.Lock()
        self.name = model or next(iter(self._folders))
        self.scan()
        self._require_versions()

    def _require_versions(self) -> None:
        """Raise ModelError where a version asked for, or every version, does not hold."""
        versions = self._models[self.name]
        wanted = [version for version in (self._choice.pin, self._choice.rival) if version is not None]
        for version in wanted or [max(versions.refused, default=0)]:
            if version not in versions.loaded and (wanted or not versions.loaded):
                _, why = versions.refused.get(version, ((), "there is no such version"))
                raise ModelError(f"model {self.name}, version {version}: {why}")

    def scan(self) -> None:
        """Look at the version folders; load, try and swap in what is new. A call that meets another does nothing.

        Raises
        ------
        OSError
            A folder of a model cannot be read; its versions stay as they were, those of the others are looked at.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            with ExitStack() as scans:  # runs all of them, and raises at its end
                for name, folder in self._folders.items():
                    scans.callback(self._scan, name, folder)
        finally:
            self._lock.release()

    def _scan(self, name: str, folder: Path) -> None:
        versions, served = self._models[name], name == self.name
        present = _version_numbers(folder)
        versions.refused = {version: why for version, why in versions.refused.items() if version in present}
        fixed = [self._choice.pin, self._choice.rival] if served else []
        for version in fixed:
            if version is not None:
                self._load(name, versions, folder, version)
        current = self._choice.pin if served else None
        if current is None:
            holding = (one for one in sorted(present, reverse=True) if self._load(name, versions, folder, one))
            current = next(holding, versions.current)
        keep = {current, *fixed}
        kept = {version: model for version, model in versions.loaded.items() if version in keep}
        # Swapped whole, so that no request meets a current version that is loaded no more. Those under way hold on to
        # the version they began with; it goes when they end.
        self._models[name] = _Versions(kept, versions.refused, current)

    def _load(self, name: str, versions: _Versions, folder: Path, version: int) -> bool:
        """Return whether ``version`` is loaded, and try to load it unless it was refused as it is."""
        if version in versions.loaded:
            return True
        path = folder / str(version)
        found = signature(path)
        if version in versions.refused and versions.refused[version][0] == found:
            return False
        try:
            model = Served(path, int8=self._int8, index=self._index)
        except (DrnError, OSError, MemoryError) as error:
            versions.refused[version] = (found, str(error))
            self._report(name, version, str(error))
            return False
        versions.loaded = {**versions.loaded, version: model}
        versions.refused.pop(version, None)
        self._report(name, version, "")
        return True

    def of_session(self, session: str) -> Served:
        """Return the version that serves ``session``: always the same while the versions stay."""
        versions = self._models[self.name]
        if self._choice.rival is not None and self._choice.rival in versions.loaded:
            digest = hashlib.blake2b(session.encode(), digest_size=8).digest()
            if int.from_bytes(digest, "big") < self._choice.share * 2**64:
                return versions.loaded[self._choice.rival]
        return self.find(self.name)

    def find(self, name: str, version: int | None = None) -> Served:
        """Return a loaded version of a model, the one served by default; ModelError where there is none."""
        versions = self._models.get(name)
        if versions is None:
            raise ModelError(f"there is no model {name!r}")
        loaded = versions.loaded
        wanted = versions.current if version is None else version
        if wanted not in loaded:
            raise ModelError(f"version {wanted} of model {name!r} is not loaded")
        return loaded[wanted]

    def sizes(self) -> list[Mapping[str, int]]:
        """Return the columns of the input blobs of each loaded version of the model that serves sessions."""
        return [served.model.sizes for served in self._models[self.name].loaded.values()]

    def index(self) -> list[Mapping[str, str | int]]:
        """Return a line for each version: name, version, state READY or UNAVAILABLE, and the reason."""
        return [
            line
            for name, versions in self._models.items()
            for line in (
                *(
                    {"name": name, "version": str(one), "state": "READY", "reason": ""}
                    for one in sorted(versions.loaded)
                ),
                *(
                    {"name": name, "version": str(one), "state": "UNAVAILABLE", "reason": why}
                    for one, (_, why) in sorted(versions.refused.items())
                ),
            )
        ]

    def arms(self) -> dict[str, tuple[int, float]]:
        """Return version and share of the sessions by arm: ``served``, and ``rival`` if there is one."""
        current, rival = self.find(self.name).version, self._choice.rival
        if rival is None:
            return {"served": (current, 1.0)}
        return {"served": (current, 1 - self._choice.share), "rival": (rival, self._choice.share)}


def _models(path: Path, model: str | None) -> tuple[dict[str, Path], int | None]:
    """Return the folder of each model by name, and the version if ``path`` means one."""
    if path.is_dir() and not _version_numbers(path) and not (path / "model.onnx").is_file():
        root = path / "models" if (path / "models").is_dir() else path
        found = {
            folder.name: folder for folder in sorted(root.iterdir()) if folder.is_dir() and _version_numbers(folder)
        }
        if model is not None and model not in found:
            raise ModelError(f"{path}: there is no model {model}; it holds: {', '.join(found) or 'none'}")
        if len(found) > 1 and model is None:
            raise ModelError(f"{path}: it holds the models {', '.join(found)}; say which to serve by --model")
        if found:
            return found, None
    if path.is_dir() and _version_numbers(path):
        return {path.resolve().name: path}, None
    file = find_model(path)  # its messages say what is missing
    version = file.resolve().parent
    if version_number(version.name) is None or file.name != "model.onnx":
        raise ModelError(f"{file}: is in no model repository: NAME/VERSION/model.onnx, as drn train writes it")
    return {version.parent.name: version.parent}, int(version.name)


def _version_numbers(folder: Path) -> list[int]:
    """Return the versions that have a folder with anything in it."""
    return [
        number
        for inner in folder.iterdir()
        if (number := version_number(inner.name)) and inner.is_dir() and any(inner.iterdir())
    ]
