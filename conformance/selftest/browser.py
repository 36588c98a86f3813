"""A headless Chromium: opens pages from disk for the tests, and takes their picture.

``python -m tuned_contrastive.conformance.selftest.browser report.html report.png`` shoots a report.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

PROGRAMS = ("chromium", "chromedriver")
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
WIDTH, HEIGHT = 1440, 900
COLOURS = 128
SHOW = """
const place = document.getElementById("matrix-place");
place.scrollTop = arguments[0].offsetTop - place.clientHeight / 3;
window.scrollTo(0, 0);
"""
"""Brings a cell of the matrix into view, below the heading of the page."""


def missing() -> str:
    """Return the sentence that says which program is not there; empty if none."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no browser: {' and '.join(absent)} cannot be found" if absent else ""


@contextmanager
def chromium(width: int = WIDTH, height: int = HEIGHT) -> Iterator[Chrome]:
    """Start a Chromium with a profile of its own, and end it."""
    browser, driver = (shutil.which(name) for name in PROGRAMS)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = str(browser)
        sized = f"--window-size={width},{height}"
        for argument in (*ARGUMENTS, sized, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        started = Chrome(options=options, service=Service(str(driver)))
        try:
            yield started
        finally:
            started.quit()


def shoot(page: Path, picture: Path, clause: str, target: str) -> None:
    """Write a picture of a report with one cell opened, in few colours so that it stays small."""
    with chromium() as driver:
        driver.get(page.resolve().as_uri())
        found = f"[data-clause='{clause}'][data-target='{target}']"
        cell = driver.find_element(By.CSS_SELECTOR, found)
        cell.click()
        driver.execute_script(SHOW, cell)
        driver.save_screenshot(str(picture))
    with Image.open(picture) as taken:
        small = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


if __name__ == "__main__":
    shoot(Path(sys.argv[1]), Path(sys.argv[2]), "SUP-5", "pytorch_metric_learning")
