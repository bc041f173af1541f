"""A prototxt that knows its file and lines: protobuf's parser keeps no positions."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from generator.caffe.prototxt import Parameter, active_layers, learnable, parse_net
from generator.caffe.schema import Message
from generator.errors import ModelError

__all__ = ["Prototxt", "read_text"]

_TOKEN = re.compile(r""" \#[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | [\w.+-]+ | [{}<>\n] """, re.VERBOSE)

T = TypeVar("T")


@dataclass(frozen=True)
class Prototxt:
    """A net's prototxt.

    Attributes
    ----------
    filename : as messages name it
    text : the file's text
    net : NetParameter
    """

    filename: str
    text: str
    net: Message

    @classmethod
    def read(cls, path: Path) -> "Prototxt":
        """Read and parse a file. Raises ModelError with file, line and column."""
        text = read_text(path)
        return cls(str(path), text, parse_net(text, str(path)))

    def layers(self, phase: str) -> list[Message]:
        """Return the LayerParameters active in TRAIN or TEST. Raises ModelError, as `active_layers` does."""
        return self._named(active_layers, phase)

    def learnable(self, phase: str) -> list[Parameter]:
        """Return the net's parameters in TRAIN or TEST. Raises ModelError, as `learnable` does."""
        return self._named(learnable, phase)

    def places(self, phase: str) -> dict[str, str]:
        """Return where each active layer begins, as ``filename:line``, by layer name."""
        begins = [f"{self.filename}:{line}" for line in _layer_lines(self.text)]
        if len(begins) != len(self.net.layer):  # a comment or a list in an odd place; the file's name must do
            begins = [self.filename] * len(self.net.layer)
        # The active layers are a part of all layers, in order.
        each = iter(zip(self.net.layer, begins, strict=True))
        return {
            layer.name: next(place for candidate, place in each if candidate == layer) for layer in self.layers(phase)
        }

    def _named(self, ask: Callable[[Message, str], T], phase: str) -> T:
        """Ask the net, and put the file's name before what goes wrong."""
        try:
            return ask(self.net, phase)
        except ModelError as error:
            raise ModelError(f"{self.filename}: {error}") from error


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a file. Raises ModelError where it cannot be read or is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: is no UTF-8 text (byte {error.start})") from error


def _layer_lines(text: str) -> list[int]:
    """Return the line of each top-level ``layer {``."""
    lines, line, depth, word = [], 1, 0, ""
    for match in _TOKEN.finditer(text):
        seen = match[0]
        if seen == "\n":
            line += 1
        elif seen in "{<":
            if depth == 0 and word == "layer":
                lines.append(line)
            depth += 1
        elif seen in "}>":
            depth -= 1
        elif depth == 0 and seen[0] not in "#\"'":
            word = seen
    return lines
