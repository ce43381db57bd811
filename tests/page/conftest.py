"""What the tests of the live page share: a browser, and a pipeline whose values are markup."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from servers.fixtures import NO_BROWSER

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

SERVER_ENDED = ("CONNECTION_REFUSED", "CONNECTION_RESET", "EMPTY_RESPONSE", "INCOMPLETE_CHUNKED_ENCODING")
"""What Chromium logs of requests if the server has ended, and a page asks once more before it is closed. Whether a
server serves is seen in what the page shows."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium without a window; skipped where there is none, and a failure where it is required."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"{NO_BROWSER}, and REQUIRE_BROWSER is set")
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if it logs an error, opens a dialog, or asks for anything but this machine."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if is_wrong(said.type, said.text) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: wrong.append(request.url) if not is_here(request.url) else None)
    yield page
    context.close()
    assert wrong == []


def is_wrong(kind: str, text: str) -> bool:
    """Return True for an error that is not of a request after the server's end."""
    ended = any(text == f"Failed to load resource: net::ERR_{end}" for end in SERVER_ENDED)
    return kind == "error" and not ended


def is_here(url: str) -> bool:
    """Return True if an address is of this machine, or of the page itself."""
    return url.startswith(("http://127.0.0.1:", "data:", "file:", "blob:"))
