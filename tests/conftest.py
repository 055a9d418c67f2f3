"""What several test files share: one headless browser, and a copy of the course that may be changed."""

import shutil
from pathlib import Path

import desk
import pytest
from playwright.sync_api import expect, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]

expect.set_options(timeout=20_000)                                  # a busy machine answers late


@pytest.fixture(scope="module")
def browser():
    """Chromium: the system's own, or the one that playwright fetched. Without one the test fails and says what to do."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
    program = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        program = program or playwright.chromium.executable_path
        assert Path(program).exists(), "This test needs a browser: install Chromium (Debian and Ubuntu: " \
                                       "apt-get install chromium), or run `playwright install chromium`."
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A fresh page. page.outside collects what it asks of other machines."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.outside = []
    page.on("request", lambda request: page.outside.append(request.url)
            if "://localhost" not in request.url and "://" in request.url else None)
    yield page
    page.close()


@pytest.fixture
def checkout(tmp_path):
    """A copy of the course, in which the browser may save what it likes."""
    return desk.copy_course(tmp_path)
