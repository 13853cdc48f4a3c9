"""A real browser for the page: Debian's Chromium without a screen, driven by Playwright, and axe on what it shows."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from tests.factories import USER_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page, Request

WIDTHS: Final = (390, 1280)
"""A phone, and a desk."""

SCREENSHOTS: Final = Path(__file__).resolve().parents[1] / "var" / "screenshots"
_HEIGHT: Final = 900
_WAIT_MILLISECONDS: Final = 60_000
_ENDED_BY_BROWSER: Final = "net::ERR_ABORTED"
_LEVELS: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]}


class Tab:
    """One window of a person: the page, and what went wrong in it.

    Attributes:
        page: Playwright's own.
        problems: errors of the console, of scripts and of requests, and every dialog; they belong to no good page.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        page.set_default_timeout(_WAIT_MILLISECONDS)
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("dialog", self._dismiss)
        page.on("requestfailed", self._failed)

    def _failed(self, request: Request) -> None:
        # When a window goes on to another page, the browser itself ends what the old one loads, and its events.
        if request.resource_type != "eventsource" and request.failure != _ENDED_BY_BROWSER:
            self.problems.append(f"request failed: {request.url}: {request.failure}")

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.problems.append(f"{kind}: {text}")

    def _dismiss(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str) -> None:
        """Follow a link of this site."""
        self.page.goto(self.url + path)

    def follow(self, selector: str) -> None:
        """Click what leads to another page, and wait for that page."""
        with self.page.expect_navigation():
            self.page.click(selector)

    def sign_in(self, name: str) -> None:
        """Sign in with the password of all users of tests."""
        self.open("/entrar")
        self.page.fill("#name", name)
        self.page.fill("#password", USER_PASSWORD)
        self.follow("main form button")

    @property
    def text(self) -> str:
        """All that a person reads of the page."""
        return " ".join(self.page.inner_text("body").split())

    @property
    def overflows(self) -> bool:
        """Whether a person must scroll sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def violations(self) -> list[str]:
        """What axe finds against WCAG 2.2, levels A and AA."""
        found = Axe().run(self.page, options=_LEVELS).response["violations"]
        return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]

    def screenshot(self, name: str) -> None:
        """Keep a picture of the whole page in `SCREENSHOTS`."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@contextlib.contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """Run the browser until the end of the block.

    Args:
        program: its path.
    """
    # It refuses to run as root in its sandbox, and a container's shared memory is small.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def tab(browser: Browser, url: str, width: int, *, dark: bool = False, scripts: bool = True) -> Iterator[Tab]:
    """Open a window with cookies of its own.

    Args:
        browser: that runs.
        url: of the page's server.
        width: of the window, in pixels.
        dark: whether the person prefers a dark page.
        scripts: whether scripts may run.
    """
    context = browser.new_context(
        viewport={"width": width, "height": _HEIGHT},
        locale="es-MX",
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
    )
    try:
        yield Tab(context.new_page(), url)
    finally:
        context.close()
