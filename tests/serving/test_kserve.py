"""The Open Inference Protocol, driven by KServe's own client in a Python of its own."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from peers import peer_python

from generator.model.model import Model

HOW = "run tests/oracles/install_kserve.sh, or set DRN_KSERVE_PYTHON to a Python that can `import kserve`"


@pytest.fixture(scope="module")
def blobs():
    random = np.random.default_rng(3)
    sizes = {"page": 3, "history_page": 4, "history_weight": 4, "bought": 3, "bought_weight": 3}
    return {
        name: random.random((2, size), np.float32) if "weight" in name else random.integers(0, 20, (2, size))
        for name, size in sizes.items()
    }


@pytest.fixture(scope="module")
def said(drn, root, blobs, tmp_path_factory):
    """What the client got for all its calls."""
    python = peer_python(root, "DRN_KSERVE_PYTHON", ".kserve-venv", "KServe's client", HOW)
    tensors = tmp_path_factory.mktemp("kserve") / "tensors.npz"
    np.savez(tensors, **blobs)
    script = Path(__file__).with_name("kserve_client.py")
    command = [str(python), str(script), f"http://127.0.0.1:{drn.port}", str(tensors)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("check", ["live", "ready", "model"])
def test_health_is_read(said, check):
    assert said[check] is True


@pytest.mark.parametrize("way", ["00", "01", "10", "11"])
def test_tensors_go_and_come_in_json_and_binary(said, way, blobs, repository):
    wanted = Model(repository).scores(blobs)
    answer = said[way]
    assert (answer["id"], answer["model"]) == ("r7", "shop")
    np.testing.assert_allclose(np.reshape(answer["probability"], wanted.shape), wanted, rtol=1e-5)
    best = np.argsort(-wanted[:, 1:], kind="stable")[:, :5] + 1
    np.testing.assert_array_equal(np.reshape(answer["top_item"], best.shape), best)


def test_plain_dictionaries_are_taken(said):
    assert said["dict"] == "probability"


def test_what_is_wrong_reaches_the_user(said):
    assert "the input page is missing, '400 Bad Request'" in said["wrong input"]
    assert "not loaded, '404 Not Found'" in said["wrong name"]
