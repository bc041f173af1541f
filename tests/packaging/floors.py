"""Print what setup.cfg requires at its published floors, a requirement a line: `python floors.py [EXTRA]...`."""

import configparser
import re
import sys
from pathlib import Path


def floors(extras: list[str]) -> list[str]:
    """Return the requirements of drn and of some extras, each at the lowest version that they allow."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).resolve().parents[2] / "setup.cfg")
    listed = [config["options"]["install_requires"], *(config["options.extras_require"][extra] for extra in extras)]
    names = [line.partition(";")[0].strip() for text in listed for line in text.splitlines()]
    return [re.sub(r">=([^,]*).*", r"==\1", name) for name in names if name]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in floors(sys.argv[1:])))
