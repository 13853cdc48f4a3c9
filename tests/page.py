"""The page on a port of this machine, and a browser without a screen: a session of requests with a user signed in."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import requests

from tests.factories import USER_PASSWORD
from worker.operator.access import users

if TYPE_CHECKING:
    from smsclick._database.engine import Database
    from worker.operator.access.users import Role

BROWSER = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": "es-MX,es;q=0.9,en;q=0.5"}


class Visitor:
    """A person with a browser; cookies and forms work as there.

    Args:
        url: of the server.
        language: what the browser prefers.
    """

    def __init__(self, url: str, language: str = "es") -> None:
        self.url = url
        self.http = requests.Session()
        self.http.headers.update(BROWSER | {"Accept-Language": language})

    def get(self, path: str, **options: Any) -> requests.Response:  # noqa: ANN401 - of requests
        """The answer to a link, without following redirects."""
        return self.http.get(self.url + path, allow_redirects=False, timeout=60, **options)

    def post(
        self,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        csrf: str | None = None,
        **options: Any,  # noqa: ANN401 - of requests
    ) -> requests.Response:
        """The answer to a form with the token of the page, or another one, without following redirects."""
        token = self.csrf if csrf is None else csrf
        data = {"csrf": token} | (fields or {})
        return self.http.post(self.url + path, data=data, allow_redirects=False, timeout=60, **options)

    def sign_in(self, name: str, password: str = USER_PASSWORD, *, next: str = "/") -> requests.Response:  # noqa: A002 - as the form has it
        """Fill in the sign-in's form."""
        form = self.get("/entrar")
        return self.post("/entrar", {"name": name, "password": password, "next": next}, csrf=token_in(form.text))

    @property
    def csrf(self) -> str:
        """The token of this person's forms."""
        return token_in(self.get("/").text)


def token_in(page: str) -> str:
    """The token in the first form of a page that has one; empty if there is none."""
    found = re.search(r'name="csrf" value="([^"]*)"', page)
    return html.unescape(found[1]) if found else ""


def signed_in(url: str, database: Database, role: Role, *, name: str | None = None, language: str = "es") -> Visitor:
    """A new visitor with a user of this role, made where there is none."""
    name = name or f"{role}-user"
    if users.find(database, name) is None:
        users.add(database, name, role, USER_PASSWORD, actor="a test")
    visitor = Visitor(url, language)
    answer = visitor.sign_in(name)
    assert answer.status_code == 303, answer.text
    return visitor
