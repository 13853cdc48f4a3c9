"""Each route of the messages with each method and role: allowed or refused, and what is refused changes nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from smsclick.contract import State
from tests.factories import insert, states
from tests.page import Visitor, signed_in
from web.pages import router as pages
from worker.operator.access.users import Role

if TYPE_CHECKING:
    from tests.api_server import Api

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
PUBLIC: Final = {"/entrar", "/idioma"}
ACTS: Final = ("cancelar", "reintentar", "aceptado", "no-aceptado", "reenviar")
MESSAGES: Final = {
    ("/mensajes", "GET"): {"nobody": 303, Role.VIEWER: 200, Role.OPERATOR: 200},
    ("/mensajes", "POST"): {"nobody": 303, Role.VIEWER: 200, Role.OPERATOR: 200},
    ("/mensajes/1", "GET"): {"nobody": 303, Role.VIEWER: 200, Role.OPERATOR: 200},
    # Without its confirmation an operator's form does nothing.
    **{(f"/mensajes/1/{each}", "POST"): {"nobody": 303, Role.VIEWER: 403, Role.OPERATOR: 422} for each in ACTS},
}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("who", ["nobody", Role.VIEWER, Role.OPERATOR])
def test_each_method_of_each_route_of_the_messages_is_allowed_or_refused(site: Api, who: str) -> None:
    insert(site.database, 2)
    visitor = Visitor(site.url) if who == "nobody" else signed_in(site.url, site.database, Role(who))
    csrf = "" if who == "nobody" else visitor.csrf
    for path in dict.fromkeys(path for path, _ in MESSAGES):
        for method in METHODS:
            expected = MESSAGES.get((path, method), {}).get(who, 405)
            data = {"csrf": csrf, "q": "nothing has it"} if method != "GET" else None
            answer = visitor.http.request(method, site.url + path, data=data, allow_redirects=False, timeout=60)
            assert (path, method, answer.status_code) == (path, method, expected)
            if expected == 303:
                assert answer.headers["Location"].startswith("/entrar")
    assert states(site.database) == [State.QUEUED] * 2


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_route_of_the_page_answers_who_is_not_signed_in(site: Api) -> None:
    visitor = Visitor(site.url)
    asked = 0
    for router in pages.build():
        for route in router.routes:
            path = str(getattr(route, "path", ""))
            if path in PUBLIC or path.startswith("/static"):
                continue
            filled = re.sub(r"\{\w+\}", "1", path.replace("{act}", "cancelar"))
            for method in getattr(route, "methods", ()):
                if method == "HEAD":
                    continue
                answer = visitor.http.request(method, site.url + filled, allow_redirects=False, timeout=60)
                assert (path, answer.status_code) == (path, 303)
                assert answer.headers["Location"].startswith("/entrar")
                asked += 1
    assert asked >= len({path for path, _ in MESSAGES}) - len(ACTS) + 1
