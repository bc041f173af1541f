"""The interface as mypy sees it: an ignore that is not needed is an error too, so that wrong calls stay wrong."""

import subprocess
import sys
from pathlib import Path


def test_the_examples_have_the_types_they_say(root, tmp_path):
    examples = Path(__file__).with_name("typing_examples.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "setup.cfg"), str(examples)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
