"""Other programs that read Caffe's files: the portable nets as real Caffe has them, and which constructs each takes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from caffe_probes import NAMES, column, construct_probes, portable_probes, table, written_table
from reading import command, read_caffe
from trained_run import write_run

from generator.export.caffe import export_caffe
from generator.model.model import Model
from generator.model.query import Query

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def portable(root, caffe, tmp_path_factory):
    return portable_probes(root, caffe, tmp_path_factory.mktemp("portable"))


@pytest.fixture(scope="module")
def constructs(caffe, tmp_path_factory):
    return construct_probes(caffe, tmp_path_factory.mktemp("constructs"))


@pytest.mark.parametrize("reader", ["opencv", "mnn"])
def test_portable_nets(root, portable, tmp_path, reader):
    _, found = read_caffe(root, reader, [probe.net for probe in portable], tmp_path)
    for probe, theirs in zip(portable, found, strict=True):
        assert not isinstance(theirs, str), f"{probe.net.prototxt}: {theirs}"
        np.testing.assert_allclose(theirs, probe.expected, rtol=1e-5, atol=1e-8, err_msg=probe.what)


@pytest.mark.parametrize("reader", NAMES)
def test_the_table_of_constructs_is_what_the_readers_do(root, portable, constructs, tmp_path, reader):
    """docs/readers.md has a row a construct and a column a reader; a reader that changes changes it."""
    found = column(root, reader, [*portable, *constructs], tmp_path)
    assert found in written_table(root), f"docs/readers.md should have this column:\n{table([found])}"


def test_the_example_of_the_documentation(root, tmp_path):
    """A trained net's answers in OpenCV, by the ten lines that docs/readers.md shows."""
    packages = subprocess.run(
        [command(root, "opencv")[0], "-c", "import sys, cv2; print(sys.version_info[:2], cv2.__path__[0])"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if not packages.startswith(str(sys.version_info[:2])):
        pytest.skip("OpenCV is installed for another Python than drn")
    write_run(tmp_path / "run")
    pages = ["home", "cat-1", *(f"item-{number}" for number in range(5, 15))]
    (tmp_path / "run" / "models" / "small" / "1" / "pages.txt").write_text("\n".join(pages) + "\n")
    export_caffe(tmp_path / "run", tmp_path / "caffe")
    paths = os.pathsep.join([str(root), str(Path(packages.split()[-1]).parent)])
    example = Path(__file__).with_name("opencv_session.py")
    said = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    query = Query([("home", 5), ("cat-1", 20), ("item-12", 90)], bought=["item-3"])
    (answer,) = Model(tmp_path / "run").recommend([query], 5)
    assert said.stdout.splitlines() == [f"{item} {round(p, 4)}" for item, p in answer.items]
