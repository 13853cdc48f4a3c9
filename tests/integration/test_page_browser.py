"""Each view in a real browser, on a phone and at a desk, light and dark; the keyboard, the language, in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.api_server import Api, serving
from tests.browser import WIDTHS, tab
from tests.factories import USER_PASSWORD, insert
from worker.operator.access import users
from worker.operator.access.users import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from smsclick._database.engine import Database

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

VIEWS: Final = {
    "now": "/",
    "messages": "/mensajes",
    "operate": "/operar",
    "opt-outs": "/operar/bajas",
    "error": "/nothing-here",
}
"""Of an operator; the sign-in is looked at before."""

NOT_FOUND: Final = "error: Failed to load resource: the server responded with a status of 404 (Not Found)"
"""The browser's own word about the error page."""


@pytest.fixture
def site(database: Database) -> Iterator[Api]:
    with serving(database) as running:
        users.add(database, "ana", Role.OPERATOR, USER_PASSWORD, actor="a test")
        insert(database, 3)
        yield running


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_view_fits_and_everybody_can_use_it(site: Api, chromium: Browser, width: int, dark: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    wrong: list[str] = []
    with tab(chromium, site.url, width, dark=dark) as shown:

        def look(name: str) -> None:
            wrong.extend(f"{name}: {each}" for each in shown.violations())
            if shown.overflows:
                wrong.append(f"{name}: wider than the window")
            shown.screenshot(f"view-{name}-{width}-{'dark' if dark else 'light'}")

        shown.open("/entrar")
        look("sign-in")
        shown.sign_in("ana")
        for name, path in VIEWS.items():
            shown.open(path)
            look(name)
        assert wrong == []
        assert shown.problems in ([], [NOT_FOUND])


@pytest.mark.parametrize("width", WIDTHS)
def test_the_keyboard_skips_to_the_content_and_the_language_stays(site: Api, chromium: Browser, width: int) -> None:
    with tab(chromium, site.url, width) as shown:
        shown.sign_in("ana")
        shown.page.keyboard.press("Tab")
        assert shown.page.evaluate("document.activeElement.className") == "skip"
        assert shown.page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
        shown.page.keyboard.press("Enter")
        assert shown.page.evaluate("document.activeElement.id") == "content"
        for language in ("en", "es"):
            shown.follow("form[action='/idioma'] button")
            shown.open("/mensajes")
            assert shown.page.get_attribute("html", "lang") == language
        shown.follow("form[action='/salir'] button")
        assert shown.page.url == f"{site.url}/entrar"
        shown.open("/")
        assert "/entrar" in shown.page.url
        assert shown.problems == []
