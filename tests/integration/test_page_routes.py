"""Who may call each route with each method: nobody, a viewer, an operator, and a token of each scope.

One table says it for every route of the page and of the API; a route without a line in it fails.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.api_server import ALL_SCOPES, Api, serving
from tests.factories import USER_PASSWORD, insert, settings
from tests.page import Visitor, signed_in
from web.app import create
from web.pages import static_files
from web.pages.operate import sealed
from web.pages.people import Person
from worker.operator.access import users
from worker.operator.access.users import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from smsclick._database.engine import Database

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

PEOPLE: Final = ("nobody", "viewer", "operator")
CALLERS: Final = (*PEOPLE, *ALL_SCOPES)
ANYBODY: Final = frozenset(CALLERS)
NOBODY: Final = frozenset({"nobody"})  # the sign-in: for who is signed in there is no form
SIGNED_IN: Final = frozenset({"viewer", "operator"})
OPERATOR: Final = frozenset({"operator"})
SEND, READ, OPERATE = (frozenset({scope}) for scope in ALL_SCOPES)

TABLE: Final = {
    "POST /v1/messages": SEND,
    "GET /v1/messages": READ,
    "GET /v1/messages/{message_id}": READ,
    "POST /v1/messages/{message_id}/cancel": OPERATE,
    "POST /v1/messages/{message_id}/retry": OPERATE,
    "GET /v1/account": READ,
    "POST /v1/account/hold": OPERATE,
    "POST /v1/account/resume": OPERATE,
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /metrics": ANYBODY,
    "GET /openapi.json": ANYBODY,
    "GET /static/{digest}/{name}": ANYBODY,
    "GET /entrar": ANYBODY,
    "POST /entrar": NOBODY,
    "POST /idioma": ANYBODY,
    "GET /": SIGNED_IN,
    "GET /ahora/eventos": SIGNED_IN,
    "GET /mensajes": SIGNED_IN,
    "POST /mensajes": SIGNED_IN,
    "GET /mensajes/{message_id}": SIGNED_IN,
    "POST /mensajes/{message_id}/{act}": OPERATOR,
    "GET /operar": OPERATOR,
    "POST /operar/detener": OPERATOR,
    "GET /operar/detener": OPERATOR,
    "POST /operar/reanudar": OPERATOR,
    "GET /operar/reanudar": OPERATOR,
    "GET /operar/conjunto": OPERATOR,
    "POST /operar/conjunto": OPERATOR,
    "POST /operar/conjunto/seguir": OPERATOR,
    "GET /operar/conjunto/seguir": OPERATOR,
    "GET /operar/importar": OPERATOR,
    "POST /operar/importar": OPERATOR,
    "POST /operar/importar/guardar": OPERATOR,
    "GET /operar/importar/guardar": OPERATOR,
    "POST /operar/importar/rechazadas": OPERATOR,
    "GET /operar/importar/rechazadas": OPERATOR,
    "GET /operar/bajas": OPERATOR,
    "POST /operar/bajas": OPERATOR,
    "POST /operar/bajas/quitar": OPERATOR,
    "GET /operar/bajas/quitar": OPERATOR,
    "POST /operar/bajas/importar": OPERATOR,
    "GET /operar/bajas/importar": OPERATOR,
    "GET /operar/avisos": OPERATOR,
    "POST /operar/avisos": OPERATOR,
    "GET /operar/llamadas": OPERATOR,
    "POST /operar/llamadas": OPERATOR,
    "GET /operar/accesos": OPERATOR,
    "POST /salir": SIGNED_IN,  # the last, for it ends the caller's session
}
WITHOUT_TOKEN: Final = {"POST /idioma"}
"""Forms that change nothing but the sender's own language."""

