"""Options that commands share, and their types; no heavy import, so that gen-model starts fast."""

import math
import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click

from generator.errors import pip_install

__all__ = ["Exit", "Finite", "config_option", "engine_option", "format_option", "log_options"]


class Exit(IntEnum):
    """How a command ends; the shell sees the number."""

    FINE = 0
    PROBLEM = 1  # the command worked and found a problem: drift, a bad line, a damaged file
    WRONG_USE = 2  # wrong options, bad input, or a file that cannot be read or written
    INTERRUPTED = 130  # Ctrl-C, as shells have it: 128 and the signal's number


class Finite(click.FloatRange):
    """A finite number within bounds: click's own range lets nan through, which is below no bound and above none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; BadParameter where it is none, not finite or out of bounds."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no finite number", param, ctx)
        return found


F = TypeVar("F", bound=Callable[..., Any])


def format_option(function: F) -> F:
    """Add ``--format text|json`` to a click command, as the argument ``output_format``."""
    return click.option(
        "--format", "output_format", type=click.Choice(["text", "json"]), default="text", help="For people or machines."
    )(function)


def config_option(function: F) -> F:
    """Add ``--config FILE`` to a click command: what its arguments and options are where the command line is silent.

    The file is a YAML mapping; its keys are the options' own long names and the arguments' in lower case.
    """
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_config,
        help="YAML file with any of these options, such as port: 9000; the command line wins.",
    )(function)


def _config(context: click.Context, _parameter: click.Parameter, file: Path | None) -> None:
    """Take a file's values for defaults; SpecError, with all that is wrong, where one does not hold."""
    if file is None:
        return
    from generator.spec.findings import Finding, Words, failure
    from generator.spec.reading import mapping_of, read_file
    from generator.spec.words import nearest

    document = read_file(file, "configuration")
    parameters = {_config_key(one): one for one in context.command.params if one.expose_value}
    held: dict[str, Any] = {}
    for key, value in mapping_of(document, "configuration").items():
        place = document.keys[key,]
        if key not in parameters:
            hint = nearest(key, list(parameters))
            words = Words("unknown key", "" if hint else f"one of {', '.join(parameters)}", hint)
            document.findings.append(Finding(place, (key,), words))
            continue
        try:
            held[str(parameters[key].name)] = _config_value(context, parameters[key], value)
        except click.BadParameter as error:
            document.findings.append(Finding(document.place((key,)), (key,), Words(error.message)))
    if document.findings:
        raise failure(document.findings)
    context.default_map = held


def _config_key(parameter: click.Parameter) -> str:
    """Return the key of a parameter in a configuration: ``idle-days`` of ``--idle-days``, ``models`` of MODELS."""
    return max(parameter.opts, key=len).removeprefix("--")


def _config_value(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return a value as the command line would give it; BadParameter where it does not fit."""
    flag = isinstance(parameter, click.Option) and parameter.is_flag
    if parameter.multiple and isinstance(value, list):
        several = value
    elif isinstance(value, (list, dict)) or value is None or flag != isinstance(value, bool):
        raise click.BadParameter("true or false is wanted" if flag else "one value is wanted, text or a number")
    else:
        several = [value]
    texts = several if flag else [str(one) for one in several]
    return parameter.type_cast_value(context, texts if parameter.multiple else texts[0])


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


def log_options(formats: Sequence[str] = (), *, detected: bool = False) -> Callable[[F], F]:
    """Add how a log is read: the arguments ``form``, ``columns`` (column by role), ``events`` (the texts) and ``gap``.

    Parameters
    ----------
    formats
        Those that the help lists and the command line takes; none: whoever opens the log knows them, and an import that
        takes long is spared.
    detected
        Whether the format is found out, where it is not said; else the log is then of named columns.
    """
    form = click.option(
        "--log-format",
        "form",
        type=click.Choice(formats) if formats else str,
        default=None if detected else "events",
        show_default=not detected,
        help="Of the log, where it is not found out." if detected else "Of the log.",
    )
    columns = click.option(
        "--columns",
        callback=_columns,
        help="For events: role=column,... of user, session, time, page, event, item, category, dwell.",
    )
    events = click.option(
        "--events",
        multiple=True,
        metavar="KIND=WORD,WORD...",
        help="What words for events mean: view=click,detail buy=order; view, buy or other.",
    )
    gap = click.option(
        "--gap",
        type=Finite(0, min_open=True),
        help="Minutes of silence that end a session. [default: 30; none where the log has session ids]",
    )
    return lambda function: form(columns(events(gap(function))))


def _columns(_context: click.Context, _parameter: click.Parameter, value: str | None) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in value.split(",")] if value else []
    for role, _, column in pairs:
        if not role or not column:
            raise click.BadParameter(f"{role!r} names no column: write role=column,role=column")
    return {role.strip(): column.strip() for role, _, column in pairs}
