"""Which model.onnx a path means."""

from pathlib import Path

from generator.errors import ModelError

__all__ = ["find_model", "find_spec", "version_number"]


def find_model(path: str | Path) -> Path:
    """Return the model.onnx that ``path`` means.

    Parameters
    ----------
    path
        A run, a model repository (RUN/models), a model of one (RUN/models/NAME), a version of one (RUN/models/NAME/1)
        or the ONNX file itself. Of several versions the highest number is taken; see
        `version_number`.

    Raises
    ------
    ModelError
        There is none, or more than one model.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        hint = "" if path.suffix else f"; train a model by: drn train SPEC --data DIR -o {path}"
        raise ModelError(f"{path}: there is no such file or folder{hint}")
    if (path / "model.onnx").is_file():
        return path / "model.onnx"
    if found := _newest(path):
        return found
    models = path / "models" if (path / "models").is_dir() else path
    named = {folder.name: found for folder in sorted(models.iterdir()) if (found := _newest(folder))}
    if not named:
        raise ModelError(
            f"{path}: there is no models/NAME/VERSION/model.onnx in it; "
            "is this the folder given to drn train -o, and has the training come to its end?"
        )
    if len(named) > 1:
        raise ModelError(f"{path}: it holds the models {', '.join(named)}; name one, such as {models / min(named)}")
    return next(iter(named.values()))


def find_spec(model: Path) -> Path:
    """Return the spec.yaml of the run that holds ``model``, a RUN/models/NAME/VERSION/model.onnx.

    Raises
    ------
    ModelError
        It is in none, or the run has lost its spec.
    """
    run = model.resolve().parents[3] if len(model.resolve().parents) > 3 else model.parent
    if not (run / "spec.yaml").is_file():
        raise ModelError(f"{model}: is in no run with a spec.yaml; give the folder of a drn train run")
    return run / "spec.yaml"


def _newest(folder: Path) -> Path | None:
    """Return the model.onnx of the version folder with the highest number."""
    if not folder.is_dir():
        return None
    versions = [inner for inner in folder.iterdir() if version_number(inner.name) and (inner / "model.onnx").is_file()]
    return max(versions, key=lambda inner: int(inner.name)) / "model.onnx" if versions else None


def version_number(name: str) -> int | None:
    """Return the version that a folder of this name holds; None if it is none.

    As in Triton a version is a whole number from 1 on, written without zeros before it: ``007`` is none.
    """
    return int(name) if name.isascii() and name.isdecimal() and not name.startswith("0") else None
