"""YAML text read into plain values, with the place of every key and value; everything a spec needs and no more."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from generator.errors import SpecError

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Document",
    "Finding",
    "Path",
    "Place",
    "clipped",
    "dotted",
    "failure",
    "place_in",
    "plain_scalar",
    "read",
]

Path = tuple[str | int, ...]

MAX_BYTES = 2**20
MAX_DEPTH = 16
_MOST_FINDINGS = 100
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAB_INDENT = re.compile(r"^ *(\t)[ \t]*[^\s#]", re.MULTILINE)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
# A value that was refused: what should stand there is not known.
_REFUSED: Any = object()


class Place(NamedTuple):
    """Where something was written: ``order`` sorts places, ``text`` is shown, as ``spec.yaml:3:9``."""

    order: tuple[int, int, int]
    text: str


class Finding(NamedTuple):
    """One thing wrong with a spec; ``path`` is empty where no field is to blame."""

    place: Place
    path: str
    message: str


@dataclass
class Document:
    """A YAML document as plain values.

    Attributes
    ----------
    value
        Mappings, lists, text, numbers, truth values and None, as written.
    places
        Where the value at each path is; a mapping or an empty value is where its key is.
    keys
        Where the key of each path is.
    refused
        Paths whose value was refused; they are absent from ``value``.
    findings
        What was refused, and why.
    """

    value: Any
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    refused: set[Path] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Return where the value at ``path`` is, or the section that lacks it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def move(self, path: Path, place: Place) -> None:
        """Note that the value at ``path``, with all below it, now comes from ``place``."""
        for places in (self.places, self.keys):
            for below in [below for below in places if below[: len(path)] == path]:
                del places[below]
            places[path] = place
        self.refused.discard(path)


def failure(findings: list[Finding]) -> SpecError:
    """Return the SpecError that lists ``findings`` by position, one a line, the first hundred of them."""
    lines = [
        ": ".join(part for part in (place.text, path, message) if part)
        for place, path, message in sorted(findings)[:_MOST_FINDINGS]
    ]
    lines = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines]
    if len(findings) > _MOST_FINDINGS:
        lines.append(f"... and {len(findings) - _MOST_FINDINGS:,} more")
    return SpecError("\n".join(lines))


def plain_scalar(text: str) -> Any:
    """Return the value of an unquoted YAML scalar, by YAML 1.2.

    ``yes``, ``on``, ``1:30``, ``010`` and ``1_000``, which YAML 1.1 reads as something else, stay text; ``1e-3`` is a
    number.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text[:100])  # longer ones are above every bound anyway, and Python refuses to read 4300 digits
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def read(text: str, filename: str) -> Document:
    """Read ``text`` as one YAML document.

    Anchors, aliases, merge keys, tags, duplicate keys and further documents become findings of the document.

    Raises
    ------
    SpecError
        The text is too large, too deep or no YAML at all.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise SpecError(f"{filename}: {size:,} bytes; a spec has at most {MAX_BYTES:,}")
    text = text.removeprefix("\ufeff")
    if match := _UNPRINTABLE.search(text):
        message = f"character U+{ord(match[0]):04X} is not allowed in YAML"
        raise failure([Finding(place_in(text, match.start(), filename), "", message)])
    if match := _TAB_INDENT.search(text):
        raise failure([Finding(place_in(text, match.start(1), filename), "", "a tab: indent with spaces")])
    return _Reader(text, filename).document()


def place_in(text: str, offset: int, filename: str) -> Place:
    """Return the place of the character of ``text`` at ``offset``."""
    breaks = [match.end() for match in _BREAK.finditer(text, 0, offset)]
    return _place(filename, len(breaks), offset - (breaks[-1] if breaks else 0))


def _place(filename: str, line: int, column: int) -> Place:
    """Return the place of a line and column that count from 0."""
    return Place((0, line, column), f"{filename}:{line + 1}:{column + 1}")


class _Reader:
    """One pass over the parser's events, nested no deeper than MAX_DEPTH."""

    def __init__(self, text: str, filename: str) -> None:
        self._filename = filename
        self._text = text
        self._events = yaml.parse(text, Loader=_LOADER)
        self._document = Document(None)

    def document(self) -> Document:
        """Read the whole text."""
        document = self._document
        document.places[()] = _place(self._filename, 0, 0)
        try:
            next(self._events)  # the start of the stream
            if isinstance(next(self._events), yaml.StreamEndEvent):
                return document
            value = self._node(next(self._events), ())
            document.value = None if value is _REFUSED else value
            next(self._events)  # the end of the document
            further = next(self._events)
            if not isinstance(further, yaml.StreamEndEvent):
                self._refuse(further, (), "a second document: there may be only one")
        except yaml.YAMLError as error:
            raise failure([self._syntax(error)]) from None
        return document

    def _syntax(self, error: yaml.YAMLError) -> Finding:
        """Say what the parser said."""
        if not isinstance(error, yaml.MarkedYAMLError):
            return Finding(_place(self._filename, 0, 0), "", f"not YAML: {error}")
        mark: Any = error.problem_mark or error.context_mark
        line = _BREAK.split(self._text)[mark.line : mark.line + 1]
        if line and line[0][mark.column : mark.column + 1] == "\t":
            return Finding(self._at(mark), "", "a tab: separate with spaces")
        context = f", {error.context}" if error.context else ""
        started: Any = error.context_mark
        since = f" that starts at line {started.line + 1}" if context and started and started.line < mark.line else ""
        return Finding(self._at(mark), "", f"not YAML: {error.problem}{context}{since}")

    def _at(self, mark: Any) -> Place:
        return _place(self._filename, mark.line, mark.column)

    def _refuse(self, event: Any, path: Path, message: str) -> None:
        self._document.findings.append(Finding(self._at(event.start_mark), dotted(path), message))

    def _node(self, event: Any, path: Path) -> Any:
        """Return the value that starts with ``event``; _REFUSED where it is not known."""
        self._document.places.setdefault(path, self._at(event.start_mark))
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, path, f"alias *{event.anchor} is refused: write the value out")
            return _REFUSED
        if event.anchor is not None:
            self._refuse(event, path, f"anchor &{event.anchor} is refused: write the value out where it is used")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, path, f"tag {tag} is refused: write the value without it")
        value = self._value(event, path)
        return value if event.tag is None else _REFUSED

    def _value(self, event: Any, path: Path) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return plain_scalar(event.value) if event.implicit[0] else event.value
        if len(path) >= MAX_DEPTH:
            raise failure([Finding(self._at(event.start_mark), "", f"nested deeper than {MAX_DEPTH} levels")])
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _sequence(self, path: Path) -> Any:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*path, len(values))))
        return _REFUSED if _REFUSED in values else values

    def _mapping(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        document = self._document
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            value_event = next(self._events)
            here = (*path, "?" if key is None else key)
            if key is None or here in document.keys:
                if key is not None:
                    self._refuse(event, here, f"given twice, first at line {document.keys[here].order[1] + 1}")
                self._skip(value_event, here)
                continue
            document.keys[here] = self._at(event.start_mark)
            if isinstance(value_event, yaml.MappingStartEvent) or _is_empty(value_event):
                document.places[here] = document.keys[here]
            value = self._node(value_event, here)
            if value is _REFUSED:
                document.refused.add(here)
            else:
                values[key] = value
        return values

    def _key(self, event: Any, path: Path) -> str | None:
        """Return the text of a key; None, with a finding, where it is no plain text."""
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, path, "only a word can be a key")
            self._skip(event, (*path, "?"))
            return None
        if event.anchor is not None or event.tag is not None:
            self._skip(event, (*path, event.value))
        if event.value == "<<":
            self._refuse(event, path, "merge key << is refused: write the values out")
            return None
        return str(event.value)

    def _skip(self, event: Any, path: Path) -> None:
        """Read past the value that starts with ``event``, for its findings alone."""
        kept = self._document
        self._document = Document(None, findings=kept.findings)
        self._node(event, path)
        self._document = kept


def _is_empty(event: Any) -> bool:
    """Say whether the event is a value that was left out, as in ``rnn:``."""
    return isinstance(event, yaml.ScalarEvent) and event.start_mark.index == event.end_mark.index


def dotted(path: Path) -> str:
    """Return a path as it is written in a finding, ``rnn.widths[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{clipped(step)}"
    return text.removeprefix(".")


def clipped(text: str, limit: int = 40) -> str:
    """Return ``text``, or as much of it as a line of output bears."""
    return text if len(text) <= limit else f"{text[:limit]}..."
