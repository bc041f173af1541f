"""The journal: what was written is read back, what is not its own is refused."""

import json
import os
import subprocess
import sys

import pytest

from generator.errors import TrainingError
from generator.tuning.journal import Journal

IDENTITY = {"search": {"rnn.window": ["Number", {"low": 1}]}, "seed": 1}


def begun(path):
    with Journal(path, IDENTITY, resume=False) as journal:
        journal.add("generation", 0.5, generation=0)
        journal.add("result", 2.0, hash="a", rung=0, metrics={"MRR@20": 0.1}, size=9, error=None, tries=1)
        journal.add("latency", 3.0, hash="a", milliseconds=0.7)


def test_what_was_written_is_read_back(tmp_path):
    begun(tmp_path / "journal.jsonl")
    with Journal(tmp_path / "journal.jsonl", IDENTITY, resume=True) as journal:
        assert journal.results["a", 0]["metrics"] == {"MRR@20": 0.1}
        assert (journal.latencies, journal.begun, journal.seconds) == ({"a": 0.7}, {0}, 3.0)


def test_a_torn_line_is_cut_and_written_over(tmp_path):
    path = tmp_path / "journal.jsonl"
    begun(path)
    whole = path.read_bytes()
    for length in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:length])
        with Journal(path, IDENTITY, resume=True) as journal:
            journal.add("generation", 9.0, generation=7)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines[-1]["generation"] == 7
        assert len(lines) == whole[:length].count(b"\n") + 1


def test_a_journal_torn_in_its_first_line_begins_anew(tmp_path):
    path = tmp_path / "journal.jsonl"
    begun(path)
    path.write_bytes(path.read_bytes()[:5])
    with Journal(path, IDENTITY, resume=True) as journal:
        assert not journal.results
    assert json.loads(path.read_text())["identity"] == IDENTITY


def test_a_journal_of_another_search_is_refused_by_name(tmp_path):
    begun(tmp_path / "journal.jsonl")
    with pytest.raises(TrainingError, match="another search: search, seed differ"):
        Journal(tmp_path / "journal.jsonl", {"search": {}, "seed": 2}, resume=True)


def test_a_run_is_not_begun_over_another(tmp_path):
    begun(tmp_path / "journal.jsonl")
    with pytest.raises(TrainingError, match="holds a run already; go on with --resume"):
        Journal(tmp_path / "journal.jsonl", IDENTITY, resume=False)


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"kind": "result"}', '{"kind": "unheard", "seconds": 1}'])
def test_a_broken_line_is_named(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    begun(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with pytest.raises(TrainingError, match=r"journal\.jsonl:2: not a line of a journal"):
        Journal(path, IDENTITY, resume=True)


@pytest.mark.parametrize(("before", "after"), [('"seed":', '"seed":1'), ('"kind"', '"kinds"'), ("0.", "1.")])
def test_a_figure_that_was_changed_is_no_result(tmp_path, before, after):
    path = tmp_path / "journal.jsonl"
    begun(path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(TrainingError, match=r"journal\.jsonl:\d+: not a line of a journal.*crc32"):
        Journal(path, IDENTITY, resume=True)


def test_two_processes_cannot_hold_one_journal(tmp_path):
    path = tmp_path / "journal.jsonl"
    held = (
        "import sys; from pathlib import Path; from generator.tuning.journal import Journal\n"
        "try: Journal(Path(sys.argv[1]), {}, resume=True)\n"
        "except Exception as error: print(error)"
    )
    with Journal(path, {}, resume=False):
        done = subprocess.run([sys.executable, "-c", held, str(path)], capture_output=True, text=True, check=True)
    assert f"process {os.getpid()} is at work in this folder" in done.stdout
