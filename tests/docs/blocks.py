"""The fenced blocks of a page, and the shell in which its commands run."""

import gzip
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reviewed import BEFORE, CLICKS, NOT_RUN, SHORTER

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("bash", "curl", "drn", "echo", "gen-model", "make", "pip", "python")
GIVEN = (
    "LICENSE",
    "Makefile",
    "README.md",
    "arch_specs",
    "generated",
    "pyproject.toml",
    "setup.cfg",
    "tests/constraints.txt",
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language as stated, its lines."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_script(self) -> bool:
        return self.language == "sh" or (not self.language and self.lines[0].split(" ")[0] in COMMANDS)

    @property
    def is_transcript(self) -> bool:
        """Whether commands, after a prompt, and what they print stand together."""
        return not self.language and self.lines[0].startswith("$ ")

    @property
    def is_output(self) -> bool:
        return self.language in ("", "text") and not self.is_script and not self.is_transcript


def blocks(page: str, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text, in order."""
    language, start, found = "", 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("```"):
            found.append(line)
        elif start:
            yield Block(page, start, language, tuple(found))
            start = 0
        else:
            language, start, found = line.removeprefix("```").strip(), number, []


def shorten(line: str) -> str | None:
    """Return what is run in place of a line, None where nothing is."""
    for pattern, by, _ in SHORTER:
        line = re.sub(pattern, by, line)
    if line.startswith(tuple(NOT_RUN)):
        return None
    first = [script for start, (script, _) in BEFORE.items() if line.startswith(start)]
    return "\n".join([*first, line])


def masked(text: str) -> list[str]:
    """Return the lines of an output without what differs from run to run: figures, bars, the widths of columns."""
    text = re.sub(r"[*+±-]*\d[\d,.]*", "#", re.sub(r"[█░━─]+", "", text))
    return [line for each in text.splitlines() if (line := " ".join(each.split()))]


class Shell:
    """Runs the blocks of one page in a folder of its own, which holds what a checkout does."""

    def __init__(self, folder: Path, text: str):
        self._folder, self._text, self._port = folder, text, free_port()
        self._server: subprocess.Popen[str] | None = None
        for name in GIVEN:
            source = ROOT / name
            (folder / name).parent.mkdir(exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        (folder / ".curlrc").write_text("silent\nshow-error\nfail\n")
        write_clicks(folder)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "CURL_HOME": str(folder), "COLUMNS": "200"}

    def run(self, block: Block) -> str:
        """Run a script; return what it printed on stdout, and fail where it fails."""
        lines = [line for each in block.lines if (line := shorten(each)) is not None]
        if any(line.startswith("curl") for line in lines) and not self._server:
            # The page starts its server in a sentence: the last one before this block.
            above = "\n".join(self._text.splitlines()[: block.line])
            self.serve(re.findall(r"`(drn serve [^`]+)`", above)[-1])
        for line in [each for each in lines if each.startswith("drn serve")]:
            self.serve(line)
            lines.remove(line)
        return self.bash("\n".join(lines), block.where, 0).stdout

    def bash(self, script: str, where: str, status: int) -> "subprocess.CompletedProcess[str]":
        script = script.replace("localhost:8000", f"127.0.0.1:{self._port}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == status, (
            f"{where}: exit status {done.returncode}\n{script}\n{done.stdout}{done.stderr}"
        )
        return done

    def replay(self, block: Block) -> None:
        """Run a transcript; what it prints must be what stands there, to the letter. A file it shows first is made."""
        for part in re.split(r"^\$ ", "\n".join(block.lines), flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            printed = f"{printed.rstrip()}\n"
            name = command.removeprefix("cat ")
            if name != command and not (self._folder / name).exists():
                (self._folder / name).write_text(printed)
            done = self.bash(command, block.where, 0 if name != command else 2)
            assert done.stdout + done.stderr == printed, block.where

    def serve(self, command: str) -> None:
        """Start a documented server, on a free port, and wait until it says that it is up."""
        command = f"exec {command} --port {self._port}"
        self._server = subprocess.Popen(
            ["bash", "-c", command], cwd=self._folder, env=self._environment, stderr=subprocess.PIPE, text=True
        )
        lines = []
        for line in self._server.stderr:
            lines.append(line)
            if '"started"' in line:
                threading.Thread(target=self._server.stderr.read, daemon=True).start()  # or its log would stop it
                return
        raise AssertionError(f"{command}: {''.join(lines)}")

    def close(self) -> None:
        """End the server, if one was started."""
        if self._server:
            self._server.terminate()
            self._server.wait(30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def write_clicks(folder: Path) -> None:
    """Write clicks in the layout of the public log: sessions that walk along a ring of items."""
    draw = random.Random(1)
    items = [214716935, 214832672, *range(214500000, 214500038)]
    for name, sessions in zip(CLICKS, (400, 60), strict=True):
        with gzip.open(folder / name, "wt") as file:
            file.write("SessionId\tItemId\tTime\n")
            for session in range(sessions):
                place, start = draw.randrange(40), 1396000000.0 + 1000 * session + (10**6 if "test" in name else 0)
                for step in range(draw.randint(2, 8)):
                    file.write(f"{session + len(name) * 1000}\t{items[place]}\t{start + 20 * step}\n")
                    place = (place + draw.choice((1, 1, 1, 2))) % 40
