"""Options that commands share; no heavy import, so that gen-model starts fast."""

import re
from collections.abc import Callable
from enum import IntEnum
from importlib.util import find_spec
from typing import Any, TypeVar

import click

from generator.errors import pip_install

__all__ = ["Exit", "engine_option", "format_option"]


class Exit(IntEnum):
    """How a command ends; the shell sees the number."""

    FINE = 0
    PROBLEM = 1  # the command worked and found a problem: drift, a bad line, a damaged file
    WRONG_USE = 2  # wrong options, bad input, or a file that cannot be read or written
    INTERRUPTED = 130  # Ctrl-C, as shells have it: 128 and the signal's number


F = TypeVar("F", bound=Callable[..., Any])


def format_option(function: F) -> F:
    """Add ``--format text|json`` to a click command, as the argument ``output_format``."""
    return click.option(
        "--format", "output_format", type=click.Choice(["text", "json"]), default="text", help="For people or machines."
    )(function)


def engine_option(function: F) -> F:
    """Add ``--engine local|ray|ray://HOST:PORT`` to a click command, as the argument ``engine``.

    An engine of Ray's is refused, with what to install, where Ray is absent.
    """
    return click.option(
        "--engine",
        default="local",
        show_default=True,
        metavar="local|ray[://HOST:PORT]",
        callback=_engine,
        help="Who works: this machine, or a Ray cluster (of RAY_ADDRESS, or at the address).",
    )(function)


def _engine(context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"local|ray|ray://[^/\s]+:\d+", value):
        raise click.BadParameter(f"{value!r} is none: write local, ray or ray://HOST:PORT")
    if value != "local" and find_spec("ray") is None:
        raise click.UsageError(f"{context.command_path} --engine {value} needs Ray: {pip_install('scale')}")
    return value
