"""The commands ``drn`` (also ``python -m generator``) and ``gen-model``: Ctrl-C ends them without a traceback."""

import sys
from importlib import import_module

__all__ = ["drn", "gen_model"]

INTERRUPTED = 130  # `Exit.INTERRUPTED`, which is not there yet while imports are under way


def _run(entry: str) -> None:
    """Run an entry point of `generator.cli`, importing it here, so that Ctrl-C is met from the first import on."""
    try:
        getattr(import_module("generator.cli"), entry)()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def drn() -> None:
    """Entry point of ``drn``."""
    _run("main")


def gen_model() -> None:
    """Entry point of ``gen-model``, the same command as ``drn generate``."""
    _run("gen_model")


if __name__ == "__main__":
    drn()
