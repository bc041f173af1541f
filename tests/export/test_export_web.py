"""The page that needs no server of drn's, in a real Chromium: the items of `drn recommend`, nothing from elsewhere."""

import json
import random
import shutil
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait
from trained_run import write_run

from generator.errors import ModelError
from generator.export.web import RUNTIME_FILES, export_web
from generator.model.model import Model
from generator.model.query import Query

SESSIONS = 100
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
)


@pytest.fixture(scope="session")
def runtime(root):
    """onnxruntime-web as npm gives it."""
    folder = root / ".readers-node" / "node_modules" / "onnxruntime-web"
    if not folder.is_dir():
        warnings.warn("onnxruntime-web is not here: run tests/oracles/install_readers.sh", stacklevel=1)
        pytest.skip("onnxruntime-web is not here: run tests/oracles/install_readers.sh")
    return folder


# The paper's net, and one that mixes what the session has seen with it, pages among them that no training has.
MIXED = {"pages": 50, "head": {"tied": True, "projection": True, "mix": {"pages": 5, "newest": 2}, "slots": 3}}


@pytest.fixture(scope="module", params=[{"pages": 60}, MIXED], ids=["plain", "mixed"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "run"
    write_run(folder, items=50, top_k=20, **request.param)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(run, runtime):
    """The exported folder, given out by Python's own web server."""
    export_web(run, run.parent / "site", runtime)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=run.parent / "site")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not shutil.which("chromedriver"):
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    found.set_script_timeout(60)
    yield found
    found.quit()


def texts(browser, selector):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
    )


def wait(browser, condition):
    return WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: condition())


def sessions():
    """Sessions of every length, with pages that nobody knows, times below a second, repeated pages."""
    rng = random.Random(5)
    for number in range(SESSIONS):
        pages = [f"page-{rng.randint(1, 64)}" for _ in range(number % 9)]
        dwell = [rng.choice([0.2, 1, 7.5, 33.3, 600]) for _ in pages]
        yield list(zip(pages, dwell, strict=True)), [f"item-{rng.randint(1, 53)}" for _ in range(rng.randint(0, 4))]


RECOMMEND = """
const [sessions, top, done] = arguments;
(async () => {
  const found = [];
  for (const [visits, bought] of sessions) found.push((await local.recommend(visits, bought, top)).items);
  return found;
})().then(done, (error) => done(String(error)));
"""


@pytest.mark.parametrize("top", [20, 35], ids=["by the graph", "more than the graph ranks"])
def test_the_same_items_as_drn_recommend(browser, address, run, top):
    browser.get(address)
    found = browser.execute_async_script(RECOMMEND, list(sessions()), top)
    assert isinstance(found, list), found
    answers = Model(run).recommend([Query(*session) for session in sessions()], top)
    for theirs, ours in zip(found, answers, strict=True):
        assert [one["item"] for one in theirs] == [item for item, _ in ours.items]
        np.testing.assert_allclose([one["probability"] for one in theirs], [p for _, p in ours.items], rtol=1e-5)


def test_the_page_is_the_live_page(browser, address, run):
    browser.get_log("performance")
    browser.get(address)
    wait(browser, lambda: len(texts(browser, "#items .name")) == 20)
    for page in ("page-2", "page-9", "page-4", "page-2", "page-5"):
        browser.execute_script("document.querySelector(`#pages button[data-page='${arguments[0]}']`).click()", page)
    wait(browser, lambda: texts(browser, "#window .name") == ["page-4", "page-2", "page-5"])
    assert texts(browser, "#history .name") == ["page-2", "page-9"]
    assert texts(browser, "#model") == ["small, version 1"]
    assert texts(browser, "#status") == [""]
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert len(urls) > 8
    assert all(url.startswith((address, "data:", "blob:")) for url in urls), urls
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_what_was_bought_counts(browser, address, run):
    browser.get(address)
    wait(browser, lambda: len(texts(browser, "#items .name")) == 20)
    browser.execute_script(
        "document.getElementById('user').value = 'item-7,nothing'; document.getElementById('open').click()"
    )
    wait(browser, lambda: texts(browser, "#bought .name") == ["item-7"])
    (answer,) = Model(run).recommend([Query([], ["item-7"])])
    assert texts(browser, "#items .name") == [item for item, _ in answer.items]


def test_items_are_shown_with_what_the_shop_says_of_them(browser, run, runtime, tmp_path):
    items = [f"item-{number}" for number in range(1, 51)]
    rows = "".join(f'{item},"<b>{item}</b>",{place}.5,img/{item}.png\n' for place, item in enumerate(items))
    (tmp_path / "items.csv").write_text(f"item,title,price,image\n{rows}of nobody,x,1,\n")
    export_web(run, tmp_path / "site", runtime, tmp_path / "items.csv")
    assert len(json.loads((tmp_path / "site" / "metadata.json").read_text())) == 50
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "site")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        browser.get(address)
        wait(browser, lambda: len(texts(browser, "#items .name")) == 20)
        shown = texts(browser, "#items .name")
        assert texts(browser, "#items .title") == [f"<b>{item}</b>" for item in shown]
        assert texts(browser, "#items .price") == [f"{items.index(item) + 0.5:g}" for item in shown]
        images = browser.execute_script("return [...document.querySelectorAll('#items img')].map((one) => one.src)")
        assert images == [f"{address}img/{item}.png" for item in shown]
        browser.get_log("browser")  # there are no such images
        server.shutdown()


def test_a_runtime_that_lacks_files_is_named(run, tmp_path):
    with pytest.raises(ModelError, match=r"lacks ort\.wasm\.min\.js, .*give the dist folder of npm's onnxruntime-web@"):
        export_web(run, tmp_path / "site", tmp_path)
    assert not (tmp_path / "site").exists()


def test_without_npm_it_says_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"npm is not here to fetch onnxruntime-web@.*--runtime"):
        export_web(run, tmp_path / "site")


def test_the_folder_holds_all_of_it(run, runtime, address):
    names = {path.name for path in (run.parent / "site").iterdir()}
    assert names == {
        "index.html",
        "app.js",
        "style.css",
        "local.js",
        "about.json",
        "model.onnx",
        "pages.txt",
        "items.txt",
    } | set(RUNTIME_FILES)
    assert "/static/" not in (run.parent / "site" / "index.html").read_text()


def test_the_example_of_the_documentation(browser, address, run, root):
    example = (root / "tests" / "export" / "recommend.js").read_text()
    browser.get(address)
    said = browser.execute_async_script(
        "const done = arguments[0], said = []; const console = { log: (...all) => said.push(all.join(' ')) };"
        f"(async () => {{ {example} }})().then(() => done(said), (error) => done([String(error)]));"
    )
    query = Query([("home", 5), ("cat-1", 20), ("item-12", 90)], ["item-3"])
    (answer,) = Model(run).recommend([query], 10)
    assert said == [f"{item} {probability:.4f}" for item, probability in answer.items]
