"""`drn evaluate` and `drn recommend` as a user runs them, each in a process of its own."""

import json
import os
import re
import subprocess
import sys

import pytest
from shoppers import ITEMS, TEST, write_model, write_part
from trained_run import write_run


def drn(*arguments, stdin="", **environment):
    return subprocess.run(
        [sys.executable, "-m", "generator", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environment,
        timeout=120,
        check=False,
    )


def test_evaluate_prints_a_table_and_draws(folder, run):
    done = drn("evaluate", run, "--data", folder)
    assert done.returncode == 0, done.stderr
    assert "5 rows of 5 sessions, 4 items; 1 rows ask for an item that has no id" in done.stdout
    for word in ("HR@1 ", "HR@5", "HR@10", "HR@20", "MRR@20", "NDCG@20", "tiny", "popularity", "frequency", "±"):
        assert word in done.stdout
    assert (run / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_prints_json_for_machines(folder, run, tmp_path):
    done = drn(
        "evaluate", run, "--data", folder, "--format", "json", "--baselines", "all", "--plot", tmp_path / "x.png"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [method["name"] for method in report["methods"]][:2] == ["tiny", "popularity"]
    assert len(report["methods"][0]["metrics"]) == 22
    assert (tmp_path / "x.png").exists()
    assert not (run / "evaluation.png").exists()


def test_evaluate_says_what_is_recommended_and_which_settings_were_chosen(folder):
    arguments = ("evaluate", "--data", folder, "--baselines", "recency,vs-knn", "--tune-baselines", "--no-plot")
    done = drn(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no validation split (valid.h5) to choose the settings of vs-knn on" in done.stderr
    write_part(folder / "valid.h5", TEST)
    done = drn(*arguments)
    assert done.returncode == 0, done.stderr
    assert "coverage@20" in done.stdout
    assert re.search(r"^vs-knn: k \d+, sample \d+, .*; of \d settings the best, MRR@20 0\.\d{4} on", done.stdout, re.M)
    report = json.loads(drn(*arguments, "--format", "json").stdout)
    assert [method["choice"] is None for method in report["methods"]] == [True, False]
    assert report["methods"][1]["settings"]["power"] in (1, 2)


def test_evaluate_ranks_ties_as_asked(folder):
    found = {}
    for ties in ("standard", "median", "conservative"):
        done = drn("evaluate", "--data", folder, "--baselines", "popularity", "--ties", ties, "--format", "json")
        found[ties] = json.loads(done.stdout)["methods"][0]["metrics"]["MRR@20"]["value"]
    # Of the labels c b a ? z the popularity ranks b first, c second, and a and z, which tie, third and fourth.
    ranks = {"standard": 3, "median": 3.5, "conservative": 4}
    assert found == {ties: pytest.approx((1 / 2 + 1 + 2 / rank) / 5) for ties, rank in ranks.items()}


def test_evaluate_needs_no_run_for_baselines(folder):
    done = drn("evaluate", "--data", folder, "--baselines", "recency")
    assert done.returncode == 0, done.stderr
    assert "recency" in done.stdout
    assert not list(folder.glob("*.png"))


def test_evaluate_names_runs_that_share_a_name_by_their_path(folder, run, tmp_path):
    write_model(tmp_path / "second" / "models" / "tiny" / "1" / "model.onnx", seed=2)
    second = tmp_path / "second"
    done = drn("evaluate", run, second, "--data", folder, "--baselines", "none", "--format", "json", "--no-plot")
    assert [method["name"] for method in json.loads(done.stdout)["methods"]] == ["run", "second"]
    assert not (run / "evaluation.png").exists()


def test_an_index_is_ranked_beside_the_run(folder, tmp_path):
    """Of four items it scores all, so that nothing is lost."""
    vocabularies = {name: (folder / name).read_text() for name in ("pages.txt", "items.txt")}
    pages, items = (len(labels.splitlines()) for labels in vocabularies.values())
    write_run(tmp_path / "net", pages=pages, items=items, top_k=2)
    for name, labels in vocabularies.items():
        (tmp_path / "net" / "models" / "small" / "1" / name).write_text(labels)
    pytest.importorskip("faiss", reason="faiss is not installed: pip install 'drn-recommender[index]'")
    run = tmp_path / "net"
    done = drn("evaluate", run, "--data", folder, "--index", "--baselines", "none", "--format", "json", "--no-plot")
    assert done.returncode == 0, done.stderr
    plain, indexed = json.loads(done.stdout)["methods"]
    assert (plain["name"], indexed["name"]) == ("small", "small index")
    assert plain["metrics"] == indexed["metrics"]


def test_without_matplotlib_one_line_says_so(folder, run, tmp_path):
    (tmp_path / "absent" / "matplotlib").mkdir(parents=True)
    (tmp_path / "absent" / "matplotlib" / "__init__.py").write_text("raise ImportError('not here')\n")
    environment = {"PYTHONPATH": str(tmp_path / "absent")}
    done = drn("evaluate", run, "--data", folder, **environment)
    assert done.returncode == 0
    assert (
        done.stderr.strip()
        == "no plot: a plot needs matplotlib, which is not installed: pip install 'drn-recommender[eval]'"
    )
    done = drn("evaluate", run, "--data", folder, "--plot", tmp_path / "x.png", **environment)
    assert done.returncode == 2
    assert done.stderr.strip() == "a plot needs matplotlib, which is not installed: pip install 'drn-recommender[eval]'"


@pytest.mark.parametrize(
    "arguments", [["absent", "--data", "."], ["--data", "absent"], ["--data", ".", "--baselines", "x"]]
)
def test_evaluate_with_wrong_use_exits_2_in_one_line(tmp_path, arguments):
    done = drn("evaluate", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_what_is_of_a_run_wants_one(tmp_path):
    for option in ("--index", "--int8"):
        done = drn("evaluate", "--data", tmp_path, option)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"Error: {option} is of a run: give one")


def test_recommend_shows_a_table_with_bars(run):
    done = drn("recommend", run, "--session", "a:5,b:60,?", "--bought", "i9", "-k", "3", PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr
    assert sum(any(f" {item} " in line for item in ITEMS) and "█" in line for line in done.stdout.splitlines()) >= 1
    assert "1 of the pages left out" in done.stderr
    assert "1 of the purchases left out" in done.stderr


def test_recommend_answers_json_for_one_session(run):
    done = drn("recommend", run, "--session", "a", "--format", "json", "-k", "4")
    answer = json.loads(done.stdout)
    assert {one["item"] for one in answer["items"]} == set(ITEMS)
    assert sum(one["probability"] for one in answer["items"]) < 1


def test_recommend_answers_lines_and_names_those_that_do_not_hold(run):
    lines = '{"session": [["a", 5], ["b", 60]], "bought": ["z"]}\n\nno json\n{"session": ["a", "b"]}\n'
    done = drn("recommend", run, stdin=lines)
    assert done.returncode == 1
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["line"] for answer in answers] == [1, 4]
    assert all(len(answer["items"]) == 2 for answer in answers)
    assert done.stderr.startswith("line 3: this is no JSON")


def test_recommend_with_wrong_use_exits_2(run, tmp_path):
    assert drn("recommend", run, "--session", "a:b").returncode == 2
    assert drn("recommend", tmp_path / "absent", "--session", "a").returncode == 2
    assert drn("recommend", run, "--session", "a", "-k", "0").returncode == 2
