"""Wall time of `gen-model` in a fresh process beside datamodel-code-generator on input of like size, by turns.

    python benchmarks/gen_model.py --peer /path/to/venv/bin/datamodel-codegen

The peer reads a JSON Schema with a property for every field of our spec and writes pydantic models by its builtin
formatter, which is its fastest. Files go to a folder that is empty in each turn. Without the peer, drn is measured
alone. A checkout compiles the templates in each run, which a wheel has done: --own names the gen-model of one.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SPEC = ROOT / "arch_specs" / "combined.yaml"
MANY = 50
TARGETS = {"text": 0.15, "with ONNX": 0.4, f"{MANY} specs": 3.0}

Turn = Callable[[Path], list[str]]


def schema_of(values: dict, name: str) -> dict:
    """Return a JSON Schema with a property for every field of a spec, nested as the spec is."""
    kinds = {int: "integer", float: "number", str: "string", bool: "boolean"}
    properties = {}
    for key, value in values.items():
        if isinstance(value, dict):
            properties[key] = schema_of(value, key)
        elif isinstance(value, list):
            properties[key] = {"type": "array", "items": {"type": "integer"}, "maxItems": 32}
        else:
            properties[key] = {"type": kinds[type(value)], "default": value}
    return {"title": name, "type": "object", "properties": properties, "required": list(values)}


def write_inputs(folder: Path) -> None:
    """Write one spec and one schema, and a folder with many of each."""
    text = SPEC.read_text()
    for kind in ("specs", "schemas"):
        (folder / kind).mkdir()
    for number in range(MANY):
        name = f"net{number:02}"
        spec = text.replace("name: combined", f"name: {name}").replace("window: 4", f"window: {2 + number % 6}")
        (folder / "specs" / f"{name}.yaml").write_text(spec)
        (folder / "schemas" / f"{name}.json").write_text(json.dumps(schema_of(yaml.safe_load(spec), name)))


def wall(command: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a command takes; its output is shown where it fails."""
    start = time.perf_counter()
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if run.returncode:
        sys.exit(f"{' '.join(command)}\n{run.stdout}{run.stderr}")
    return seconds


def turns(folder: Path, own_command: str, peer: str | None) -> dict[str, tuple[Turn, Turn | None]]:
    """Return the command of drn and of the peer for each measurement, given the folder to write to."""
    own = [own_command]
    text = ["--only", "caffe,onnx,triton,graph"]
    one, many = str(folder / "specs" / "net00.yaml"), str(folder / "specs")

    def theirs(name: str, out: str) -> Turn | None:
        base = [str(peer), "--input-file-type", "jsonschema", "--formatters", "builtin"]
        base += ["--output-model-type", "pydantic_v2.BaseModel", "--input", str(folder / name)]
        return (lambda made: [*base, "--output", str(made / out)]) if peer else None

    return {
        "text": (lambda out: [*own, one, *text, "-o", str(out)], theirs("schemas/net00.json", "net00.py")),
        "with ONNX": (lambda out: [*own, one, "-o", str(out)], theirs("schemas/net00.json", "net00.py")),
        f"{MANY} specs": (lambda out: [*own, many, "-o", str(out)], theirs("schemas", "models")),
    }


def measure(folder: Path, command: Turn, environment: dict[str, str]) -> float:
    """Return the seconds of one turn into an empty folder."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return wall(command(out), environment)


def main() -> None:
    """Measure by turns and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side; the median counts")
    parser.add_argument("--peer", default=shutil.which("datamodel-codegen"), help="the peer's command, where it is")
    own = str(Path(sys.executable).with_name("gen-model"))
    parser.add_argument("--own", default=own, help="the gen-model to measure, as one installed from a wheel")
    options = parser.parse_args()
    if options.peer and shutil.which(options.peer) is None:
        sys.exit(f"{options.peer}: no such command: pip install '.[bench]', or name it by --peer")
    if not options.peer:
        print("datamodel-code-generator is absent (pip install '.[bench]', or name it by --peer): drn alone\n")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        environment = dict(os.environ)
        measure(folder, turns(folder, options.own, None)["text"][0], environment)  # Python's own byte code, once
        print(f"load {os.getloadavg()[0]:.1f}\n", flush=True)
        for what, (ours, theirs) in turns(folder, options.own, options.peer).items():
            seconds: tuple[list[float], list[float]] = ([], [])
            for _ in range(options.rounds):
                for side, command in enumerate((ours, theirs)):
                    if command:
                        seconds[side].append(measure(folder, command, environment))
            own = statistics.median(seconds[0])
            peer = statistics.median(seconds[1]) if theirs else None
            cells = ["", ""] if peer is None else [f"{peer:.2f}", f"{peer / own:.1f}"]
            rows.append([what, f"{own:.2f}", f"{min(seconds[0]):.2f}", f"{TARGETS[what]:.2f}", *cells])
    print("| what | drn, s | its best | target | datamodel-code-generator, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


if __name__ == "__main__":
    main()
