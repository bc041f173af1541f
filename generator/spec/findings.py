"""What is wrong with a spec or a plan, and where: data first, put into lines at the end."""

from collections.abc import Iterable
from typing import NamedTuple

from generator.errors import SpecError

__all__ = ["MOST", "Finding", "Path", "Place", "Words", "clipped", "dotted", "failure", "refusal"]

Path = tuple[str | int, ...]

MOST = 100


class Place(NamedTuple):
    """Where something was written.

    Attributes
    ----------
    source
        The file, or the override as it was given: ``--set rnn.window=8``.
    line, column
        Counted from 1; 0 where the whole file is meant, or an override.
    override
        Which override it is, counted from 1; 0 for the file.
    """

    source: str
    line: int = 0
    column: int = 0
    override: int = 0

    @property
    def order(self) -> tuple[int, int, int]:
        """What places are sorted by: the file before the overrides."""
        return (self.override, self.line, self.column)

    def __str__(self) -> str:
        """Return ``spec.yaml:3:9``, or the source alone."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Words(NamedTuple):
    """What is wrong with a value.

    Attributes
    ----------
    seen
        What was seen, or what is wrong with it.
    allowed
        What would be right; empty where ``seen`` says all.
    hint
        What was probably meant, or empty.
    link
        How ``seen`` and ``allowed`` make a sentence.
    """

    seen: str
    allowed: str = ""
    hint: str = ""
    link: str = "{}: {}"

    def __str__(self) -> str:
        """Return the sentence."""
        sentence = self.link.format(self.seen, self.allowed) if self.allowed else self.seen
        return f"{sentence}; {self.hint}" if self.hint else sentence


class Finding(NamedTuple):
    """One thing wrong with a spec or a plan; ``path`` is empty where no field is to blame, or the place names it."""

    place: Place
    path: Path
    words: Words

    def __str__(self) -> str:
        """Return one line, whatever it quotes."""
        line = ": ".join(part for part in (str(self.place), dotted(self.path), str(self.words)) if part)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def failure(findings: Iterable[Finding]) -> SpecError:
    """Return the SpecError that holds ``findings`` by position and lists the first MOST of them, one a line."""
    ordered = sorted(findings, key=lambda finding: finding.place.order)
    lines = [str(finding) for finding in ordered[:MOST]]
    return SpecError("\n".join([*lines, "... and more"] if len(ordered) > MOST else lines), ordered)


def refusal(filename: str, message: str) -> SpecError:
    """Return the SpecError that says ``message`` of a whole file."""
    return failure([Finding(Place(filename), (), Words(message))])


def dotted(path: Path) -> str:
    """Return a path as it is written in a finding, ``rnn.widths[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{clipped(step)}"
    return text.removeprefix(".")


def clipped(text: str, limit: int = 40) -> str:
    """Return ``text``, or as much of it as a line of output bears."""
    return text if len(text) <= limit else f"{text[:limit]}..."
