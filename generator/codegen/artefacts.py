"""All artefacts of one spec, and their folder: write, check for drift, manifest."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from generator.codegen.groups import ALL_GROUPS, GROUPS
from generator.codegen.net import net_of
from generator.codegen.render import header, render, render_net, render_template
from generator.errors import ModelError, SpecError
from generator.files import write_bytes
from generator.spec import spec_hash
from generator.spec.schema import Spec

__all__ = ["File", "compare", "diff", "generate", "generate_text", "write", "write_all"]


# From so many files on, threads write them.
_MANY = 32


Status: TypeAlias = Literal["new", "changed", "unchanged"]


class File(NamedTuple):
    """One artefact beside what its folder holds under that name."""

    name: str
    status: Status
    bytes: int


def generate_text(spec: Spec, groups: Iterable[str] = ALL_GROUPS, templates: Path | None = None) -> dict[str, str]:
    """Return the text artefacts of ``spec`` by file name, byte-identical for the same spec and templates.

    The manifest, which holds the hash of the spec and of each text, is part of a full set only. ``templates`` is a
    user's folder of templates, which come before drn's own.
    """
    groups = set(groups)
    if "caffe" in groups and spec.solver.epochs is not None:
        raise SpecError(
            f"{spec.name}: solver.epochs: {spec.solver.epochs:g} is known in iterations, as solver.prototxt has it, "
            "once the training rows are: give max_iter in its place, or let drn train write the file into its run"
        )
    texts = render(spec, [group for group in GROUPS if group in groups], templates)
    if "gradient" in groups:
        texts["gradient.onnxtxt"] = _gradient_text(spec, templates)
    if groups >= {*GROUPS, "gradient"}:
        texts["manifest.json"] = _manifest(spec, texts)
    return texts


def _gradient_text(spec: Spec, templates: Path | None) -> str:
    from generator.onnxgraph.differentiate import differentiate
    from generator.onnxgraph.parse import parameter_shapes, parse
    from generator.onnxgraph.text import graph_text

    text = render_net(spec.member(), GROUPS["onnx"]["loss.onnxtxt"], training=True, templates=templates)
    loss = parse(text, "loss.onnxtxt")
    try:
        gradient = differentiate(loss, "loss", list(parameter_shapes(loss)))
    # A user's templates may ask for what has no gradient rule, or for shapes that do not fit.
    except ModelError as error:
        raise ModelError(f"loss.onnxtxt: {error}") from error
    return render_template(
        "onnx/gradient.onnxtxt.j2", templates, graph=graph_text(gradient), header=header(spec), net=net_of(spec)
    )


def _manifest(spec: Spec, texts: Mapping[str, str]) -> str:
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())}
    return json.dumps({"name": spec.name, "spec": spec_hash(spec), "sha256": hashes}, indent=2) + "\n"


def generate(
    spec: Spec, groups: Iterable[str] = ALL_GROUPS, init: int | None = None, templates: Path | None = None
) -> dict[str, bytes]:
    """Return the artefacts of ``spec`` in ``groups`` by file name.

    With ``init`` the ``model.onnx`` holds initial weights drawn from that seed, and of an ensemble from the next ones,
    past 2 GiB in ``model.onnx.data`` beside it; otherwise the parameters are inputs.
    ``templates`` is a user's folder of templates, which come before drn's own.
    """
    groups = set(groups)
    wanted = groups | {"onnx", "gradient"} if "binary" in groups else groups
    texts = generate_text(spec, wanted, templates)
    files = {name: text.encode() for name, text in texts.items()}
    if "binary" in groups:
        files |= _binaries(spec, texts, init, templates)
    return files


def _binaries(spec: Spec, texts: Mapping[str, str], init: int | None, templates: Path | None) -> dict[str, bytes]:
    from generator.onnxgraph.parse import parse

    models = {name: parse(text, name) for name, text in texts.items() if name.endswith(".onnxtxt")}
    files = {name.removesuffix("txt"): model.SerializeToString(deterministic=True) for name, model in models.items()}
    if init is not None:
        if templates and spec.ensemble > 1:
            raise SpecError(
                f"{spec.name}: ensemble: {spec.ensemble} puts weights of drn's own templates side by side, and "
                "knows none of others: leave --init, or ensemble, or --templates out"
            )
        from generator.caffe.prototxt import learnable, parse_net
        from generator.onnxgraph.ensemble import side_by_side
        from generator.onnxgraph.initialise import fill, model_files, nothing_mixed
        from generator.onnxgraph.parse import parameter_shapes

        train_val = texts.get("train_val.prototxt") or render(spec, ["caffe"], templates)["train_val.prototxt"]
        model, shapes = models["model.onnxtxt"], parameter_shapes(models["loss.onnxtxt"])
        parameters = learnable(parse_net(train_val, "train_val.prototxt"))
        nets = [fill(spec, parameters, shapes, init + number) for number in range(spec.ensemble)]
        weights = side_by_side(nets) | nothing_mixed(model)
        files |= model_files(model, weights, "model.onnx")
    return files


def compare(files: Mapping[str, bytes], folder: Path) -> list[File]:
    """Say of each of ``files``, by name, what writing it into ``folder`` would do."""
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder}: is a file; the artefacts want a folder")
    found = []
    for name, content in sorted(files.items()):
        path = folder / name
        there = path.read_bytes() if path.is_file() else None
        status: Status = "new" if there is None else "unchanged" if there == content else "changed"
        found.append(File(name, status, len(content)))
    return found


def write(files: Mapping[str, bytes], folder: Path) -> list[File]:
    """Write ``files`` into ``folder``, each whole or not at all; the manifest comes last.

    A file that holds its content already is left as it is, with its time of change.
    """
    return write_all([(files, folder)])[0]


def write_all(sets: Sequence[tuple[Mapping[str, bytes], Path]]) -> list[list[File]]:
    """Write each set of files into its folder, as `write` does; the manifests come after all else."""
    found = [compare(files, folder) for files, folder in sets]
    wanted = [
        (folder / file.name, files[file.name])
        for (files, folder), listed in zip(sets, found, strict=True)
        for file in listed
        if file.status != "unchanged"
    ]
    manifests = [each for each in wanted if each[0].name == "manifest.json"]
    for part in ([each for each in wanted if each[0].name != "manifest.json"], manifests):
        _write_files(part)
    return found


def _write_files(files: Sequence[tuple[Path, bytes]]) -> None:
    # A kill must not leave a model beside the weights of another.
    for path, _ in files:
        if path.name.endswith(".onnx.data"):
            path.with_suffix("").unlink(missing_ok=True)
    if len(files) < _MANY:
        for path, content in files:
            write_bytes(path, content)
        return
    # Most of the time goes by until the disk has each file, and it takes several at once.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_bytes, *zip(*files, strict=True)))


def diff(texts: Mapping[str, str], folder: Path) -> str:
    """Return the unified diff from what ``folder`` holds to ``texts``; empty where they agree."""
    import difflib

    parts: list[str] = []
    for name, text in sorted(texts.items()):
        path = folder / name
        there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        was, now = there.splitlines(keepends=True), text.splitlines(keepends=True)
        parts += difflib.unified_diff(was, now, f"{folder.name}/{name}", f"{folder.name}/{name} (generated)")
    return "".join(parts)
