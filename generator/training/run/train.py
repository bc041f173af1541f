"""A training run: one net, or the nets of an ensemble and the model that they are together."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from generator.caffe.prototxt import learnable, parse_net
from generator.codegen.artefacts import generate_text, write
from generator.codegen.groups import TRAINED
from generator.errors import TrainingError
from generator.files import write_text
from generator.mixture.mixture import Fitted
from generator.onnxgraph.ensemble import side_by_side
from generator.onnxgraph.initialise import read_weights
from generator.spec import dump_spec, load_spec
from generator.spec.schema import Spec
from generator.training.engine.exchange import Exchange
from generator.training.run.folder import MEMBERS, taken
from generator.training.run.generated import Generated
from generator.training.run.loop import Progress
from generator.training.run.metrics import MetricsLog
from generator.training.run.mixing import fitted_of
from generator.training.run.net import export_mixed, train_net
from generator.training.run.options import FRESH, Result, TrainOptions
from generator.training.run.snapshots import whole_snapshots
from generator.training.run.start import Note

__all__ = ["FRESH", "Result", "TrainOptions", "train"]


def train(
    spec: Spec,
    data: str | Path,
    run: str | Path,
    options: TrainOptions = FRESH,
    *,
    exchange: Exchange | None = None,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Result:
    """Train the net of ``spec`` on ``data`` and export it; of an ensemble, its nets one after another, and them as one.

    SIGINT and SIGTERM, in the main thread, finish the update under way, write a snapshot and return. On one machine
    the same spec, data, order and threads give the same bits, however often the run is killed and resumed.

    The nets of an ensemble are runs of their own in ``run``/members/<number>, each with a seed of its own. ``run`` has
    their model, its mixture, the texts of it, and metrics.jsonl with the means of theirs.

    Parameters
    ----------
    spec
        The architecture and its solver.
    data
        A folder of `drn sessions`: train.h5, pages.txt, items.txt, and for test passes valid.h5 or else test.h5.
    run
        The folder to make: spec.yaml, the generated texts, train.txt, test.txt, metrics.jsonl, snapshots/, models/.
    options
        Where to start, in which order, on how many threads; see `TrainOptions`.
    exchange
        What connects this learner, the first, with others that train the net with it; see `Learner`.
    progress
        Called with iteration, loss and samples per second, at most ten times a second.
    note
        Called with what a person should know: which weights were taken, and that nothing is tested.

    Returns
    -------
    Result
        Iterations, loss, speed, and the path of the exported model.

    Raises
    ------
    DataError
        If the data do not fit the spec.
    ModelError
        If a snapshot does not hold or is of another net, or ``weights`` does not hold or has nothing of this net.
    TrainingError
        If ``run`` holds a run already, there is none to resume, onnxruntime lacks the provider, or the loss is not
        finite: the snapshots stay.
    DrnError
        If another process is at work in ``run``.

    Examples
    --------
    >>> import generator as drn
    >>> spec = drn.load_spec("arch_specs/shop.yaml")
    >>> result = drn.train(spec, "data/shop", "runs/shop")  # doctest: +SKIP
    >>> drn.train(spec, "data/shop", "runs/shop", drn.TrainOptions(resume=True))  # doctest: +SKIP
    """
    data, run = Path(data), Path(run)
    if spec.ensemble == 1:
        return train_net(spec, data, run, options, exchange=exchange, progress=progress, note=note)
    if exchange is not None:
        raise TrainingError(f"several learners train one net: {spec.name} has ensemble: {spec.ensemble}; leave it out")
    if options.state is not None:
        raise TrainingError(
            f"{options.state}: is of one net, and an ensemble goes on from the newest snapshot of each: resume alone"
        )
    with taken(run):
        _check_folder(run, resume=bool(options.resume))
        results: list[Result] = []
        for number in range(1, spec.ensemble + 1):
            folder = run / MEMBERS / str(number)
            before = sum(each.iterations for each in results)
            results.append(
                train_net(
                    spec.member(number),
                    data,
                    folder,
                    _of_member(options, number, spec.ensemble, resume=bool(options.resume and whole_snapshots(folder))),
                    progress=_after(progress, before),
                    note=note if number == 1 else None,
                )
            )
            if results[-1].model is None:
                break
        merged = None if results[-1].model is None else _merge(spec, results, data, run, options)
    return Result(
        sum(each.iterations for each in results),
        float(np.mean([each.loss for each in results])),
        sum(each.seconds for each in results),
        float(np.mean([each.samples_per_second for each in results])),
        merged,
        results[-1].signal,
    )


def _check_folder(run: Path, *, resume: bool) -> None:
    """Refuse to begin in a folder that holds something, and to go on in one that holds no ensemble."""
    held = sorted(each.name for each in run.iterdir() if not each.name.startswith("."))
    if resume and MEMBERS not in held:
        why = f"but {held[0]}; take another folder" if held else "to resume; train without --resume"
        raise TrainingError(f"{run}: holds no {MEMBERS} of an ensemble {why}")
    if not resume and held:
        raise TrainingError(
            f"{run}: holds {held[0]} already; go on with --resume if it is of this ensemble, or take another folder"
        )


def _of_member(options: TrainOptions, number: int, count: int, *, resume: bool) -> TrainOptions:
    """Return the options of one net of ``count``.

    What is taken from another ensemble is that of its net of the same number; the time is divided among them.
    """

    def taken_from(given: str | Path | None) -> str | Path | None:
        folder = Path(given or "") / MEMBERS / str(number)
        return folder if given and folder.is_dir() else given

    weights = None if resume else taken_from(options.weights)
    mix_from = options.mix_from if isinstance(options.mix_from, Fitted) else taken_from(options.mix_from)
    seconds = None if options.seconds is None else options.seconds / count
    return replace(options, resume=resume, weights=weights, mix_from=mix_from, seconds=seconds)


def _after(progress: Progress | None, before: int) -> Progress | None:
    """Return what tells of the iterations of one net after those ``before``, of the nets that came before it."""
    if progress is None:
        return None
    return lambda iteration, loss, speed: progress(before + iteration, loss, speed)


def _merge(spec: Spec, results: Sequence[Result], data: Path, run: Path, options: TrainOptions) -> Path:
    """Write the nets of an ensemble as one into ``run``, and return its model.onnx."""
    folders = [run / MEMBERS / str(number) for number in range(1, spec.ensemble + 1)]
    # Where the spec says epochs, the first net knows the iterations.
    spec = spec.model_copy(update={"solver": load_spec(folders[0] / "spec.yaml").solver})
    fitted = fitted_of(options.mix_from, spec) if options.mix_from else None
    texts = generate_text(spec, ["caffe", "portable", "onnx", "triton", "graph"])
    names = [one.name for one in learnable(parse_net(texts["train_val.prototxt"], "train_val.prototxt"))]
    weights = side_by_side([read_weights(each.model, names) for each in results if each.model])
    made = Generated.of(spec.merged)
    write({name: text.encode() for name, text in texts.items() if name not in TRAINED}, run)
    write_text(run / "spec.yaml", dump_spec(spec))
    logs = [MetricsLog.read(folder / "metrics.jsonl") for folder in folders]
    write_text(run / "metrics.jsonl", "".join(json.dumps(_mean(lines)) + "\n" for lines in zip(*logs, strict=False)))
    return export_mixed(
        made,
        weights,
        data,
        run,
        fitted,
        iteration=sum(each.iterations for each in results),
        threads=options.threads or made.threads(),
        spec=spec,
    )


def _mean(lines: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the means of lines of metrics, the same line of each net; their iterations are equal."""
    found = {name: float(np.mean([line[name] for line in lines])) for name in lines[0] if all(name in x for x in lines)}
    return found | {"iteration": lines[0]["iteration"]}
