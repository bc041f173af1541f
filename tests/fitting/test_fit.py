"""`drn fit` as a process, on small logs, from end to end; killed and resumed; refused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from selenium import webdriver
from served import Drn

import generator as drn
from generator.evaluation.evaluate import evaluate
from generator.files import resource
from generator.fitting.choose import Candidate
from generator.fitting.fit import fit
from generator.fitting.journal import LOCK
from generator.fitting.options import FitOptions, Listener
from generator.fitting.result import Fit
from generator.fitting.select import Selected
from generator.jobs.locks import locked
from generator.model.model import Model
from generator.model.query import Query
from generator.spec import load_spec

BRIEF = ["--set", "solver.batch_size=32"]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def fitted(shop_csv, run_drn, tmp_path_factory):
    """A folder in which `drn fit` has made the folder shop; and what it printed."""
    folder = tmp_path_factory.mktemp("fit")
    return folder, run_drn("fit", shop_csv, "-o", "shop", *BRIEF, folder=folder)


def test_the_folder_is_a_run_whose_figures_are_those_of_evaluate(fitted):
    folder, done = fitted
    shop = folder / "shop"
    spec = load_spec(shop / "spec.yaml")
    assert (spec.data.target, spec.items, spec.name) == ("purchase", 40, "shop-log")
    assert (shop / "models/shop-log/1/model.onnx").is_file()
    held = json.loads((shop / "fit.json").read_text())["stages"]["compare"]["report"]
    model = Model(shop)
    report = evaluate({"net": model}, shop / "data")
    own = next(each for each in held["methods"] if each["kind"] == "model")
    assert own["metrics"]["MRR@20"]["value"] == report["net"]["MRR@20"].value
    assert f"{own['metrics']['MRR@20']['value']:.3f}" in done.stdout
    assert "serve it: drn serve shop" in done.stdout
    assert not (shop / "trials/log").exists()


def test_what_was_bought_is_learned(fitted):
    """The item bought is one or two after the last viewed: a net that learned it is ahead of the rules of views."""
    folder, _ = fitted
    held = json.loads((folder / "shop/fit.json").read_text())["stages"]["compare"]["report"]
    figures = {each["name"]: each["metrics"]["HR@5"]["value"] for each in held["methods"]}
    assert figures["shop-log"] > max(figures["popularity"], figures["last-view"], figures["recency"])
    assert figures["shop-log"] > 0.8
    (answer,) = Model(folder / "shop").recommend([Query([("item-7", 5.0), ("item-8", 5.0), ("item-9", 5.0)])], top=5)
    assert {"item-10", "item-11"} & {item for item, _ in answer.items}


def test_the_server_takes_the_folder(fitted, tmp_path):
    folder, _ = fitted
    server = Drn(folder / "shop", f"sqlite:///{tmp_path / 'store.sqlite'}")
    try:
        server.visit("a", "item-7")
        status, answer = server("GET", "/v1/sessions/a/recommendations?k=3")[:2]
    finally:
        server.stop()
    assert status == 200
    assert len(answer["items"]) == 3


def test_the_report_shows_all_and_asks_nobody(fitted, tmp_path):
    if not shutil.which("chromedriver"):
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        page = (fitted[0] / "shop/report.html").as_uri()
        browser.get(page)
        headings = browser.execute_script("return [...document.querySelectorAll('h2')].map((one) => one.textContent)")
        shown = browser.execute_script("return [...document.querySelectorAll('#sessions tr')].length")
        drawn = browser.execute_script(
            "return [...document.querySelectorAll('svg')].map((one) => one.getBoundingClientRect().height)"
        )
        complaints = browser.get_log("browser")
        requests = [
            message["params"]["request"]["url"]
            for entry in browser.get_log("performance")
            if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
        ]
    finally:
        browser.quit()
    assert headings == [
        "The log",
        "The net",
        "Learning",
        "Hit rate by K",
        "By length of the session",
        "By popularity of the item",
        "Ten sessions",
        "From here",
    ]
    assert shown == 11
    assert len(drawn) == 5
    assert min(drawn) > 20
    # The browser's own page, before this one, is of chrome://.
    assert [url for url in requests if not url.startswith(("chrome://", "data:"))] == [page]
    assert complaints == []


def wait_for(process: "subprocess.Popen[bytes]", happened) -> None:
    while process.poll() is None and not happened():
        os.sched_yield()


def test_a_fit_killed_again_and_again_ends_with_the_same_bytes(fitted, shop_csv, tmp_path):
    whole, shop = fitted[0] / "shop", tmp_path / "shop"
    command = [sys.executable, "-m", "generator", "fit", str(shop_csv), "-o", "shop", *BRIEF]

    def written(stage: str):
        return lambda: (shop / "fit.json").exists() and f'"{stage}": ' in (shop / "fit.json").read_text()

    moments = [
        lambda: (shop / "trials/.log").exists() or (shop / "fit.json").exists(),  # while the log is read
        lambda: any((shop / "trials/usual/snapshots").glob("*.solverstate")),  # in a trial
        written("judge"),
        written("plan"),  # while the data are written
        lambda: any((shop / "snapshots").glob("*_iter_*[1-9]*.solverstate")),  # in the training
        written("train"),  # while it is compared
    ]
    for number, moment in enumerate(moments):
        resumed = ["--resume"] if number else []
        process = subprocess.Popen(
            [*command, *resumed], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        wait_for(process, moment)
        process.send_signal(signal.SIGKILL)
        _, complaint = process.communicate()
        assert process.returncode == -signal.SIGKILL, complaint.decode()
    done = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("models/shop-log/1/model.onnx", "spec.yaml", "report.html"):
        assert (shop / name).read_bytes() == (whole / name).read_bytes(), name
    assert {path.name for path in shop.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_fit_that_is_done_is_told_again_and_not_begun_anew(fitted, shop_csv, run_drn):
    folder, done = fitted
    before = {path: path.stat().st_mtime_ns for path in (folder / "shop/models").rglob("*")}
    again = run_drn("fit", shop_csv, "-o", "shop", *BRIEF, "--resume", folder=folder)
    assert again.stdout == done.stdout
    assert {path: path.stat().st_mtime_ns for path in (folder / "shop/models").rglob("*")} == before
    refused = run_drn("fit", shop_csv, "-o", "shop", *BRIEF, folder=folder, status=2)
    assert refused.stderr == "shop: holds a fit already; go on with --resume, or take another folder\n"
    other = run_drn("fit", shop_csv, "-o", "shop", "--seed", "7", "--resume", folder=folder, status=2)
    assert "was begun with another set, seed" in other.stderr


def test_a_stop_in_training_is_gone_on_from(shop_csv, tmp_path):
    command = [sys.executable, "-m", "generator", "fit", str(shop_csv), "-o", "shop", "--set", "solver.max_iter=20000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(process, lambda: any((tmp_path / "shop/trials/usual/snapshots").glob("*.solverstate")))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    assert told.decode().splitlines()[-1] == "shop: stopped; go on with --resume"


def test_a_dry_run_says_what_it_understood_and_writes_the_spec_alone(news_jsonl, run_drn, tmp_path):
    done = run_drn("fit", news_jsonl, "-o", "news", "--dry-run", folder=tmp_path)
    assert "columns: user=cookie_id, time=event_time, page=article_id" in done.stderr
    assert "times: dates, from 2023-11-14" in done.stderr
    assert "% of the labels new" in done.stderr
    assert [path.name for path in (tmp_path / "news").iterdir()] == ["spec.yaml"]
    assert load_spec(tmp_path / "news/spec.yaml").data.target == "next"
    spec = run_drn("spec", news_jsonl, "-o", "news.yaml", folder=tmp_path)
    assert spec.stdout == ""
    assert (tmp_path / "news.yaml").read_text() == (tmp_path / "news/spec.yaml").read_text()
    run_drn("generate", "news.yaml", "-o", "generated", folder=tmp_path)
    run_drn("fit", news_jsonl, "-o", "news", *BRIEF, "--set", "solver.max_iter=20", folder=tmp_path)


def test_a_table_is_fitted_from_python(news_jsonl, tmp_path):
    notes = []
    found = drn.fit(
        pl.read_ndjson(news_jsonl), tmp_path / "news", overrides=["solver.max_iter=30"], note=notes.append, name="news"
    )
    assert found.figure("news", "HR@20") > found.figure("popularity", "HR@20") > 0
    assert found.verdict().split(" is ")[0] == "news"
    assert any(note.startswith("MRR@20 on the validation part: ") for note in notes)
    assert drn.recommend(tmp_path / "news", ["item-3"], k=2).items


def test_the_minutes_bound_the_training(shop_csv, tmp_path):
    notes = []
    options = FitOptions(minutes=0.02, overrides=("solver.max_iter=100000", "solver.batch_size=4096"))
    found = fit([shop_csv], tmp_path / "shop", options, listener=Listener(notes.append))
    assert found.spec.solver.max_iter < 100_000
    assert any("0.02 minutes hold" in note for note in notes)
    assert "what 0.02 minutes hold" in (tmp_path / "shop/spec.yaml").read_text()


def test_a_rule_that_cannot_be_beaten_is_leaned_on(tmp_path, run_drn):
    """The item viewed most often is bought, of equals the one viewed last: a net can only do as well."""
    draw, rows = random.Random(3), ["session,time,item,event"]
    for session in range(1500):
        pool, now = draw.sample(range(400), draw.randint(2, 5)), 1_700_000_000 + 3600 * session
        viewed = draw.choices(pool, k=draw.randint(3, 9))
        latest = {item: step for step, item in enumerate(viewed)}
        bought = max(pool, key=lambda item: (viewed.count(item), latest.get(item, -1)))
        if draw.random() < 0.15:
            bought = draw.randrange(400)
        for item, event in [*((item, "view") for item in viewed), (bought, "buy")]:
            rows.append(f"s{session},{now},i{item},{event}")
            now += draw.randint(1, 600)
    (tmp_path / "log.csv").write_text("\n".join(rows))
    done = run_drn("fit", "log.csv", "-o", "shop", "--set", "solver.max_iter=50", folder=tmp_path)
    stages = json.loads((tmp_path / "shop/fit.json").read_text())["stages"]
    figures = {each["name"]: each["metrics"]["MRR@20"]["value"] for each in stages["lean"]["report"]["methods"]}
    tried = {each["name"] for each in stages["judge"]["report"]["methods"] if each["kind"] == "model"}
    assert max(figures[name] for name in tried) < figures["frequency"] <= figures["near-frequency"]
    assert figures["like-frequency"] == pytest.approx(figures["frequency"], abs=1e-3)
    assert "on the validation part frequency was ahead of every net, so the mixture leans on it" in done.stdout
    assert "log is level with frequency, the best rule on the test part" in done.stdout
    assert "which was ahead of every net on the validation part" in (tmp_path / "shop/spec.yaml").read_text()
    assert "Those named near and like a rule are" in (tmp_path / "shop/report.html").read_text()


def test_a_rule_that_no_mixture_ranks_as_is_named_with_its_lead():
    def method(name, kind, value):
        return {"name": name, "kind": kind, "metrics": {"MRR@20": {"value": value}}}

    report = {"methods": [method("usual", "model", 0.31), method("vstan", "baseline", 0.334)]}
    candidate = Candidate("usual", load_spec(resource("arch_specs") / "shop.yaml"), {})
    found = Fit(Path("shop"), None, candidate.spec, Selected(candidate, report, "vstan", "", 1.0, 1.0, 1.0), {})
    assert found.behind() == (
        "on the validation part vstan is ahead of the net by 0.024 MRR@20, and no mixture ranks as it does: try "
        "--tune or more minutes"
    )


def test_what_is_new_each_day_is_recommended_once_it_was_viewed(tmp_path, run_drn):
    """Whoever buys takes an item that came into the shop that day: training knows none of those of the last days."""
    rows = ["session,time,item,event"]
    for session in range(900):
        day, now = session // 30, 1_700_000_000 + 86400 * (session // 30) + 60 * (session % 30)
        viewed = [f"day{day}-{(session * 7 + step) % 5}" for step in range(3)]
        rows += [f"s{session},{now + step},{item},view" for step, item in enumerate(viewed)]
        rows.append(f"s{session},{now + 9},{viewed[session % 3]},buy")
    (tmp_path / "log.csv").write_text("\n".join(rows))
    run_drn("fit", "log.csv", "-o", "shop", "--set", "solver.max_iter=30", folder=tmp_path)
    assert load_spec(tmp_path / "shop/spec.yaml").slots > 0
    held = json.loads((tmp_path / "shop/fit.json").read_text())["stages"]["compare"]["report"]
    figures = {each["name"]: each["metrics"]["HR@5"]["value"] for each in held["methods"]}
    assert figures["log"] > 0.9 > figures["popularity"]
    report = (tmp_path / "shop/report.html").read_text()
    assert "new page 1 → new page 2" in report
    assert "Pages that training never saw are numbered by session" in report


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "empty.csv: the file is empty"),
        ("header.csv", "user,time,page\n", "header.csv: has no rows"),
        ("none.csv", None, "none.csv: no such file"),
        ("names.csv", "a,b\n1,2\n", "names.csv: has the columns a, b, and none has a known name"),
        ("one.csv", "session,page\ns,x\n", "no session of the 1 gives a row for target next"),
        (
            "few.csv",
            "session,page,event\n" + "".join(f"s{n},x,view\ns{n},x,buy\n" for n in range(9)),
            "none has two views; --target purchase takes the 9 purchases there are",
        ),
    ],
)
def test_a_log_that_does_not_hold_is_one_line_and_leaves_nothing(tmp_path, run_drn, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    done = run_drn("fit", name, "-o", "out", folder=tmp_path, status=2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert run_drn("spec", name, folder=tmp_path, status=2).stderr == done.stderr


def test_a_command_put_right_is_taken(shop_csv, tmp_path, run_drn):
    """Neither a field that does not hold nor one fit refuses begins a fit."""
    for field, message in (("rnn.window=0", "0 is too small"), ("ensemble=2", "--set ensemble=2 -o ANOTHER")):
        done = run_drn("fit", shop_csv, "-o", "out", "--set", field, folder=tmp_path, status=2)
        assert message in done.stderr
        assert not (tmp_path / "out").exists()


def test_a_dry_run_leaves_a_fit_and_a_run_as_they_are(fitted, shop_csv, tmp_path, run_drn):
    folder, _ = fitted
    spec = (folder / "shop/spec.yaml").read_bytes()
    done = run_drn("fit", shop_csv, "-o", "shop", "--dry-run", folder=folder, status=2)
    assert done.stderr == "shop: holds a fit already; go on with --resume, or take another folder\n"
    assert (folder / "shop/spec.yaml").read_bytes() == spec
    (tmp_path / "run").mkdir()
    (tmp_path / "run/train.txt").write_text("")
    done = run_drn("fit", shop_csv, "-o", "run", "--dry-run", folder=tmp_path, status=2)
    assert done.stderr == "run: is not empty and holds no fit; take a new folder\n"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"rows": ', '"rows": 1', "is not as drn fit wrote it: damaged, or changed"),
        ('"asked"', '"was"', "is not as drn fit wrote it: damaged, or changed"),
        ('"sha256"', '"sha"', "is no journal of a fit"),
        ("{", "[", "is no journal of a fit"),
    ],
)
def test_a_journal_that_is_not_as_it_was_written_is_refused(
    fitted, shop_csv, tmp_path, run_drn, before, after, message
):
    shutil.copytree(fitted[0] / "shop", tmp_path / "shop")
    text = (tmp_path / "shop/fit.json").read_text()
    assert before in text
    (tmp_path / "shop/fit.json").write_text(text.replace(before, after, 1))
    done = run_drn("fit", shop_csv, "-o", "shop", *BRIEF, "--resume", folder=tmp_path, status=2)
    assert done.stderr.startswith(f"shop/fit.json: {message}")


def test_two_do_not_fit_in_one_folder(fitted, shop_csv, run_drn):
    folder, _ = fitted
    with locked(folder / "shop", name=LOCK):
        done = run_drn("fit", shop_csv, "-o", "shop", *BRIEF, "--resume", folder=folder, status=2)
    assert done.stderr == (
        f"shop: process {os.getpid()} is at work in this folder; wait for its end, or take another folder\n"
    )


def test_no_purchases_names_the_words_met(tmp_path, run_drn):
    rows = "".join(f"s{n // 3},{1_700_000_000 + n},p{n % 7},{'click' if n % 5 else 'basket'}\n" for n in range(300))
    (tmp_path / "log.csv").write_text(f"session,time,page,event\n{rows}")
    done = run_drn("fit", "log.csv", "-o", "out", "--target", "purchase", folder=tmp_path, status=2)
    assert "the log has no purchase for --target purchase: its events are click (240), basket (60)" in done.stderr
