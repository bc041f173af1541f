"""A report as lines for people."""

from collections.abc import Sequence
from typing import Any

from generator.caffe.layers import shape_text
from generator.inspect.report import RULE, BlobReport, FileReport, LayerReport, ParameterReport

__all__ = ["report_text"]


def report_text(report: FileReport) -> str:
    """Return a report as plain text: facts, files, layers by column, parameters, totals."""
    sections = [_facts(report), _files(report), _layers(report.layers), _blobs(report.blobs)]
    sections += [_parameters(report.parameters), _totals(report)]
    sections += ["\n".join(f"problem: {problem}" for problem in report.problems)]
    return "\n\n".join(section for section in sections if section)


def _facts(report: FileReport) -> str:
    rows = [[f"  {name}", _value(value)] for name, value in report.facts.items()]
    return "\n".join([f"{report.path}: {report.kind}", *_aligned(rows, "ll")])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _files(report: FileReport) -> str:
    if not report.files:
        return ""
    rows = [["file", "kind", "layers", "values", "FLOP/sample"]]
    for file in report.files:
        name = file.path.removeprefix(report.path).lstrip("/")
        values = f"{file.values:,}" if file.parameters else ""
        rows.append([name, file.kind, str(len(file.layers) or ""), values, _number(file.flop) if file.layers else ""])
    return "\n".join(_aligned(rows, "llrrr"))


def _layers(layers: Sequence[LayerReport]) -> str:
    if not layers:
        return ""
    rows = [["layer", "type", "from", "shape", "parameters", "FLOP/sample"]]
    for part in dict.fromkeys(layer.part for layer in layers):
        if part:
            rows.append([f"{part}:"])
        for layer in layers:
            if layer.part == part:
                shapes = dict.fromkeys(shape_text(shape) for shape in layer.shapes)
                rows.append(
                    [
                        ("  " if part else "") + layer.name,
                        layer.type,
                        ", ".join(bottom for bottom in layer.bottoms if bottom not in layer.parameters),
                        ", ".join(shapes),
                        ", ".join(layer.parameters),
                        _number(layer.flop) if layer.flop or None in layer.shapes else "",
                    ]
                )
    return "\n".join(_aligned(rows, "lllllr"))


def _blobs(blobs: Sequence[BlobReport]) -> str:
    """Return the inputs and outputs; the blobs between them stand beside their layers."""
    rows = [[blob.role, blob.name, shape_text(blob.shape)] for blob in blobs if blob.role]
    return "\n".join(_aligned(rows, "lll"))


def _parameters(parameters: Sequence[ParameterReport]) -> str:
    if not parameters:
        return ""
    rows = [["parameter", "shape", "values", "bytes", "lr_mult", "decay_mult", "used by"]]
    for parameter in parameters:
        values = parameter.values
        factors = ["" if each is None else f"{each:g}" for each in (parameter.lr_mult, parameter.decay_mult)]
        sizes = ["?", "?"] if values is None else [f"{values:,}", f"{4 * values:,}"]
        rows.append([parameter.name, shape_text(parameter.shape), *sizes, *factors, _uses(parameter.layers)])
    return "\n".join(_aligned(rows, "llrrrrl"))


def _uses(layers: Sequence[str]) -> str:
    """Return the layers that share a parameter, their number first where they are many."""
    if len(layers) < 2:
        return "".join(layers)
    shown = ", ".join(layers[:4]) + (", .." if len(layers) > 4 else "")
    return f"{len(layers)} layers: {shown}"


def _totals(report: FileReport) -> str:
    if not report.parameters and not report.layers:
        return ""
    unknown = sum(parameter.shape is None for parameter in report.parameters)
    plus = f", {unknown} of unknown size" if unknown else ""
    line = f"{len(report.parameters)} parameters{plus}, {report.values:,} values, {4 * report.values:,} bytes"
    if not report.layers or report.kind == "caffemodel":
        return line
    return f"{line}, {_number(report.flop)} FLOP a sample\n{RULE}"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return rows as lines with columns of equal width, two spaces apart; a row of one cell is a heading."""
    widths = [max((len(row[i]) for row in rows if len(row) > max(i, 1)), default=0) for i in range(len(sides))]
    lines = []
    for row in rows:
        cells = (cell.rjust(width) if side == "r" else cell.ljust(width)
                 for cell, width, side in zip(row, widths, sides, strict=False))  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    return lines