_SET: Final = {"act": "cancel", "references": ["none"], "codes": [], "since": None, "until": None, "total": 0}
_BEGUN: Final = _SET | {"position": {"record": 1, "after": 0, "end": 0}}
_FILE: Final = b'{"name": "a.csv", "keys": "k"}\nphone,text\n'
SEALED: Final = {
    "/operar/conjunto": ("set", "filtered act", json.dumps(_SET).encode()),
    "/operar/conjunto/seguir": ("set", "filtered act, begun", json.dumps(_BEGUN).encode()),
    "/operar/importar/guardar": ("file", "import", _FILE),
    "/operar/importar/rechazadas": ("file", "import", _FILE),
}
"""Forms that are refused like one without a token unless they bring back what the page had sealed."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Callers:
    """One of each kind, with what it sends in each request."""

    def __init__(self, site: Api) -> None:
        self.site = site
        [self.message] = insert(site.database)
        users.add(site.database, "ana", Role.VIEWER, USER_PASSWORD, actor="a test")
        self.visitors = {
            "nobody": Visitor(site.url),
            "viewer": signed_in(site.url, site.database, Role.VIEWER),
            "operator": signed_in(site.url, site.database, Role.OPERATOR),
        }
        self.forms = {name: visitor.csrf if name in SIGNED_IN else "" for name, visitor in self.visitors.items()}
        for scope in ALL_SCOPES:
            self.visitors[scope] = Visitor(site.url)
            self.visitors[scope].http.headers["Authorization"] = f"Bearer {site.token(scope)}"

    def call(self, who: str, method: str, path: str, *, form: bool = True) -> requests.Response:
        """The answer to one request; the body of a stream is not read."""
        visitor = self.visitors[who]
        if (who, method, path, form) == ("nobody", "POST", "/entrar", True):
            return Visitor(self.site.url).sign_in("ana")
        token = self.forms.get(who, "")
        fields = {"csrf": token} if form else {}
        if path in SEALED:
            field, purpose, content = SEALED[path]
            fields[field] = sealed.pack(Person(who, Role.OPERATOR, token), purpose, content)
        for name, value in (("{message_id}", str(self.message)), ("{act}", "cancelar")):
            path = path.replace(name, value)
        path = path.replace("/static/{digest}/{name}", static_files.address("page.css"))
        with visitor.http.request(
            method,
            self.site.url + path,
            data=fields if method == "POST" else None,
            allow_redirects=False,
            timeout=60,
            stream=path == "/ahora/eventos",
        ) as answer:
            return answer


@pytest.fixture
def callers(database: Database) -> Iterator[Callers]:
    with serving(database, guesses_at_once=10_000) as site:
        yield Callers(site)


def shown(answer: requests.Response) -> str:
    """What an answer means for the caller: allowed, or how it was refused."""
    assert answer.status_code < 500, answer.text
    leads_to_sign_in = answer.headers.get("Location", "").startswith("/entrar")
    # The answer to the sign-out leads there too, but ends the session.
    if answer.status_code == 303 and leads_to_sign_in and "Set-Cookie" not in answer.headers:
        return "sign in"
    return {401: "401", 403: "403", 405: "405"}.get(answer.status_code, "allowed")


def expected(who: str, call: str) -> str:
    """What the table says: a page leads to the sign-in where the API answers 401; a known caller gets 403."""
    if who in TABLE[call]:
        return "allowed"
    if call == "POST /entrar":
        return "403"  # without the visit's token
    if " /v1/" in call:
        return "403" if who in ALL_SCOPES else "401"
    return "403" if who in SIGNED_IN else "sign in"


def test_every_route_has_a_line_in_the_table(database: Database) -> None:
    app = create(settings(database.engine.url.render_as_string(hide_password=False)))
    found = {f"{method} {route.path}" for route in app.state.calls for method in route.methods}
    assert found == set(TABLE)
    own = {route.path for route in app.routes if hasattr(route, "path")}
    assert own <= {call.partition(" ")[2] for call in TABLE}


def test_each_caller_is_allowed_or_refused_as_the_table_says(callers: Callers) -> None:
    wrong = []
    for call in TABLE:
        method, _, path = call.partition(" ")
        for who in CALLERS:
            found = shown(callers.call(who, method, path))
            if found != expected(who, call):
                wrong.append(f"{who}: {call} is {found}, not {expected(who, call)}")
    assert wrong == []


def test_no_address_answers_another_method(callers: Callers) -> None:
    wrong = []
    for path in sorted({call.partition(" ")[2] for call in TABLE}):
        for method in METHODS:
            if f"{method} {path}" in TABLE:
                continue
            wrong += [f"{who}: {method} {path}" for who in CALLERS if shown(callers.call(who, method, path)) != "405"]
    assert wrong == []


def test_no_form_of_the_page_does_anything_without_its_token(callers: Callers) -> None:
    wrong = []
    for call, may in TABLE.items():
        method, _, path = call.partition(" ")
        if method != "POST" or path.startswith("/v1/") or call in WITHOUT_TOKEN:
            continue
        for who in sorted(may.intersection(PEOPLE)):
            answer = callers.call(who, method, path, form=False)
            if answer.status_code != 403 or "no se hizo nada" not in answer.text:
                wrong.append(f"{who}: {call} is {answer.status_code}")
    assert wrong == []
