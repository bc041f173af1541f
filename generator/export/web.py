"""A trained run as a page that needs no server: the model, its vocabularies, onnxruntime-web and the live page."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from generator.caffe.weights_file import check_finite
from generator.data.store.folder import replacing_folder
from generator.errors import ModelError
from generator.export.trained import VOCABULARIES
from generator.files import write_bytes, write_text
from generator.model.model import Model

__all__ = ["RUNTIME", "export_web"]

# onnxruntime for browsers, as npm has it, and the files of it that one thread of WebAssembly needs.
RUNTIME = "onnxruntime-web@1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME_FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
# The inputs that local.js makes of a session.
INPUTS = {"page", "history_page", "history_weight", "bought", "bought_weight", "seen_page", "seen_dwell"}
MARK, METADATA = "about.json", "metadata.json"
SCRIPTS = ("app.js", "style.css", "local.js")
FILES = (MARK, METADATA, "index.html", "model.onnx", *VOCABULARIES, *SCRIPTS, *RUNTIME_FILES)
STATIC = Path(__file__).parent / "static"
PAGE = Path(__file__).parents[1] / "serving" / "http" / "static"
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="'
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:%s"
    '">'
)


def export_web(run: Path, folder: Path, runtime: Path | None = None, items: Path | None = None) -> None:
    """Write a run as a static folder that any web server can give out, all of it or nothing.

    Parameters
    ----------
    run
        A run, or what else `find_model` takes.
    folder
        Gets the page, model.onnx, the vocabularies and the runtime.
    runtime
        A folder with onnxruntime-web's files (its ``dist``); by default npm fetches the one that drn is tested with.
    items
        A file as `ItemMetadata` reads it: what it says of the model's items is shown.

    Raises
    ------
    DataError
        The file of items does not hold.
    ModelError
        There is no model, its numbers are not finite, it reads what the page does not make, or lies in more than one
        file; ``folder`` holds something else; the runtime is not there, or is not the one that npm should give.
    """
    from onnx import load
    from onnx.numpy_helper import to_array

    model = Model(run)
    if foreign := model.sizes.keys() - INPUTS:
        raise ModelError(f"{model.file}: reads {', '.join(sorted(foreign))}, which the page does not make of a session")
    if model.file.with_name(f"{model.file.name}.data").exists():
        raise ModelError(f"{model.file}: its weights are in a file beside it, past 2 GiB, which no browser loads")
    check_finite(model.file, {each.name: to_array(each) for each in load(model.file).graph.initializer})
    version = model.file.parent.name
    about: dict[str, Any] = {
        "name": model.name, "version": int(version) if version.isdecimal() else 1, "sizes": model.sizes,
        "top_k": model.top_k, "items": len(model.items),
        "slots": {"after": model.slots.after, "count": model.slots.count} if model.slots else None,
    }  # fmt: skip
    metadata = _metadata(model, items) if items else None
    with replacing_folder(folder, MARK, FILES) as beside:
        _copy_runtime(beside, runtime)
        shutil.copyfile(model.file, beside / "model.onnx")
        for name in VOCABULARIES:
            shutil.copyfile(model.file.with_name(name), beside / name)
        for name in SCRIPTS:
            shutil.copyfile((STATIC if name == "local.js" else PAGE) / name, beside / name)
        if metadata is not None:
            write_text(beside / METADATA, json.dumps(metadata, ensure_ascii=False) + "\n")
            about["metadata"] = METADATA
        page = (PAGE / "index.html").read_text(encoding="utf-8")
        write_text(beside / "index.html", _page(page, images=metadata is not None))
        write_text(beside / MARK, json.dumps(about, indent=2) + "\n")


def _metadata(model: Model, file: Path) -> dict[str, Any]:
    """Return what a file says of the model's items, by id."""
    from generator.model.metadata import ItemMetadata  # here, for it needs polars

    about = ItemMetadata(file).of
    return {item: metadata for item in model.items.labels if (metadata := about(item))}


def _page(served: str, *, images: bool) -> str:
    """Return the live page for a folder: its files beside it, what was bought in place of a user, no API to read of."""
    scripts = "".join(f'<script src="{name}"></script>\n' for name in (RUNTIME_FILES[0], "local.js"))
    for pattern, replacement in (
        (r'(?<=<meta charset="utf-8">)', f"\n{POLICY % (' https: http:' if images else '')}"),
        (r'  <a href="/docs">API</a>\n', ""),
        (r'<label>User (<input id="user"[^>]*placeholder=)"none"', r'<label>Bought \1"item,item,…"'),
        (r'(?=<script src="/static/app.js">)', scripts),
        (r'"/static/', '"'),
    ):
        served, count = re.subn(pattern, replacement, served)
        if not count:
            raise AssertionError(f"the live page has no {pattern} any more")
    return served


def _copy_runtime(folder: Path, runtime: Path | None) -> None:
    if runtime is None:
        _fetch_runtime(folder)
        return
    found = runtime / "dist" if (runtime / "dist").is_dir() else runtime
    if missing := [name for name in RUNTIME_FILES if not (found / name).is_file()]:
        raise ModelError(f"{runtime}: lacks {', '.join(missing)}; give the dist folder of npm's {RUNTIME}")
    for name in RUNTIME_FILES:
        shutil.copyfile(found / name, folder / name)


def _fetch_runtime(folder: Path) -> None:
    """Have npm fetch the package, and take the files from it that are needed; nothing of it is run."""
    npm = shutil.which("npm")
    advice = f"install npm, or get {RUNTIME} elsewhere and give its dist folder as --runtime"
    if npm is None:
        raise ModelError(f"npm is not here to fetch {RUNTIME}: {advice}")
    with tempfile.TemporaryDirectory(prefix="drn-") as place:
        done = subprocess.run(  # noqa: S603 - npm, found on PATH, with fixed arguments
            [npm, "pack", RUNTIME, "--ignore-scripts", "--silent", "--pack-destination", place],
            capture_output=True, text=True, check=False, cwd=place,
        )  # fmt: skip
        packed = list(Path(place).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            said = done.stderr.strip().splitlines()
            raise ModelError(f"npm could not fetch {RUNTIME} ({said[-1] if said else done.returncode}): {advice}")
        content = packed[0].read_bytes()
        found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        if found != INTEGRITY:
            raise ModelError(f"npm's {RUNTIME} is not the one that drn knows: {found}, not {INTEGRITY}")
        with tarfile.open(packed[0]) as archive:
            for name in RUNTIME_FILES:
                member = archive.extractfile(f"package/dist/{name}")
                if member is None:
                    raise ModelError(f"npm's {RUNTIME} lacks dist/{name}")
                write_bytes(folder / name, member.read())
