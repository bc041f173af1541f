"""A small Ray on this machine, and a small shop."""

import os
import tempfile
from pathlib import Path

import pytest

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.shop.simulator import Shop, simulate
from generator.spec import load_spec
from generator.spec.schema import Spec

SPEC = """
name: tiny
net: combined
pages: 300
items: 300
top_k: 20
rnn: {window: 3, widths: [8], history: 3}
fnn: {bought: 3, widths: [8]}
init: {table: {type: gaussian, std: 0.3}}
solver: {base_lr: 0.2, batch_size: 32, clip_gradients: 5, max_iter: 40, snapshot: 10, test_interval: 20, display: 1}
"""


@pytest.fixture(scope="session")
def cluster():
    """A Ray of two cores; its address."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'drn-recommender[scale]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # The workers import the tests' functions by name.
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (*Path(__file__).parents[1:3], Path(__file__).parent))))
        # Ray's sockets want a short path.
        with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
            ray.init(
                num_cpus=2,
                object_store_memory=200 * 2**20,
                include_dashboard=False,
                log_to_driver=False,
                _temp_dir=folder,
            )
            try:
                yield ray.get_runtime_context().gcs_address
            finally:
                ray.shutdown()


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Path:
    """The events of a simulated shop, events.parquet."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, Shop(sessions=1500, items=60, categories=5, users=200))
    return folder / "events.parquet"


@pytest.fixture(scope="session")
def spec_file(tmp_path_factory) -> Path:
    """SPEC in a file."""
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="session")
def spec(spec_file) -> Spec:
    """SPEC."""
    return load_spec(spec_file)


@pytest.fixture(scope="session")
def data(shop, spec, tmp_path_factory) -> Path:
    """The data folder of the shop, made on one machine."""
    folder = tmp_path_factory.mktemp("made") / "data"
    build([shop], folder, spec, Options(division=Division(valid_share=0.1)))
    return folder
