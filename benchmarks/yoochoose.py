"""The YooChoose slice of ../shared/data, for the benchmarks that read it."""

import subprocess
import sys
from pathlib import Path

__all__ = ["LOGS", "TUNED", "make_data"]

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT.parent / "shared" / "data" / "yoochoose-100k"
TUNED = ROOT / "arch_specs" / "yoochoose-tuned.yaml"


def make_data(folder: Path) -> Path:
    """Write the data folder for the tuned spec, and return it."""
    command = [sys.executable, "-m", "generator", "sessions", LOGS / "train_full.tsv.gz"]
    command += ["--test", LOGS / "test.tsv.gz", "--log-format", "session-rec", "--spec", TUNED, "-o", folder]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder
