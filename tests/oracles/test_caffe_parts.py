"""Caffe trains on the parts of a split as on the whole."""

import random
from pathlib import Path

import pytest
from caffe_process import Caffe
from caffe_runs import apart, both, small_spec

from generator.data.build import Options, build
from generator.data.sessions.splits import Division
from generator.data.store import parts

pytestmark = pytest.mark.oracle


def test_caffe_reads_a_list_of_parts(caffe: Caffe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 90 rows in parts of 20, in batches of 8 that reach from one part into the next.
    draw, rows = random.Random(1), []
    for session in range(100):
        pages = [f"p{draw.randrange(15)}" for _ in range(4)]
        for step, (page, event) in enumerate([*((page, "view") for page in pages), (pages[0], "buy")]):
            rows.append(f"u{session % 9},{1700000000 + 7200 * session + step},{page},{event}")
    (tmp_path / "log.csv").write_text("user,time,page,event\n" + "\n".join(rows) + "\n")
    monkeypatch.setattr(parts, "LIMIT", 40)
    spec = small_spec(solver={"max_iter": 12})
    build([tmp_path / "log.csv"], tmp_path / "data", spec, Options(division=Division(share=0.1)))
    ours, theirs, _ = both(caffe, spec, tmp_path / "data", tmp_path / "run")
    assert len((tmp_path / "run/train.txt").read_text().split()) == 5
    assert max(apart(ours, theirs).values()) <= 1e-5
