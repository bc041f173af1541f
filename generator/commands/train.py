"""``drn train``: train the net of a spec."""

import sys
from pathlib import Path

import click

from generator.console import err, out, print_json, progress
from generator.options import format_option

__all__ = ["command"]

LATEST = "newest"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("spec_path", metavar="SPEC", type=click.Path(path_type=Path))
@click.option("-o", "--output", "run", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder written by drn sessions.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=LATEST,
    metavar="[STATE]",
    help="Go on from the newest snapshot of RUN, or from the .solverstate given.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="A .caffemodel to start from, or a run, for its newest; what it lacks starts anew.",
)
@click.option("--threads", type=click.IntRange(0), default=0, show_default=True, help="0: as many as pay.")
@click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where onnxruntime computes; cuda wants onnxruntime-gpu.",
)
@click.option(
    "--order",
    type=click.Choice(["shuffle", "file"]),
    default="shuffle",
    show_default=True,
    help="Rows shuffled anew each epoch, or as Caffe reads the file.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a field of the spec.")
@format_option
def command(
    *,
    spec_path: Path,
    run: Path,
    data: Path,
    resume: str | None,
    weights: Path | None,
    threads: int,
    provider: str,
    order: str,
    overrides: tuple[str, ...],
    output_format: str,
) -> None:
    """Train the net of SPEC by Caffe's solver on onnxruntime.

    Snapshots (Caffe's .caffemodel and .solverstate) and metrics go to RUN, the model ready to serve to RUN/models.
    Ctrl-C finishes the update under way and writes a snapshot; --resume goes on from there.

    \b
    Example:
      drn train arch_specs/shop.yaml --data data/shop -o runs/shop
      drn train arch_specs/shop.yaml --data data/shop -o runs/shop --resume --set solver.max_iter=20000
    """
    from generator.spec import load_spec
    from generator.train.loop import train

    spec = load_spec(spec_path, overrides)
    with progress("loss", "speed") as bar:
        task = bar.add_task(f"train {spec.name}", total=spec.solver.max_iter, loss="", speed="")
        result = train(
            spec,
            data,
            run,
            resume=resume == LATEST or (Path(resume) if resume else False),
            weights=weights,
            threads=threads,
            provider=provider,
            order="file" if order == "file" else "shuffle",
            progress=lambda iteration, loss, speed: bar.update(
                task, completed=iteration, loss=f"loss {loss:.4f}", speed=f"{speed:,.0f} samples/s"
            ),
            note=lambda text: err.print(text, markup=False),
        )
    if output_format == "json":
        print_json(
            {
                "iterations": result.iterations,
                "loss": result.loss,
                "seconds": result.seconds,
                "samples_per_second": result.samples_per_second,
                "model": str(result.model) if result.model else None,
                "signal": result.signal,
            }
        )
    else:
        out.print(
            f"iteration {result.iterations}: loss {result.loss:.4f}, {result.seconds:.1f} s, "
            f"{result.samples_per_second:,.0f} samples/s"
        )
        out.print(str(result.model) if result.model else "stopped after a snapshot; go on with --resume")
    if result.signal:
        sys.exit(128 + result.signal)
