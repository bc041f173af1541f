"""A run folder as `drn train` leaves it, made without training: drawn weights, some vocabulary."""

from pathlib import Path

from draws import weights

from generator.codegen.render import render
from generator.onnxgraph.initialise import save
from generator.onnxgraph.parse import parameter_shapes, parse
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
}


def write_run(run: Path, seed: int = 1, **changes: object) -> Spec:
    """Write the run of a small spec into a folder, and return the spec."""
    spec = Spec.model_validate(SMALL | changes)
    version = run / "models" / spec.name / "1"
    version.mkdir(parents=True)
    (run / "spec.yaml").write_text(dump_spec(spec))
    model = parse(render(spec, ["onnx"])["model.onnxtxt"], "model.onnxtxt")
    drawn = weights(parameter_shapes(model), seed)
    if "mix_follower" in drawn:  # as fitted: nothing is followed by a slot, which is of no item
        drawn["mix_share"][drawn["mix_follower"] > spec.items] = 0
        drawn["mix_follower"][drawn["mix_follower"] > spec.items] = 0
    save(model, version / "model.onnx", drawn)
    for name, count in (("page", spec.pages), ("item", spec.items)):
        (version / f"{name}s.txt").write_text("".join(f"{name}-{number}\n" for number in range(1, count + 1)))
    return spec
