"""A thousand damaged inputs of each kind: no traceback, no hang. `campaign.py` runs as many as one likes."""

import random

import pytest
from fuzz.campaign import KINDS, Kind, damaged, run


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_input_is_taken_or_refused_in_words(kind):
    failures = run(kind, range(1000), seed=1)
    assert not failures, "\n\n".join(map(str, failures[:3]))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_input_is_taken(kind, tmp_path):
    """Else the campaign would show nothing: all would be refused at the door."""
    made = KINDS[kind](tmp_path)
    for content in made.seeds:
        made.read(content)


def test_a_case_is_the_same_each_time():
    seeds = [b"a: 1\nb: [2, 3]\n", b"c: d\n"]
    once, again = ([damaged(seeds, random.Random(f"{n}")) for n in range(50)] for _ in range(2))
    assert once == again
    assert len(set(once)) > 40


def test_a_traceback_and_a_hang_are_failures(monkeypatch):
    def fail(_content):
        raise KeyError("gone")

    def hang(_content):
        while True:
            pass

    monkeypatch.setattr("fuzz.campaign.SECONDS", 1)
    for read in (fail, hang):
        monkeypatch.setitem(KINDS, "broken", lambda _folder, read=read: Kind([b"x" * 40], read))
        (failure,) = run("broken", [7], seed=1)
        assert "--kind broken --seed 1 --only 7" in str(failure)
