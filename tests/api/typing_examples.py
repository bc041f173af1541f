"""What a type checker makes of drn's interface; `test_typing.py` runs mypy over it. It is never executed."""

from pathlib import Path
from typing import assert_type

import generator as drn

assert_type(drn.load_spec("spec.yaml"), drn.Spec)
assert_type(drn.generate("spec.yaml", Path("out")), drn.Artefacts)
assert_type(drn.sessions("log.csv", "data", drn.load_spec("spec.yaml")), drn.DataFolder)
assert_type(drn.sessions(["a.csv", "b.csv"], Path("data"), "spec.yaml").rows, dict[str, int])
result = drn.train("spec.yaml", "data", "run", drn.TrainOptions(resume=True))
assert_type(result.loss, float)
assert_type(result.model, Path | None)
model = drn.Model("run")
assert_type(model.recommend([drn.Query([("home", 1.0)])]), list[drn.Answer])
assert_type(drn.recommend(model, ["home", ("item-1", 3.0)], k=5), drn.Answer)
assert_type(drn.recommend("run").items, tuple[tuple[str, float], ...])
assert_type(drn.evaluate(model, "data"), drn.Report)
assert_type(drn.evaluate(["run", Path("other")], "data")["run"]["MRR@20"].value, float)
drn.train("spec.yaml", "data", 5)  # type: ignore[arg-type]
drn.recommend("run", [5])  # type: ignore[list-item]
