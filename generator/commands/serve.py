"""``drn serve``: recommend over HTTP, remember sessions, reload models."""

import os
from pathlib import Path

import click

from generator.options import Finite, config_option

__all__ = ["command"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", metavar="MODELS", type=click.Path(path_type=Path))
@click.option(
    "--store",
    default="sqlite:///drn.sqlite",
    show_default=True,
    help="Where sessions are kept: sqlite:///FILE or mongodb://HOST:PORT/DATABASE.",
)
@click.option("--model", help="The model whose recommendations are served, where MODELS holds several.")
@click.option("--pin", type=click.IntRange(1), help="Version to stay with [default: always the newest that holds].")
@click.option("--rival", type=click.IntRange(1), help="Another version, compared on a share of the sessions...")
@click.option("--share", type=Finite(0, 1), default=0.5, show_default=True, help="...of this size.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen on.")
@click.option(
    "--allow-host",
    "allow",
    multiple=True,
    metavar="NAME",
    help="Name by which clients call the server, where a proxy passes it on [default: on loopback, this machine's].",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the bearer token that clients must send [default: $DRN_TOKEN, or none].",
)
@click.option(
    "--idle-days",
    type=Finite(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Silent sessions are forgotten after so long; their events stay.",
)
@click.option(
    "--reload", type=Finite(0), default=2.0, show_default=True, help="Seconds between looks for new versions."
)
@click.option("--batch", type=click.IntRange(1, 1024), default=32, show_default=True, help="Requests run together.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that answer on the port, each with the model in its own memory.",
)
@click.option("--int8", is_flag=True, help="Multiply the output layer in 8 bits, in a quarter of its memory.")
@click.option("--index", is_flag=True, help="Find the best items by an index: for a million items; extra index.")
@click.option(
    "--items",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of items: item, title, category, price, image, ...; comes back with each, read again when it changes.",
)
@click.option("--items-only", is_flag=True, help="Recommend nothing but what is in the file of --items.")
@click.option("--log-requests/--no-log-requests", default=True, show_default=True, help="A line for each request.")
@config_option
def command(
    *,
    models: Path,
    store: str,
    model: str | None,
    pin: int | None,
    rival: int | None,
    share: float,
    host: str,
    port: int,
    allow: tuple[str, ...],
    token_file: Path | None,
    idle_days: float,
    reload: float,
    batch: int,
    workers: int,
    int8: bool,
    index: bool,
    items: Path | None,
    items_only: bool,
    log_requests: bool,
) -> None:
    """Serve recommendations over HTTP.

    MODELS is a folder of drn train, or a model repository: NAME/VERSION/model.onnx. New versions are picked up, tried
    and swapped in. The page is at /, the API at /docs, the Open Inference Protocol under /v2, figures at /metrics.

    \b
    Example:
      drn serve runs/shop
      drn serve runs/shop --store mongodb://localhost:27017/drn --rival 3 --share 0.1
      drn serve --config serve.yaml
      curl -H 'Content-Type: application/json' -d '{"page": "p1"}' localhost:8000/v1/sessions/s1/visits
    """
    from generator.api.answers import serve
    from generator.serving.models.choice import VersionChoice

    if index and int8:
        raise click.UsageError("--index scores few items, in full: leave --int8 out")
    if items_only and items is None:
        raise click.UsageError("--items-only needs --items")
    token = _token(token_file) if token_file else os.environ.get("DRN_TOKEN", "")
    if host not in ("127.0.0.1", "::1", "localhost") and not token:
        click.echo(f"anyone who reaches {host}:{port} may read and erase sessions: give --token-file", err=True)
    serve(
        models,
        model=model,
        choice=VersionChoice(pin, rival, share if rival else 0.0),
        store=store,
        idle=idle_days * 86400,
        host=host,
        port=port,
        allow=allow,
        token=token or None,
        reload=reload,
        batch=batch,
        workers=workers,
        int8=int8,
        index=index,
        items=items,
        items_only=items_only,
        log_requests=log_requests,
    )


def _token(file: Path) -> str:
    """Return the bearer token in a file."""
    from generator.errors import DataError

    try:
        token = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is no UTF-8 text at byte {error.start}: a token is a line of text") from error
    if not token:
        raise DataError(f"{file}: it is empty, so anyone could come in")
    return token
