"""What is wrong with a spec, where, and how that is put on lines."""

from typing import NamedTuple

from generator.errors import SpecError

__all__ = ["MOST", "Finding", "Path", "Place", "clipped", "dotted", "failure", "refusal"]

Path = tuple[str | int, ...]

MOST = 100


class Place(NamedTuple):
    """Where something was written: ``order`` sorts places, ``text`` is shown, as ``spec.yaml:3:9``."""

    order: tuple[int, int, int]
    text: str


class Finding(NamedTuple):
    """One thing wrong with a spec; ``path`` is empty where no field is to blame."""

    place: Place
    path: str
    message: str


def failure(findings: list[Finding]) -> SpecError:
    """Return the SpecError that lists ``findings`` by position, one a line, the first MOST of them."""
    ordered = sorted(findings, key=lambda finding: finding.place.order)
    lines = [_line(finding) for finding in ordered[:MOST]]
    return SpecError("\n".join([*lines, "... and more"] if len(findings) > MOST else lines))


def refusal(filename: str, message: str) -> SpecError:
    """Return the SpecError that says ``message`` of a whole file."""
    return failure([Finding(Place((0, 0, 0), filename), "", message)])


def _line(finding: Finding) -> str:
    """Write a finding on one line, whatever it quotes."""
    line = ": ".join(part for part in (finding.place.text, finding.path, finding.message) if part)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def dotted(path: Path) -> str:
    """Return a path as it is written in a finding, ``rnn.widths[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{clipped(step)}"
    return text.removeprefix(".")


def clipped(text: str, limit: int = 40) -> str:
    """Return ``text``, or as much of it as a line of output bears."""
    return text if len(text) <= limit else f"{text[:limit]}..."
