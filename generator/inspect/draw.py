"""The picture of a net: graphviz DOT, and SVG or PNG where `dot` is installed."""

import shutil
import subprocess
from pathlib import Path

from generator.caffe.layers import shape_text
from generator.errors import ModelError
from generator.files import replacing, write_text
from generator.inspect.report import FileReport, LayerReport

__all__ = ["dot_of", "draw"]

SUFFIXES = (".svg", ".png", ".dot")
TIMEOUT = 120  # seconds; dot takes that long for thousands of layers only


def draw(report: FileReport, output: Path) -> None:
    """Draw a report's net to a .svg, .png or .dot file.

    A generated folder is drawn by its own graph.dot, a picture of states and columns; any other net layer by layer.

    Raises
    ------
    ModelError
        The report has no layers, the suffix is another, graphviz is not installed or fails.
    """
    if output.suffix not in SUFFIXES:
        raise ModelError(f"{output}: drn draws {', '.join(SUFFIXES)}")
    own = Path(report.path) / "graph.dot"
    if not report.layers and not own.is_file():
        raise ModelError(f"{report.path}: is a {report.kind}, which has no layers to draw; give a net or a folder")
    dot = own.read_text(encoding="utf-8") if own.is_file() else dot_of(report)
    if output.suffix == ".dot":
        write_text(output, dot)
        return
    program = shutil.which("dot")
    if program is None:
        raise ModelError(
            f"{output}: the command `dot` is not on PATH; install the package graphviz (apt install graphviz, brew "
            f"install graphviz), or write {output.with_suffix('.dot')} instead, which needs none"
        )
    with replacing(output) as beside:
        try:
            done = subprocess.run(  # noqa: S603  the program is graphviz's, the text comes by stdin
                [program, f"-T{output.suffix[1:]}", "-o", str(beside)],
                input=dot.encode(),
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{output}: dot took more than {TIMEOUT} seconds; write a .dot file instead") from error
        if done.returncode:
            raise ModelError(f"{output}: dot failed: {done.stderr.decode(errors='replace').strip()}")


def dot_of(report: FileReport) -> str:
    """Return a report's layers as DOT: a box a layer, an edge a blob, a frame a column."""
    lines = [
        f"digraph {_quoted(str(report.facts.get('name') or report.path))} {{",
        "  rankdir = BT;",
        '  node [shape = box, style = "rounded,filled", fillcolor = white, fontname = "Helvetica", fontsize = 11];',
        '  edge [fontname = "Helvetica", fontsize = 9, arrowsize = 0.7];',
    ]
    makers: dict[str, int] = {blob.name: -1 for blob in report.blobs if blob.role == "input"}
    parts: dict[str, list[str]] = {}
    edges = []
    for index, layer in enumerate(report.layers):
        parts.setdefault(layer.part, []).append(f"l{index} [label = {_quoted(_label(layer))}{_colour(layer)}];")
        made = [bottom for bottom in dict.fromkeys(layer.bottoms) if bottom in makers]
        edges += [f"{_node(makers[bottom], bottom)} -> l{index};" for bottom in made]
        makers |= dict.fromkeys(layer.tops, index)
    tops = {top for layer in report.layers for top in layer.tops}
    for number, (part, nodes) in enumerate(parts.items()):
        framed = part not in ("", "all columns")
        if framed:
            lines += [f"  subgraph cluster_{number} {{", f"    label = {_quoted(part)}; style = dotted;"]
        lines += [("    " if framed else "  ") + node for node in nodes]
        if framed:
            lines.append("  }")
    for blob in report.blobs:
        if blob.role == "input" and blob.name not in tops:
            label = _quoted(f"{blob.name}\n{shape_text(blob.shape)}")
            lines.append(f"  {_node(-1, blob.name)} [label = {label}, shape = ellipse];")
    return "\n".join([*lines, *(f"  {edge}" for edge in edges), "}"]) + "\n"


def _node(maker: int, blob: str) -> str:
    return f"l{maker}" if maker >= 0 else _quoted(f"input {blob}")


def _label(layer: LayerReport) -> str:
    shapes = ", ".join(dict.fromkeys(shape_text(shape) for shape in layer.shapes if shape is not None))
    kind = f"{layer.type} {shapes}".rstrip()
    return "\n".join([layer.name, kind, *layer.parameters])


def _colour(layer: LayerReport) -> str:
    """Return the fill of a layer: those that learn stand out."""
    return ', fillcolor = "#dbe9f6"' if layer.parameters else ""


def _quoted(text: str) -> str:
    """Return a DOT string: quotes and backslashes escaped, line ends as its own sign."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
