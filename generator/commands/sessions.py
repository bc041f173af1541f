"""`drn sessions`: an event log to the data folder that the trainer and Caffe read."""

from pathlib import Path

import click

from generator.console import err, print_json, print_table, stages
from generator.data.log.formats import FORMAT_NAMES
from generator.data.log.words import logs_and_words
from generator.options import Finite, engine_option, format_option, log_options

__all__ = ["command"]

FILE = click.Path(dir_okay=False, path_type=Path)
SHARE = Finite(0, 1, min_open=True, max_open=True)


@click.command("sessions")
@click.argument("logs", nargs=-1, metavar="[LOG]...")
@click.option("--from", "store", metavar="URL", help="The store of drn serve, in place of LOG.")
@click.option(
    "--spec", "spec_path", type=FILE, required=True, help="The net: window, history, purchases, vocabularies."
)
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@log_options(FORMAT_NAMES)
@click.option(
    "--drop-repeats",
    type=Finite(0),
    metavar="SECONDS",
    help="Take the same event of the same user or session once within this time.",
)
@click.option("--test", "tests", multiple=True, help="Files whose sessions are the test split.")
@click.option("--strict-split", is_flag=True, help="Leave out of training what has a session's id of these files.")
@click.option("--test-days", type=Finite(0, min_open=True), help="Test on the sessions of the last days.")
@click.option("--test-share", type=SHARE, help="Test on the newest share of the sessions. [default: 0.2]")
@click.option("--test-users", type=SHARE, help="Test on the sessions of a share of the users.")
@click.option("--folds", type=click.IntRange(2), help="Divide the users into this many folds...")
@click.option("--fold", type=click.IntRange(0), help="...and test on this one, from 0.")
@click.option(
    "--valid-share",
    type=Finite(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Newest share of the training sessions held out as valid.h5.",
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Of the division by users, and of random ones where the log has no times.",
)
@click.option(
    "--min-support",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Views a page needs in the training split to have an id.",
)
@click.option(
    "--vocabulary",
    default="train",
    show_default=True,
    metavar="train|all|DIR",
    help="Give ids to the pages and items of the training split, of the whole log, or as another folder does.",
)
@click.option(
    "--max-bad",
    type=Finite(0, 1),
    default=0.001,
    show_default=True,
    help="Share of a file's rows that may be malformed; they are skipped.",
)
@engine_option
@format_option
def command(
    logs: tuple[str, ...],
    store: str | None,
    spec_path: Path,
    out: Path,
    form: str,
    columns: dict[str, str],
    events: tuple[str, ...],
    gap: float | None,
    drop_repeats: float | None,
    tests: tuple[str, ...],
    strict_split: bool,
    test_days: float | None,
    test_share: float | None,
    test_users: float | None,
    folds: int | None,
    fold: int | None,
    valid_share: float,
    seed: int,
    min_support: int,
    vocabulary: str,
    max_bad: float,
    engine: str,
    output_format: str,
) -> None:
    """Turn an event log into training data: sessions, windows, history states, vocabularies.

    LOG is one file or more, in the same format, each also as .gz, or a folder, for the Parquet files in it; with
    --engine ray also the URL of such a file or folder in an object store. The folder gets train.h5, valid.h5, test.h5,
    pages.txt, items.txt and meta.json. --from reads what drn serve has recorded, from sqlite:///FILE or
    mongodb://HOST:PORT/DATABASE.

    \b
    Example:
      drn sessions shop/events.parquet --spec arch_specs/shop.yaml -o data/shop
      drn sessions UserBehavior.csv --log-format taobao --spec s.yaml --test-days 2 -o data/taobao
      drn sessions log.csv --columns user=visitor,time=ts,page=url --spec s.yaml -o data/log
      drn sessions log.csv --events view=click,detail buy=order --spec s.yaml -o data/log
      drn sessions s3://shop/events --spec arch_specs/shop.yaml -o data/shop --engine ray
      drn sessions --from sqlite:///drn.sqlite --spec arch_specs/shop.yaml -o data/served
    """
    logs, words = logs_and_words(logs, events)
    if bool(logs) == bool(store):
        raise click.UsageError("give LOG or --from URL, one of the two")
    if store and (form != "events" or columns):
        raise click.UsageError("--from reads the format events: leave --log-format and --columns out")
    if engine != "local" and (store or form != "events"):
        raise click.UsageError(f"--engine {engine} reads Parquet files of the format events: leave it out")
    from generator.api.logs import sessions

    with stages() as shown:
        made = sessions(
            store or logs,
            out,
            spec_path,
            log_format=form,
            columns=columns,
            events=words,
            gap=gap,
            drop_repeats=drop_repeats,
            test=tests,
            strict_split=strict_split,
            test_days=test_days,
            test_share=test_share,
            test_users=test_users,
            folds=folds,
            fold=fold,
            valid_share=valid_share,
            seed=seed,
            min_support=min_support,
            vocabulary=vocabulary,
            max_bad=max_bad,
            engine=engine,
            progress=shown,
        )
    if output_format == "json":
        print_json(made.meta)
    else:
        for note in made.notes():
            err.print(note, markup=False)
        rows = [(what, f"{count:,}") for what, count in made.table()]
        print_table(f"{out}: {made.meta['format']}, target {made.meta['target']}", ["what", "count"], rows)
