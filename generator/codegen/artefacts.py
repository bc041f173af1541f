"""All artefacts of one spec, and their folder: write, check for drift, manifest."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from generator.codegen.render import GROUPS, header, render, render_net, render_template
from generator.errors import SpecError
from generator.files import write_bytes
from generator.spec import spec_hash
from generator.spec.schema import Spec

__all__ = ["ALL_GROUPS", "diff", "generate", "generate_text", "write"]

# `gradient` is the differentiated graph, `binary` the .onnx files; both need the onnx package, the others none.
ALL_GROUPS = (*GROUPS, "gradient", "binary")


def generate_text(spec: Spec, groups: Iterable[str] = ALL_GROUPS) -> dict[str, str]:
    """Return the text artefacts of ``spec`` by file name, byte-identical for the same spec and templates.

    The manifest, which holds the hash of the spec and of each text, is part of a full set only.
    """
    groups = set(groups)
    texts = render(spec, [group for group in GROUPS if group in groups])
    if "gradient" in groups:
        texts["gradient.onnxtxt"] = _gradient_text(spec)
    if groups >= {*GROUPS, "gradient"}:
        texts["manifest.json"] = _manifest(spec, texts)
    return texts


def _gradient_text(spec: Spec) -> str:
    from generator.onnxgraph.differentiate import differentiate
    from generator.onnxgraph.parse import parameter_shapes, parse
    from generator.onnxgraph.text import graph_text

    loss = parse(render_net(spec, GROUPS["onnx"]["loss.onnxtxt"], training=True), "loss.onnxtxt")
    gradient = differentiate(loss, "loss", list(parameter_shapes(loss)))
    return render_template("onnx/gradient.onnxtxt.j2", graph=graph_text(gradient), header=header(spec))


def _manifest(spec: Spec, texts: Mapping[str, str]) -> str:
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())}
    return json.dumps({"name": spec.name, "spec": spec_hash(spec), "sha256": hashes}, indent=2) + "\n"


def generate(spec: Spec, groups: Iterable[str] = ALL_GROUPS, init: int | None = None) -> dict[str, bytes]:
    """Return the artefacts of ``spec`` in ``groups`` by file name.

    With ``init`` the ``model.onnx`` holds initial weights drawn from that seed; otherwise the parameters are inputs.
    """
    groups = set(groups)
    wanted = groups | {"onnx", "gradient"} if "binary" in groups else groups
    texts = generate_text(spec, wanted)
    files = {name: text.encode() for name, text in texts.items()}
    if "binary" in groups:
        files |= _binaries(spec, texts, init)
    return files


def _binaries(spec: Spec, texts: Mapping[str, str], init: int | None) -> dict[str, bytes]:
    from generator.onnxgraph.parse import parse

    models = {name: parse(text, name) for name, text in texts.items() if name.endswith(".onnxtxt")}
    if init is not None:
        from generator.caffe.prototxt import learnable, parse_net
        from generator.onnxgraph.initialise import embed_weights, fill
        from generator.onnxgraph.parse import parameter_shapes

        train_val = texts.get("train_val.prototxt") or render(spec, ["caffe"])["train_val.prototxt"]
        model = models["model.onnxtxt"]
        parameters = learnable(parse_net(train_val, "train_val.prototxt"))
        weights = fill(spec, parameters, parameter_shapes(model), init)
        models["model.onnxtxt"] = embed_weights(model, weights)
    return {name.removesuffix("txt"): model.SerializeToString(deterministic=True) for name, model in models.items()}


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write ``files`` into ``folder``, each whole or not at all; the manifest comes last."""
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder}: is a file; the artefacts want a folder")
    for name in sorted(files, key=lambda name: (name == "manifest.json", name)):
        write_bytes(folder / name, files[name])


def diff(texts: Mapping[str, str], folder: Path) -> str:
    """Return the unified diff from what ``folder`` holds to ``texts``; empty where they agree."""
    parts: list[str] = []
    for name, text in sorted(texts.items()):
        path = folder / name
        there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        was, now = there.splitlines(keepends=True), text.splitlines(keepends=True)
        parts += difflib.unified_diff(was, now, f"{folder.name}/{name}", f"{folder.name}/{name} (generated)")
    return "".join(parts)
