"""Netron, in a real browser, draws the generated prototxt whole."""

import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generator.caffe.prototxt import active_layers, read_net

pytestmark = pytest.mark.oracle

HOW = "install chromium and chromium-driver (apt), netron and selenium (pip install -e .[test])"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1600,1200",
    # Netron's page asks hosts outside for the visitor's country and reports its use; neither is any test's business.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost",
)  # fmt: skip
SECONDS = 60


def absent(what: str) -> None:
    warnings.warn(f"{what} is not here, so the netron test is SKIPPED; {HOW}", stacklevel=2)
    pytest.skip(f"{what} is not here; {HOW}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, headless, with a profile of its own."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        absent("selenium")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        absent("chromium or its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(programs[1]))
        try:
            yield driver
        finally:
            driver.quit()


def opened(browser: Any, path: Path) -> None:
    """Open a file in netron and wait until its page shows the graph or an error."""
    try:
        import netron
    except ImportError:
        absent("netron")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    netron.start(str(path), address=("localhost", port), browse=False)
    try:
        browser.get(f"http://localhost:{port}")
        wait = WebDriverWait(browser, SECONDS)
        # A new profile is asked for consent first; an opened model or a failure ends the welcome.
        wait.until(lambda driver: state(driver) not in ("welcome", "welcome spinner"))
        if state(browser) == "welcome notification":
            browser.find_element(By.ID, "message-button").click()
        wait.until(lambda driver: not state(driver).startswith("welcome"))
        if state(browser) == "default":
            wait.until(lambda driver: driver.find_elements(By.CLASS_NAME, "graph-node"))
    finally:
        netron.stop(("localhost", port))


def state(browser: Any) -> str:
    return browser.execute_script("return document.body.className")


def texts(browser: Any, selector: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)", selector
    )


@pytest.mark.parametrize("file", ["rnn/deploy.prototxt", "combined/deploy.prototxt", "combined/train_val.prototxt"])
def test_every_layer_is_drawn_under_its_name(browser, root, tmp_path, file):
    path = root / "generated" / file
    opened(browser, path)
    picture = Path(os.environ.get("DRN_SCREENSHOTS", tmp_path)) / f"netron-{file.replace('/', '-')}.png"
    assert browser.save_screenshot(str(picture))
    assert state(browser) == "default"  # an error is "alert"
    layers = active_layers(read_net(path))
    # An activation is drawn in the box of its layer, an Input layer as an input of the graph.
    drawn = texts(browser, ".graph-node .node-item-type title")
    assert sorted(drawn) == sorted(layer.name for layer in layers if layer.type != "Input")
    assert "hidden1_t0" in drawn
    kinds = texts(browser, ".graph-node .node-item-type text")
    assert sorted(kinds) == sorted(layer.type for layer in layers if layer.type != "Input")
    inputs = texts(browser, ".graph-input text")
    assert sorted(inputs) == sorted(layer.name for layer in layers if layer.type == "Input")


def test_a_broken_prototxt_shows_an_alert(browser, tmp_path):
    """The state that the test above rules out is the one that netron shows."""
    path = tmp_path / "broken.prototxt"
    path.write_text('layer { name: "x" type: "Input"')
    opened(browser, path)
    assert state(browser) != "default"
