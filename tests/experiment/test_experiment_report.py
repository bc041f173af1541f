"""The report: one file, complete, and whole in a real Chromium."""

import base64
import json
import re
import shutil

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1200,800"
)


def test_the_report_of_experiments_stands_alone(whole):
    html = (whole / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|<script|@import|url\(", re.sub(r"base64,[^\"]*", "", html))
    assert "<h1>A &lt;tiny&gt; shop</h1>" in html
    pictures = re.findall(r'<img alt="[^"]*" src="data:image/png;base64,([^"]*)">', html)
    names = list(json.loads((whole / "report.json").read_text())["experiments"])
    assert [base64.b64decode(one) for one in pictures] == [(whole / f"{name}.png").read_bytes() for name in names]


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="no chromium and chromedriver here")
def test_the_report_of_experiments_in_a_browser(whole, tmp_path):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'chromium'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get((whole / "report.html").as_uri())
        found = json.loads((whole / "report.json").read_text())
        pictures = browser.execute_script(
            "return [...document.images].map((one) => [one.complete, one.naturalWidth, one.clientWidth])"
        )
        assert len(pictures) == 7
        assert all(complete and natural > 600 and shown > 600 for complete, natural, shown in pictures)
        rows = browser.execute_script(
            "return [...document.querySelectorAll('.claims tr')].slice(1).map((row) => "
            "[...row.cells].map((cell) => cell.textContent.trim()))"
        )
        assert [f"{here}: {verdict}" for _, here, verdict in rows] == [claim["sentence"] for claim in found["claims"]]
        links = browser.execute_script(
            "return [...document.querySelectorAll('.claims a')].map((one) => document.querySelector(one.hash) !== null)"
        )
        assert links == [True] * len(found["claims"])
        # Wide tables scroll in their boxes, never the page.
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.get_log("browser") == []
    finally:
        browser.quit()
