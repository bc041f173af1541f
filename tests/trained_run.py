"""A run folder as `drn train` leaves it, made without training: weights as the fillers start them, some vocabulary."""

from pathlib import Path

from generator.codegen.artefacts import generate
from generator.spec import dump_spec
from generator.spec.schema import Spec

SMALL = {
    "name": "small",
    "net": "combined",
    "pages": 12,
    "items": 10,
    "rnn": {"window": 3, "widths": [8, 6], "history": 2},
    "fnn": {"bought": 2, "widths": [5]},
    "top_k": 4,
    "init": {"table": {"type": "gaussian", "std": 1}, "bias": {"type": "uniform", "min": -1, "max": 1}},
}


def write_run(run: Path, seed: int = 1, **changes: object) -> Spec:
    """Write the run of a small spec into a folder, and return the spec."""
    spec = Spec.model_validate(SMALL | changes)
    version = run / "models" / spec.name / "1"
    version.mkdir(parents=True)
    (run / "spec.yaml").write_text(dump_spec(spec))
    (version / "model.onnx").write_bytes(generate(spec, ["binary"], init=seed)["model.onnx"])
    for name, count in (("page", spec.pages), ("item", spec.items)):
        (version / f"{name}s.txt").write_text("".join(f"{name}-{number}\n" for number in range(1, count + 1)))
    return spec
