"""Real Triton reads what drn writes, and one client gets the same of both.

Its backend for ONNX is not in the wheel, so the line ``backend`` of config.pbtxt names the one for Python, which runs
the model by onnxruntime; all else is as drn wrote it.
"""

import shutil
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from served import Process, free_port, wait_for

pytestmark = pytest.mark.oracle

SIZES = {"page": 3, "history_page": 4, "history_weight": 4, "bought": 3, "bought_weight": 3}
OUTPUTS = ("probability", "top_item", "top_probability")


def program(root: Path) -> Path:
    """Triton's server; the tests are skipped, loudly, where it is not installed."""
    found = next(root.glob(".triton-venv/lib/python3*/site-packages/pytriton/tritonserver"), None)
    if found is None:
        how = "Triton is not here: run tests/oracles/install_triton.sh"
        warnings.warn(f"{how}; its tests are SKIPPED", stacklevel=1)
        pytest.skip(how)
    return found


def is_ready(client) -> bool:
    with suppress(ConnectionRefusedError):
        return client.is_model_ready("shop")
    return False


@pytest.fixture(scope="module")
def server(root, repository, tmp_path_factory):
    """Its client, at the repository of the running service."""
    folder, port = program(root), free_port()
    copy, backends = (tmp_path_factory.mktemp("triton") / name for name in ("repository", "backends"))
    shutil.copytree(repository, copy)
    shutil.copytree(folder / "backends", backends)
    version = folder.parents[2].name.removeprefix("python")
    shutil.copy(folder / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    config = copy / "shop" / "config.pbtxt"
    text = config.read_text()
    assert text.count('backend: "onnxruntime"') == 1
    config.write_text(text.replace('backend: "onnxruntime"', 'backend: "python"'))
    packages = [str(folder.parents[1])]  # where its Python shall find onnxruntime, and a numpy that it can read
    model = Path(__file__).with_name("triton_model.py").read_text()
    (copy / "shop" / "1" / "model.py").write_text(f"import sys\n\nsys.path[:0] = {packages}\n{model}")
    command = [folder / "bin" / "tritonserver", "--model-repository", copy, "--backend-directory", backends]
    options = f"--http-port {port} --http-address 127.0.0.1 --allow-grpc 0 --allow-metrics 0"
    command += [*options.split(), "--disable-auto-complete-config"]
    libraries = str(folder.parents[1] / "nvidia_pytriton.libs")
    process = Process([*map(str, command)], "Started HTTPService", LD_LIBRARY_PATH=libraries)
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        wait_for(partial(is_ready, client))  # it says that it has started a moment before it has
        yield client
    process.stop()


@pytest.fixture(scope="module")
def both(server, drn):
    with triton.InferenceServerClient(f"127.0.0.1:{drn.port}") as client:
        yield server, client


def test_metadata_is_the_same(both):
    theirs, ours = (client.get_model_metadata("shop") for client in both)
    for side in ("inputs", "outputs"):
        shapes = [{one["name"]: (one["datatype"], one["shape"]) for one in found[side]} for found in (theirs, ours)]
        assert shapes[0] == shapes[1]
    assert theirs["versions"] == ours["versions"] == ["1"]
    assert both[0].get_model_config("shop")["max_batch_size"] == 1024


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("count", [1, 7])
def test_answers_are_the_same(both, count, binary):
    random = np.random.default_rng(count)
    tensors = []
    for name, size in SIZES.items():
        drawn = random.random((count, size), np.float32), random.integers(0, 20, (count, size))
        tensor = triton.InferInput(name, [count, size], "FP32" if "weight" in name else "INT64")
        tensor.set_data_from_numpy(drawn["weight" not in name], binary_data=binary)
        tensors.append(tensor)
    outputs = [triton.InferRequestedOutput(name, binary) for name in OUTPUTS]
    theirs, ours = (client.infer("shop", tensors, outputs=outputs) for client in both)
    np.testing.assert_array_equal(theirs.as_numpy("top_item"), ours.as_numpy("top_item"))
    for name in ("probability", "top_probability"):
        np.testing.assert_allclose(theirs.as_numpy(name), ours.as_numpy(name), rtol=1e-5)
