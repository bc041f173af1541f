"""YAML text read into plain values, with the place of every key and value; everything a spec needs and no more."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from generator.spec.findings import Finding, Path, Place, Words, failure, refusal

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Document", "place_in", "plain_scalar", "read"]

MAX_BYTES = 2**20
MAX_DEPTH = 16
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Patterns are compiled on first use: most are needed by broken specs alone.
_BREAK = "\r\n|[\n\r\x85\u2028\u2029]"
_UNPRINTABLE = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_TAB_INDENT = r"(?m)^ *(\t)[ \t]*[^\s#]"
_INT = r"[-+]?(0|[1-9][0-9]*)"
_HEX = r"0x[0-9a-fA-F]{1,16}"
_FLOAT = r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
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

    def find(self, path: Path, seen: str, allowed: str = "") -> None:
        """Note what is wrong with the value at ``path``."""
        self.findings.append(Finding(self.place(path), path, Words(seen, allowed)))

    def move(self, path: Path, value: Any, place: Place) -> None:
        """Note that ``path`` now holds ``value``, all of which comes from ``place``."""
        for places in (self.places, self.keys):
            for below in [below for below in places if below[: len(path)] == path]:
                del places[below]
            places.update(dict.fromkeys(_paths(value, path), place))
        self.refused.discard(path)


def _paths(value: Any, path: Path) -> Iterator[Path]:
    """Yield ``path`` and those of all values inside ``value``."""
    yield path
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in below:
        yield from _paths(inner, (*path, step))


def plain_scalar(text: str) -> Any:
    """Return the value of an unquoted YAML scalar, by YAML 1.2.

    ``yes``, ``on``, ``1:30``, ``010`` and ``1_000``, which YAML 1.1 reads as something else, stay text; ``1e-3`` is a
    number.
    """
    if text in _WORDS:
        return _WORDS[text]
    if re.fullmatch(_INT, text):
        return int(text[:100])  # longer ones are above every bound anyway, and Python refuses to read 4300 digits
    if re.fullmatch(_HEX, text):
        return int(text, 16)
    if re.fullmatch(_FLOAT, text):
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
        raise refusal(filename, f"{size:,} bytes; a spec has at most {MAX_BYTES:,}")
    text = text.removeprefix("\ufeff")
    if "\t" in text and (match := re.search(_TAB_INDENT, text)):
        raise failure([Finding(place_in(text, match.start(1), filename), (), Words("a tab", "indent with spaces"))])
    return _Reader(text, filename).document()


def place_in(text: str, offset: int, filename: str) -> Place:
    """Return the place of the character of ``text`` at ``offset``."""
    breaks = [match.end() for match in re.finditer(_BREAK, text[:offset])]
    return _place(filename, len(breaks), offset - (breaks[-1] if breaks else 0))


def _place(filename: str, line: int, column: int) -> Place:
    """Return the place of a line and column that count from 0."""
    return Place(filename, line + 1, column + 1)


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
        try:
            next(self._events)  # the start of the stream
            if isinstance(next(self._events), yaml.StreamEndEvent):
                document.places[()] = _place(self._filename, 0, 0)
                return document
            value = self._node(next(self._events), ())
            document.value = None if value is _REFUSED else value
            next(self._events)  # the end of the document
            further = next(self._events)
            if not isinstance(further, yaml.StreamEndEvent):
                self._refuse(further, (), "a second document: there may be only one")
        except (yaml.reader.ReaderError, UnicodeEncodeError):
            match = re.search(_UNPRINTABLE, self._text)
            at, seen = (match.start(), ord(match[0])) if match else (0, 0)
            place = place_in(self._text, at, self._filename)
            raise failure([Finding(place, (), Words(f"character U+{seen:04X} is not allowed in YAML"))]) from None
        except yaml.MarkedYAMLError as error:
            raise failure([self._syntax(error)]) from None
        return document

    def _syntax(self, error: yaml.MarkedYAMLError) -> Finding:
        """Say what the parser said."""
        mark: Any = error.problem_mark or error.context_mark
        line = [*re.split(_BREAK, self._text), ""][mark.line]
        seen, problem = line[mark.column : mark.column + 1], str(error.problem)
        if seen == "\t":
            message = "a tab: separate with spaces"
        elif "cannot start any token" in problem:
            message = f"{seen} cannot start a value: put the text in quotes"
        elif problem.startswith("mapping values"):
            message = "a key where none can be: mind the indentation, and quote text that holds ': '"
        else:
            started: Any = error.context_mark
            since = f" that starts at line {started.line + 1}" if started and started.line < mark.line else ""
            message = f"not YAML: {problem}" + (f", {error.context}{since}" if error.context else "")
        return Finding(self._at(mark), (), Words(message))

    def _at(self, mark: Any) -> Place:
        return _place(self._filename, mark.line, mark.column)

    def _refuse(self, event: Any, path: Path, message: str) -> None:
        self._document.findings.append(Finding(self._at(event.start_mark), path, Words(message)))

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
            raise failure([Finding(self._at(event.start_mark), (), Words(f"nested deeper than {MAX_DEPTH} levels"))])
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
            here = (*path, key or "")
            value_event = next(self._events)
            if key is None or self._refused_key(event, here):
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
        """Return the text of a key; None, with a finding, where it is no text."""
        if not isinstance(event, yaml.ScalarEvent):
            if not isinstance(event, yaml.AliasEvent):
                self._refuse(event, path, "only a word can be a key")
            self._skip(event, (*path, ""))
            return None
        if event.anchor is not None or event.tag is not None:
            self._skip(event, (*path, event.value))
        return str(event.value)

    def _refused_key(self, event: Any, path: Path) -> bool:
        """Refuse a key that cannot stand at ``path``; say whether it was."""
        first = self._document.keys.get(path)
        if path[-1] == "<<":
            self._refuse(event, path, "merge key is refused: write the values out")
        elif first:
            self._refuse(event, path, f"given twice, first at line {first.line}")
        return first is not None or path[-1] == "<<"

    def _skip(self, event: Any, path: Path) -> None:
        """Read past the value that starts with ``event``, for its findings alone."""
        kept = self._document
        self._document = Document(None, findings=kept.findings)
        self._node(event, path)
        self._document = kept


def _is_empty(event: Any) -> bool:
    """Say whether the event is a value that was left out, as in ``rnn:``."""
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value == ""
