"""Data folders with slots in real Caffe: the row after the known pages is read and trained as any other."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from caffe_process import Caffe
from caffe_runs import apart, both, small_spec

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.data.store.split import Split

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("loss", ["last", "every"])
def test_caffe_trains_on_sessions_with_slots_as_drn_does(caffe: Caffe, tmp_path: Path, loss: str) -> None:
    rng, rows = np.random.default_rng(0), []
    for session in range(120):
        pages = [f"p{page}" for page in rng.integers(0, 15, 6)]
        if session >= 60:
            pages[3] = f"new{session}"
        rows += [
            {"session": f"s{session}", "time": 1000 * session + step, "page": page, "event": "view"}
            for step, page in enumerate(pages)
        ]
    spec = small_spec(
        pages=20,
        items=20,
        net="rnn",
        rnn={"window": 2, "widths": [5], "history": 2},
        head={"tied": True, "mix": {"pages": 4}, "slots": 2},
        loss=loss,
        data={"target": "next"},
        solver={"max_iter": 60},
    )
    data = tmp_path / "data"
    build(pl.DataFrame(rows), data, spec, Options(division=Division(share=0.4, valid_share=0.1)))
    # Training sessions lose such pages; those of the test split, as a file to train on, have them.
    shutil.copy(data / "test.h5", data / "train.h5")
    with Split(data / "train.h5") as split:
        assert split.load(["page"])["page"].max() == 21
        assert split.load(["label"])["label"].max() <= 20
    ours, theirs, _ = both(caffe, spec, data, tmp_path / "run")
    assert ours["page_embedding"].shape == (22, 5)
    assert max(apart(ours, theirs).values()) <= 1e-5
