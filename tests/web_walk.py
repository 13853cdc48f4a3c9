"""Everything that the web process does, asked of it over HTTP: each call of the API, each view and form of the page."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick.contract import IfAbsent, State, callbacks, web_sessions
from tests.api_server import Api, serving
from tests.factories import LONG_AGO, PHONE, USER_PASSWORD, insert, settings
from tests.page import Visitor, signed_in
from web.app import create
from web.pages import static_files
from web.pages.operate import sealed
from web.pages.people import Person
from worker.intake import dead_letters
from worker.operator.access.users import Role

if TYPE_CHECKING:
    import requests

    from smsclick._database.engine import Database

_FILE = b"phone,text,key\n5551402211,Hola,of-a-file\n12,Hola,bad\n5551402299,Hola,third\n"


def untried(owner: Database, url: str) -> list[str]:
    """Ask for everything that a process at `url` serves; return the calls of it that were not tried.

    Args:
        owner: the same database by an account that may do everything, for what is there before.
        url: of the database as the web process has it.
    """
    tried: set[tuple[str, str]] = set()

    def note(answer: requests.Response, **_: object) -> None:
        path = (answer.request.path_url or "").partition("?")[0]
        assert answer.status_code < 400, f"{answer.request.method} {path}: {answer.status_code} {answer.text}"
        tried.add((answer.request.method or "", path))

    with serving(owner, DATABASE_URL=url, SMSCLICK_MAX_PER_SECOND="1000") as site:
        site.http.hooks["response"].append(note)
        _api(site)
        visitor = signed_in(site.url, owner, Role.OPERATOR)
        visitor.http.hooks["response"].append(note)
        _page(site, visitor)
    routes = create(settings(url)).state.calls
    return [
        f"{method} {route.path}"
        for route in routes
        for method in sorted(route.methods)
        if not any(method == asked and route.path_regex.fullmatch(path) for asked, path in tried)
    ]


def _api(site: Api) -> None:
    queued, held = insert(site.database, 2)
    [failed] = insert(site.database, state=State.FAILED, due_at=None)
    site.post({"phone": PHONE, "text": "Hola", "key": "one", "callback": "https://127.0.0.1:1/x"})
    site.post({"messages": [{"phone": PHONE, "text": "Hola", "key": key} for key in ("one", "two")]})
    site.call("GET", "/v1/messages", params={"phone": PHONE})
    site.call("GET", f"/v1/messages/{held}")
    site.call("POST", f"/v1/messages/{queued}/cancel")
    site.call("POST", f"/v1/messages/{failed}/retry")
    site.call("GET", "/v1/account")
    site.call("POST", "/v1/account/hold")
    site.call("POST", "/v1/account/resume")
    for path in ("/healthz", "/readyz", "/openapi.json"):
        site.call("GET", path, secret="")
    assert "smsclick_up 1.0" in site.call("GET", "/metrics", secret="").text


def _page(site: Api, visitor: Visitor) -> None:
    _sign_in_again(site, visitor)
    visitor.get(static_files.address("page.css"))
    visitor.post("/idioma", {"language": "es"})
    _messages(site, visitor)
    visitor.post("/operar/detener", {"why": "una prueba"})
    for path in ("/", "/operar", "/operar/accesos"):
        assert visitor.get(path).status_code == 200
    with visitor.get("/ahora/eventos", stream=True) as stream:
        assert b"event: figures" in stream.iter_lines()
    visitor.post("/operar/reanudar")
    _filtered_acts(site, visitor)
    _files(visitor)
    _what_was_given_up(site, visitor)
    for path in ("conjunto/seguir", "importar/guardar", "importar/rechazadas", "bajas/importar", "bajas/quitar"):
        visitor.get(f"/operar/{path}")
    for path in ("detener", "reanudar"):
        visitor.get(f"/operar/{path}")
    visitor.post("/salir")


def _sign_in_again(site: Api, visitor: Visitor) -> None:
    """By the form as well, where an old session is removed; and a session that was not used for a while."""
    with site.database.begin() as connection:
        connection.execute(sa.update(web_sessions).values(created_at=LONG_AGO))
    visitor.sign_in("operator-user", USER_PASSWORD)
    with site.database.begin() as connection:
        connection.execute(sa.update(web_sessions).values(seen_at=sa.func.now() - sa.text("INTERVAL '600' SECOND")))


def _messages(site: Api, visitor: Visitor) -> None:
    to_notify: dict[str, Any] = {"callback": "https://127.0.0.1:1/x"}
    doubt: dict[str, Any] = {
        "state": State.UNKNOWN,
        "unknown_since": LONG_AGO,
        "attempted_at": LONG_AGO,
        "attempts": 1,
        "token": "t",
    }
    acts = {
        "cancelar": insert(site.database, **to_notify)[0],
        "reintentar": insert(site.database, state=State.FAILED, due_at=None)[0],
        "aceptado": insert(site.database, **doubt, **to_notify)[0],
        "no-aceptado": insert(site.database, **doubt, **to_notify, if_absent=IfAbsent.FAIL)[0],
        "reenviar": insert(site.database, **doubt)[0],
    }
    visitor.get("/mensajes", params={"state": "unknown", "reference": "r"})
    for word in (PHONE, "key:one", "1", "nothing"):
        visitor.post("/mensajes", {"q": word})
    for act, message in acts.items():
        visitor.get(f"/mensajes/{message}")
        sent = {"sure": "yes", "attempt": _field(visitor.get(f"/mensajes/{message}"), "attempt"), "id_mensaje": "77"}
        assert visitor.post(f"/mensajes/{message}/{act}", sent).status_code == 303
        visitor.get(f"/mensajes/{message}")


def _filtered_acts(site: Api, visitor: Visitor) -> None:
    insert(site.database, 3, reference="a set")
    insert(site.database, 3, reference="a set", state=State.FAILED, due_at=None)
    for act in ("retry", "cancel"):
        counted = visitor.get("/operar/conjunto", params={"act": act, "reference": "a set"})
        answer = visitor.post("/operar/conjunto", {"set": _field(counted, "set")})
        assert 'name="set"' not in answer.text  # done in one step
    wanted = {"act": "cancel", "references": ["none"], "codes": [], "since": None, "until": None, "total": 0}
    begun = json.dumps(wanted | {"position": {"record": 1, "after": 0, "end": 1}}).encode()
    person = Person("operator-user", Role.OPERATOR, visitor.csrf)
    visitor.post("/operar/conjunto/seguir", {"set": sealed.pack(person, "filtered act, begun", begun)})


def _files(visitor: Visitor) -> None:
    visitor.get("/operar/importar")
    preview = visitor.post("/operar/importar", files={"file": ("a.csv", _FILE)})
    file = _field(preview, "file")
    rejected = visitor.post("/operar/importar/rechazadas", {"file": file})
    assert len(list(csv.reader(io.StringIO(rejected.text)))) == 2
    visitor.post("/operar/importar/guardar", {"file": file})
    visitor.get("/operar/bajas")
    visitor.post("/operar/bajas", {"phone": "5551402233", "reason": "lo pidió"})
    visitor.get("/operar/bajas", params={"phone": "5551402233"})
    visitor.post("/operar/bajas/importar", files={"file": ("b.csv", b"telefono\n5551402244\n")})
    visitor.post("/operar/bajas/quitar", {"phone": "5551402233"})


def _what_was_given_up(site: Api, visitor: Visitor) -> None:
    with site.database.begin() as connection:
        [message] = connection.execute(sa.select(sa.func.max(callbacks.c.message_id))).one()
        given_up = {"message_id": message, "event_id": "given up", "type": "sent", "target": "https://a.example/x"}
        added = sa.insert(callbacks).values(**given_up, data="{}", due_at=None, failed_at=LONG_AGO, last_error="x")
        callback = connection.execute(added).inserted_primary_key[0]  # type: ignore[index]
    letters = []
    with site.database.begin() as connection:
        for key in "ab":
            call = dead_letters.call_content(key, {"phone": PHONE, "text": "Hola", "key": f"of a call {key}"})
            letters.append(
                dead_letters.keep(connection, queue="q", task="smsclick.enqueue", task_id=key, reason="r", content=call)
            )
    visitor.get("/operar/avisos")
    visitor.post("/operar/avisos", {"id": [str(callback)]})
    visitor.get("/operar/llamadas")
    for letter, what in zip(letters, ("retry", "drop"), strict=True):
        visitor.post("/operar/llamadas", {"id": str(letter), "what": what})


def _field(answer: requests.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found, answer.text
    return html.unescape(found[1])
