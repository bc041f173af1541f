"""The page in a real Chromium: clicks, bars, window, history state."""

import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from served import ITEMS, Drn

from generator.model.model import Model
from generator.model.query import Query

pytestmark = pytest.mark.skipif(not shutil.which("chromedriver"), reason="no chromium and chromedriver here")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1200,800"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield found
    found.quit()


def texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
    return browser.execute_script(script, selector)


def session(browser) -> str:
    return browser.execute_script("return document.getElementById('session').value")


def wait(browser, condition):
    return WebDriverWait(browser, 20, poll_frequency=0.02).until(lambda _: condition())


def click(browser, page: str) -> None:
    wait(browser, lambda: f"{page}" in texts(browser, "#pages button"))
    browser.execute_script("document.querySelector(`#pages button[data-page='${arguments[0]}']`).click()", page)


def problems(browser) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def test_each_click_moves_the_bars_the_window_and_the_history(browser, drn, repository, tmp_path):
    browser.get(f"http://127.0.0.1:{drn.port}/")
    wait(browser, lambda: len(texts(browser, "#items .name")) == 5)
    model, clicked = Model(repository), []
    for page in ("p1", "p2", "p3", "p4", "p5", "p6"):
        click(browser, page)
        clicked.append(page)
        wait(browser, lambda: texts(browser, "#window .name") == clicked[-3:])
        visits = drn("GET", f"/v1/sessions/{session(browser)}")[1]["visits"]
        (wanted,) = model.recommend([Query([(one["page"], one["dwell"]) for one in visits])])
        assert texts(browser, "#items .name") == [item for item, _ in wanted.items]
        assert texts(browser, "#history .name") == (clicked[:-3] or ["empty"])
    assert texts(browser, "#model") == ["shop, version 1"]
    dwells = [one["dwell"] for one in visits[:3]]
    weights = [float(one.rpartition("ε")[2]) for one in texts(browser, "#history .figure")]
    assert weights == pytest.approx([dwell / sum(dwells[place:]) for place, dwell in enumerate(dwells)], abs=1e-3)
    bars = browser.execute_script(
        "return [...document.querySelectorAll('#items .bar')].map((one) => one.style.transform)"
    )
    best = wanted.items[0][1]
    lengths = [float(one.removeprefix("scaleX(").rstrip(")")) for one in bars]
    assert lengths == pytest.approx([probability / best for _, probability in wanted.items], rel=1e-4)
    assert browser.save_screenshot(str(tmp_path / "page.png"))
    before = session(browser)
    browser.find_element(By.ID, "again").click()  # the same visits in a new session
    wait(browser, lambda: session(browser) != before)
    wait(browser, lambda: len(drn("GET", f"/v1/sessions/{session(browser)}")[1].get("visits", [])) == len(clicked))
    wait(browser, lambda: texts(browser, "#window .name") == clicked[-3:])
    assert texts(browser, "#history .name") == clicked[:-3]
    assert problems(browser) == []


def test_a_replay_shows_what_was_dwelt_on(browser, drn):
    browser.get(f"http://127.0.0.1:{drn.port}/")
    browser.find_element(By.ID, "replay").send_keys("p1:10,p2:30,nowhere:5,p3:10,p4,p5")
    browser.find_element(By.ID, "play").click()
    wait(browser, lambda: texts(browser, "#window .name") == ["p3", "p4", "p5"])
    assert texts(browser, "#history .figure") == ["10 s  ε 0.250", "30 s  ε 1.000"]
    assert "1 of 6" in texts(browser, "#unknown")[0]
    browser.find_element(By.ID, "fresh").click()
    wait(browser, lambda: texts(browser, "#window .name") == ["empty"])


