"""`drn serve --config`: any option from a file; the command line wins, mistakes are named with their place."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from served import Drn, Process, free_port

from generator.commands.serve import command

WRONG = """\
models: shop
prot: 9000
port: yes
idle-days: [1, 2]
allow-host: [a, b]
int8: 1
token: abc
batch: 2000
config: other.yaml
"""


@pytest.fixture
def parsed(tmp_path, monkeypatch):
    """Return what `drn serve` would run with, for the text of a configuration and a command line."""
    monkeypatch.setattr(command, "callback", lambda **given: given)

    def parse(text, *options):
        file = tmp_path / "serve.yaml"
        file.write_text(text)
        return CliRunner().invoke(command, [*options, "--config", str(file)], standalone_mode=False).return_value

    return parse


def test_every_option_may_be_in_the_file(parsed):
    """What click says an option takes, the file's key of that name takes too: a new option needs no word here."""
    values = {"store": "mongodb://db/shop", "host": "0.0.0.0", "allow_host": ["shop.example", "shop"], "model": "1"}
    wanted = {}
    lines = []
    for one in command.params:
        if not one.expose_value:
            continue
        key = max(one.opts, key=len).removeprefix("--")
        kind = one.type
        value = values.get(key.replace("-", "_"))
        if value is None:
            value = not one.default if isinstance(one, click.Option) and one.is_flag else 1
            if isinstance(kind, click.Path):
                value = __file__
        lines.append(f"{key}: {value if not isinstance(value, bool) else str(value).lower()}")
        wanted[one.name] = tuple(value) if one.multiple else kind.convert(str(value), one, None)
    assert parsed("\n".join(lines)) == wanted


def test_the_command_line_wins(parsed):
    found = parsed("models: shop\nport: 9000\nlog-requests: false\nallow-host: one\n", "other", "--port", "9001")
    assert (str(found["models"]), found["port"], found["log_requests"], found["allow"]) == (
        "other", 9001, False, ("one",),
    )  # fmt: skip


def test_all_mistakes_are_named_with_their_places(tmp_path):
    file = tmp_path / "serve.yaml"
    file.write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-m", "generator", "serve", "--config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    lines = [line.removeprefix(f"{file}:") for line in done.stderr.splitlines()]
    assert lines[0] == "2:1: prot: unknown key; did you mean port?"
    assert lines[1].startswith("3:7: port: 'yes' is not a valid integer")
    assert lines[2:5] == [
        "4:12: idle-days: one value is wanted, text or a number",
        "6:7: int8: true or false is wanted",
        "7:1: token: unknown key; did you mean token-file?",
    ]
    assert lines[5] == "8:8: batch: 2000 is not in the range 1<=x<=1024."
    assert lines[6].startswith("9:1: config: unknown key")
    assert len(lines) == 7


def test_a_server_runs_by_a_file_alone(repository, tmp_path):
    token, port = tmp_path / "token", free_port()
    token.write_text("abc\n")
    file = tmp_path / "serve.yaml"
    file.write_text(f"models: {repository}\nstore: sqlite:///{tmp_path}/s.sqlite\nport: {port}\ntoken-file: {token}\n")
    server = Process([sys.executable, "-m", "generator", "serve", "--config", str(file)], '"started"')
    client = Drn.__new__(Drn)
    client.port = port
    assert client("GET", "/v1/models")[0] == 401
    assert client("GET", "/v1/models", Authorization="Bearer abc")[1]["model"] == "shop"
    assert server.stop() == 0
