"""``drn train``: train the net of a spec."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from generator.console import err, out, print_json, progress
from generator.errors import require_package
from generator.options import engine_option, format_option

if TYPE_CHECKING:
    from generator.training.run.train import Result

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
@click.option(
    "--mix-from",
    type=click.Path(path_type=Path),
    help="A run whose mixture (head.mix) is taken as it was fitted; else it is fitted to sessions held out.",
)
@click.option("--threads", type=click.IntRange(0), default=0, show_default=True, help="0: as many as pay.")
@click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where updates are made; cuda, an NVIDIA GPU, wants onnxruntime-gpu.",
)
@click.option(
    "--order",
    type=click.Choice(["shuffle", "file"]),
    default="shuffle",
    show_default=True,
    help="Rows shuffled anew each epoch, or as Caffe reads the file.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    metavar="N",
    help="Stop after N test passes without a lower loss on valid.h5, and export the best.",
)
@click.option("--tensorboard", is_flag=True, help="Write the metrics to RUN/tensorboard too, for TensorBoard.")
@click.option("--mlflow", metavar="URI|DIR", help="Log the metrics to MLflow too; of a folder, to its mlflow.db.")
@engine_option
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="With --engine ray: learners, a share each."
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
    mix_from: Path | None,
    threads: int,
    provider: Literal["cpu", "cuda"],
    order: Literal["shuffle", "file"],
    patience: int | None,
    tensorboard: bool,
    mlflow: str | None,
    engine: str,
    workers: int,
    overrides: tuple[str, ...],
    output_format: str,
) -> None:
    """Train the net of SPEC by Caffe's solver on onnxruntime.

    Snapshots (Caffe's .caffemodel and .solverstate) and metrics go to RUN, the model ready to serve to RUN/models.
    Ctrl-C finishes the update under way and writes a snapshot; --resume goes on from there. With --engine ray, workers
    divide each batch among them and make every update together; if one is lost, all go on from the newest snapshot.

    \b
    Example:
      drn train arch_specs/shop.yaml --data data/shop -o runs/shop
      drn train arch_specs/shop.yaml --data data/shop -o runs/shop --resume --set solver.max_iter=20000
      drn train arch_specs/shop.yaml --data data/shop -o runs/shop --set solver.epochs=20 --patience 3
      drn train arch_specs/shop.yaml --data data/shop -o runs/shop-ray --engine ray --workers 4
    """
    if engine == "local" and workers > 1:
        raise click.UsageError(f"--workers {workers}: one machine trains by one learner; add --engine ray")
    if engine != "local" and provider != "cpu":
        raise click.UsageError(f"--engine {engine} trains on CPUs: leave --provider {provider} out")
    if engine != "local" and patience is not None:
        raise click.UsageError(f"--engine {engine} trains to the end: leave --patience out")
    if tensorboard:
        require_package("tensorboardX", "--tensorboard")
    if mlflow is not None:
        require_package("mlflow", "--mlflow")
    from generator.spec import load_spec
    from generator.training.run.train import TrainOptions

    spec = load_spec(spec_path, overrides)
    options = TrainOptions(
        resume=resume == LATEST or (Path(resume) if resume else False),
        weights=weights,
        mix_from=mix_from,
        order=order,
        patience=patience,
        tensorboard=tensorboard,
        mlflow=mlflow,
        threads=threads,
        provider=provider,
    )
    # Epochs are iterations once the rows are read.
    length = None if spec.solver.epochs else spec.solver.max_iter * spec.ensemble
    with _trainer(engine, workers) as begin, progress("loss", "speed") as bar:
        task = bar.add_task(f"train {spec.name}", total=length, loss="", speed="")
        result = begin(
            spec,
            data,
            run,
            options,
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
        out.print(str(result))
        out.print(str(result.model) if result.model else "stopped after a snapshot; go on with --resume")
    if result.signal:
        sys.exit(128 + result.signal)


@contextmanager
def _trainer(engine: str, workers: int) -> Iterator[Callable[..., "Result"]]:
    """Yield what trains: one learner here, or several on Ray."""
    if engine == "local":
        from generator.training.run.train import train

        yield train
        return
    require_package("torch", f"drn train --engine {engine}")  # its gloo adds the gradients up
    from generator.scale.cluster import connected
    from generator.scale.training import train_on_ray

    with connected(engine):
        yield partial(train_on_ray, workers=workers)
