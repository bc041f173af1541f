"""A table past 2 GiB, end to end by the commands: generated, trained, asked, exported, served; the time and memory.

    python benchmarks/large.py --pages 8400000 --width 64

The log is a small simulated shop's, whose pages are the first rows of the table. Takes some four times the table in
memory, and six times on disk, in the system's temporary folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from serve import drn

from generator.spec import dump_spec
from generator.spec.schema import Spec

PAGES = ["home", "cat-1", "item-12"]


def make_spec(pages: int, width: int) -> Spec:
    """Return a small RNN over a large table."""
    rnn = {"window": 4, "widths": [width]}
    solver = {"batch_size": 64, "max_iter": 50, "base_lr": 0.1, "momentum": 0.9}
    return Spec.model_validate(
        {"name": "large", "net": "rnn", "pages": pages, "items": 503, "rnn": rnn, "solver": solver}
    )


def run(folder: Path, *arguments: str) -> str:
    """Run a command of drn in a folder; print what it took, and return what it said."""
    start = time.perf_counter()
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen([sys.executable, "-m", "generator", *arguments], cwd=folder, stdout=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"drn {' '.join(arguments)} ends with {process.returncode}")
        tell(" ".join(arguments), start, usage.ru_maxrss / 2**20)
        said.seek(0)
        return said.read()


def tell(what: str, start: float, memory: float) -> None:
    """Print a row of the table: a command, its seconds since ``start``, its GiB."""
    print(f"| `drn {what}` | {time.perf_counter() - start:.0f} s | {memory:.1f} GiB |", flush=True)


def served(folder: Path) -> list[str]:
    """Serve the run and return the items that a session of the pages gets."""
    start = time.perf_counter()
    server = drn(folder / "run", f"sqlite:///{folder}/store.sqlite")
    try:
        address = f"http://127.0.0.1:{server.port}/v1/sessions/s"
        for page in PAGES:
            head = {"Content-Type": "application/json"}
            visit = urllib.request.Request(f"{address}/visits", json.dumps({"page": page}).encode(), head)
            urllib.request.urlopen(visit, timeout=60).close()
        with urllib.request.urlopen(f"{address}/recommendations", timeout=60) as answer:
            found = json.load(answer)
        tell("serve run", start, server.memory() / 2**10)
    finally:
        server.stop()
    return [each["item"] for each in found["items"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=8_400_000)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    print(f"A table of {options.pages * options.width * 4 / 2**30:.2f} GiB\n")
    print("| command | time | most memory |\n|---|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "large.yaml").write_text(dump_spec(make_spec(options.pages, options.width)))
        run(folder, "generate", "large.yaml", "--init", "1", "-o", "generated")
        run(folder, "simulate", "-o", "log", "--sessions", "3000", "--seed", "1")
        run(folder, "sessions", "log/events.parquet", "--spec", "large.yaml", "--test-share", "0.1", "-o", "data")
        run(folder, "train", "large.yaml", "--data", "data", "-o", "run")
        said = run(folder, "recommend", "run", "--session", ",".join(PAGES), "--format", "json")
        run(folder, "export", "run", "--onnx", "elsewhere.onnx")
        print(f"| files of the model | {sorted(path.name for path in (folder / 'run/models/large/1').iterdir())} | |")
        asked = [each["item"] for each in json.loads(said)["items"]]
        assert served(folder)[: len(asked)] == asked, "what is served is not what drn recommend says"


if __name__ == "__main__":
    main()
