"""The ``drn`` command: one group whose subcommands are imported only when they run."""

import importlib
import io
import keyword
import os
import sys

import click

from generator.errors import EXTRAS, DrnError, in_words, lacking
from generator.options import Exit
from generator.version import __version__

__all__ = ["drn", "gen_model", "main"]

# Each subcommand lives in generator/commands/<name>.py as `command`; the line is what `drn --help` says of it.
COMMANDS = {
    "fit": "Turn a log into a served model: look at it, choose a net, train it, compare it with rules.",
    "spec": "Write the spec of a net that fits a log, each field with its reason.",
    "generate": "Generate the Caffe and ONNX artefacts of one or more specs (also: gen-model).",
    "simulate": "Simulate a shop: users with tastes, sessions, purchases.",
    "sessions": "Turn an event log into training data: sessions, windows, history states, vocabularies.",
    "train": "Train the net of a spec by Caffe's SGD on onnxruntime.",
    "tune": "Search the fields of a spec for the best net by a genetic algorithm.",
    "evaluate": "Rank all items for every test session: hit rate, MRR, NDCG, beside baselines.",
    "experiment": "Run the paper's experiments on any data, and report whether its claims hold there.",
    "recommend": "Recommend the top K items for a session, or for every session of a log.",
    "similar": "Say which items a trained net has most alike to an item.",
    "serve": "Recommend over HTTP in real time, remember sessions, reload models.",
    "loop": "Train again from the served events, on a schedule, and publish what is not worse.",
    "export": "Write a trained run for other programs: readers of Caffe's files, a browser.",
    "import": "Convert a Caffe deploy net with its weights to ONNX.",
    "inspect": "Explain a prototxt, caffemodel, solverstate, ONNX file, run or generated folder; draw its net.",
}


class _Lazy(click.Group):
    """A group that knows its subcommands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        # `import` is a keyword, so its module is import_.
        module = importlib.import_module(f"generator.commands.{cmd_name}{'_' * keyword.iskeyword(cmd_name)}")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="drn")
def drn() -> None:
    """Generate, train and serve deep recurrent session recommenders.

    \b
    Example:
      drn fit clicks.csv -o shop
      drn serve shop
      drn simulate -o shop
      drn sessions shop/events.parquet --spec arch_specs/shop.yaml -o data/shop
      drn train arch_specs/shop.yaml --data data/shop -o runs/shop
      drn evaluate runs/shop --data data/shop
    """


def _run(command: click.Command, name: str) -> None:
    """Run ``command``; a mistake of the user's, or of the machine's, is one line on stderr and exit status 2."""
    # pydantic would search every installed package for plugins: 10 ms of each start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a Σ that a terminal cannot show is no reason to stop
        sys.stdout.reconfigure(errors="replace")
    try:
        command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:  # click's word for Ctrl-C
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:  # the reader of stdout has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.PROBLEM)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        sys.stderr.write(f"{lacking(error.name, name)}\n")
        sys.exit(Exit.WRONG_USE)
    except (DrnError, OSError, OverflowError, MemoryError) as error:
        sys.stderr.write(f"{in_words(error)}\n")
        sys.exit(Exit.WRONG_USE)


def main() -> None:
    """Entry point of ``drn``."""
    _run(drn, "drn")


def gen_model() -> None:
    """Entry point of ``gen-model``, the same command as ``drn generate``."""
    from generator.commands.generate import command

    _run(command, "gen-model")
