"""Settings of baselines chosen on the validation split."""

import numpy as np
import pytest
from histories import random_sessions, write

from generator.errors import DataError
from generator.evaluation import tuning
from generator.evaluation.baselines import choose
from generator.evaluation.evaluate import evaluate
from generator.evaluation.neighbours import VsKnn
from generator.evaluation.tuning import tuned


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(4)
    train, test, valid = (random_sessions(random, count, purchase=False) for count in (90, 20, 30))
    write(tmp_path, train, valid)
    (tmp_path / "test.h5").rename(tmp_path / "valid.h5")
    write(tmp_path, train, test)
    return tmp_path


def test_the_best_setting_by_validation_is_chosen(data):
    found = tuned(VsKnn(), data)
    settings = [{}, *VsKnn.grid]
    figures = [
        evaluate({}, data, [VsKnn(**one)], split="valid", replicates=2).methods[0].metrics["MRR@20"].value
        for one in settings
    ]
    assert found.choice.tried == len(settings)
    assert found.choice.value == pytest.approx(max(figures))
    assert found.settings == VsKnn(**settings[int(np.argmax(figures))]).settings


def test_the_defaults_are_tried_and_win_ties(data, monkeypatch):
    monkeypatch.setattr(VsKnn, "grid", ({"k": 600}, {"k": 500}))  # of 90 sessions: no other neighbours
    found = tuned(VsKnn(), data)
    assert (found.settings, found.choice.tried) == (VsKnn().settings, 3)


def test_of_many_rows_some_are_judged(data, monkeypatch):
    whole = tuned(VsKnn(), data)
    monkeypatch.setattr(tuning, "ROWS", 40)
    monkeypatch.setattr(tuning, "_BATCH", 10)
    some = tuned(VsKnn(), data)
    assert some.choice.tried == whole.choice.tried
    assert some.choice.value != whole.choice.value


def test_what_has_no_settings_is_left_alone(data):
    (popularity,) = choose("popularity")
    assert tuned(popularity, data) is popularity


def test_without_a_validation_part_one_line_says_how_to_get_it(data):
    (data / "valid.h5").unlink()
    with pytest.raises(DataError, match=r"has no validation split \(valid.h5\) .* of vs-knn on: write one by drn sess"):
        tuned(VsKnn(), data)
