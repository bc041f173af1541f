"""Options that commands share; no heavy import, so that gen-model starts fast."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["format_option"]

F = TypeVar("F", bound=Callable[..., Any])


def format_option(function: F) -> F:
    """Add ``--format text|json`` to a click command, as the argument ``output_format``."""
    return click.option(
        "--format", "output_format", type=click.Choice(["text", "json"]), default="text", help="For people or machines."
    )(function)
