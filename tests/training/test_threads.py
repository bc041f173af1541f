"""Where a net is trained: how many threads, by its size alone, and on which of onnxruntime's providers."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from generator.spec import dump_spec
from generator.spec.schema import Spec
from generator.training.engine.graph import threads_for


def test_a_small_net_gets_one_thread_and_a_large_one_all():
    hidden = {"hidden1_recurrent_weight": (64, 64), "hidden2_input_weight": (64, 64), "page_embedding": (2001, 64)}
    # 64 rows · 3 · (4 columns · 2 · 64² + 501 · 64) = 12 million products; the table is only looked up.
    assert threads_for(hidden | {"output_rnn_weight": (501, 64)}, 64, 4, every=False) == 1
    # 64 · 3 · (.03 + .51 million) = 105 million.
    assert threads_for(hidden | {"output_rnn_weight": (8001, 64)}, 64, 4, every=False) == 0
    # The output read at each of 4 states, and a tied one: 64 · 3 · 4 · .13 million = 98 million.
    assert threads_for(hidden, 64, 4, every=True) == 0
    assert threads_for(hidden, 64, 4, every=False) == 1


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here")
def test_a_provider_that_is_absent_is_named_beside_those_that_are_there(
    tmp_path: Path, make_data: Callable[..., Path], make_spec: Callable[..., Spec]
) -> None:
    (tmp_path / "spec.yaml").write_text(dump_spec(make_spec()))
    command = [sys.executable, "-m", "generator", "train", "spec.yaml", "--data", str(make_data()), "-o", "run"]
    done = subprocess.run([*command, "--provider", "cuda"], capture_output=True, text=True, cwd=tmp_path, check=False)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, said
    assert f"has no CUDAExecutionProvider, but {', '.join(onnxruntime.get_available_providers())}" in said
    assert "pip install onnxruntime-gpu" in said
    assert not (tmp_path / "run").exists()