def test_markup_in_a_page_stays_text(browser, drn):
    browser.get(f"http://127.0.0.1:{drn.port}/")
    field = browser.find_element(By.ID, "session")
    field.clear()
    field.send_keys("<img src=x onerror=document.title='hit'>")
    browser.find_element(By.ID, "replay").send_keys("<b>bold</b>:3")
    browser.find_element(By.ID, "play").click()
    wait(browser, lambda: "1 of 1" in texts(browser, "#unknown")[0])
    assert browser.title == "drn"
    assert problems(browser) == []


IMAGE = bytes.fromhex(  # a PNG of one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f00050001ff"
    "89993d1d0000000049454e44ae426082"
)


class Images(SimpleHTTPRequestHandler):
    """The shop's own server: any path is the image, and noted."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):  # the name that the base class calls
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        self.wfile.write(IMAGE)

    def log_message(self, *_):
        pass


def test_items_are_shown_with_what_the_shop_says_of_them(browser, repository, tmp_path):
    """Title, category, price and image; markup stays text, and an image of no web address is no image."""
    shop = ThreadingHTTPServer(("127.0.0.1", 0), Images)
    threading.Thread(target=shop.serve_forever, daemon=True).start()
    lines = ["item,title,category,price,image"]
    for number, item in enumerate(ITEMS):
        image = f"http://127.0.0.1:{shop.server_port}/{item}.png"
        title = f"<img src=x onerror=document.title=1> {item}" if number % 2 else ""
        lines.append(f"{item},{title},Light & more,{number + 0.5},{['data:image/png;base64', image][number % 3 > 0]}")
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", "--items", str(tmp_path / "items.csv"))
    browser.get(f"http://127.0.0.1:{drn.port}/")
    click(browser, "p1")
    wait(browser, lambda: texts(browser, "#window .name") == ["p1"])
    shown = texts(browser, "#items .name")
    assert len(shown) == 5
    assert set(shown) <= set(ITEMS)
    places = [ITEMS.index(item) for item in shown]
    assert texts(browser, "#items .price") == [f"{place + 0.5:g}" for place in places]
    assert texts(browser, "#items .category") == ["Light & more"] * 5
    titles = [f"<img src=x onerror=document.title=1> {ITEMS[place]}" for place in places if place % 2]
    assert texts(browser, "#items .title") == titles
    loaded = (
        "return [...document.querySelectorAll('#items img')].filter((one) => one.complete && one.naturalWidth).length"
    )
    wanted = [f"/{ITEMS[place]}.png" for place in places if place % 3]
    wait(browser, lambda: browser.execute_script(loaded) == len(wanted))
    assert set(wanted) <= set(Images.asked)
    assert browser.execute_script(
        "return [...document.querySelectorAll('#items img')].every((one) => one.loading == 'lazy')"
    )
    assert browser.title == "drn"
    assert problems(browser) == []
    assert browser.save_screenshot(str(tmp_path / "items.png"))
    shop.shutdown()
    assert drn.stop() == 0


def test_the_docs_page_lists_the_operations(browser, drn):
    browser.get(f"http://127.0.0.1:{drn.port}/docs")
    wait(browser, lambda: len(texts(browser, "summary")) > 15)
    assert any("/v1/sessions/{session}/visits" in one for one in texts(browser, "summary"))
    assert problems(browser) == []


def test_nothing_is_fetched_from_elsewhere(browser, drn):
    browser.get(f"http://127.0.0.1:{drn.port}/")
    wait(browser, lambda: texts(browser, "#pages button"))
    origins = browser.execute_script(
        "return performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)"
    )
    assert set(origins) == {f"http://127.0.0.1:{drn.port}"}


def test_a_token_is_asked_for(browser, repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", DRN_TOKEN="sesame")
    browser.get(f"http://127.0.0.1:{drn.port}/")
    token = browser.find_element(By.ID, "token")
    wait(browser, token.is_displayed)
    token.send_keys("sesame\t")
    wait(browser, lambda: texts(browser, "#pages button"))
    wait(browser, lambda: texts(browser, "#model") == ["shop, version 1"])
    assert drn.stop() == 0
