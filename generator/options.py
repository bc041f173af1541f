"""Options that commands share; no heavy import, so that gen-model starts fast."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar

import click

__all__ = ["engine_option", "format_option"]

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
        raise click.UsageError(f"{context.command_path} --engine {value} needs Ray: pip install 'drn[scale]'")
    return value
