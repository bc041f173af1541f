"""What is wrong with a spec, where, and how that is put on lines."""

from typing import NamedTuple

from generator.errors import SpecError

__all__ = ["Finding", "Path", "Place", "clipped", "dotted", "failure"]

Path = tuple[str | int, ...]

_MOST_FINDINGS = 100


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
    """Return the SpecError that lists ``findings`` by position, one a line, the first hundred of them."""
    lines = [
        ": ".join(part for part in (place.text, path, message) if part)
        for place, path, message in sorted(findings, key=lambda finding: finding.place.order)[:_MOST_FINDINGS]
    ]
    lines = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines]
    if len(findings) > _MOST_FINDINGS:
        lines.append(f"... and {len(findings) - _MOST_FINDINGS:,} more")
    return SpecError("\n".join(lines))


def dotted(path: Path) -> str:
    """Return a path as it is written in a finding, ``rnn.widths[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{clipped(step)}"
    return text.removeprefix(".")


def clipped(text: str, limit: int = 40) -> str:
    """Return ``text``, or as much of it as a line of output bears."""
    return text if len(text) <= limit else f"{text[:limit]}..."
