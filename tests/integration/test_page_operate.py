"""*Operar*: only for operators, counted before and confirmed, bounded, and in the audit with the person's name."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute

from smsclick.contract import State, callbacks, dead_letters, messages, optouts
from tests.factories import LONG_AGO, USER_PASSWORD, insert, states
from tests.page import Visitor, signed_in
from web.pages.operate import access, filtered, routes
from worker.account import account_state
from worker.operator import filtered_changes
from worker.operator.access import users
from worker.operator.access.users import Role
from worker.operator.imports.uploaded import MOST_BYTES
from worker.queue import optouts as list_of_optouts
from worker.sql import audit

if TYPE_CHECKING:
    import requests

    from smsclick._database.engine import Database
    from tests.api_server import Api

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
XSS = "<script>alert(1)</script>"


@pytest.fixture
def operator(site: Api) -> Visitor:
    return signed_in(site.url, site.database, Role.OPERATOR, name="ana")


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


def acts(database: Database) -> list[tuple[str, str, int]]:
    """What is in the audit of what people did, newest first, without the user that a test adds."""
    found = [(each.act, each.actor, each.count) for each in audit.listed(database)]
    return [each for each in found if each[1] != "a test"]


def upload(visitor: Visitor, path: str, content: bytes, name: str = "a.csv") -> requests.Response:
    return visitor.post(path, files={"file": (name, content)})


ROUTES = [
    (method, route.path)
    for router in routes.routers
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_viewer_and_somebody_else_get_nothing_of_it(site: Api, method: str, path: str) -> None:
    viewer = signed_in(site.url, site.database, Role.VIEWER)
    send = viewer.get if method == "GET" else viewer.post
    answer = send(path)
    assert answer.status_code == 403
    assert "consulta" in answer.text
    nobody = Visitor(site.url)
    answer = nobody.get(path) if method == "GET" else nobody.post(path, csrf="x")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/entrar")
    assert acts(site.database) == []


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "POST"])
def test_no_form_is_carried_out_without_the_sessions_token(site: Api, operator: Visitor, path: str) -> None:
    assert operator.post(path, {"phone": "5551402211", "id": "1", "what": "drop"}, csrf="wrong").status_code == 403
    assert acts(site.database) == []


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "GET" and path not in routes.BACK])
def test_every_page_is_shown_in_both_languages(site: Api, operator: Visitor, path: str) -> None:
    english = signed_in(site.url, site.database, Role.OPERATOR, name="ana", language="en")
    pages = [each.get(path) for each in (operator, english)]
    assert [each.status_code for each in pages] == [200, 200]
    assert pages[0].text != pages[1].text


def test_the_address_of_a_form_leads_back_to_it(operator: Visitor) -> None:
    forms = {path for method, path in ROUTES if method == "POST"}
    assert forms - {path for method, path in ROUTES if method == "GET"} == set()
    for path, back in routes.BACK.items():
        assert operator.get(path).headers["Location"] == back
        assert operator.get(back).status_code == 200


def test_of_many_users_and_tokens_the_first_are_shown_and_it_is_said(
    site: Api, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.add(site.database, "zoe", Role.VIEWER, USER_PASSWORD, actor="a test")
    page = operator.get("/operar/accesos").text
    assert "zoe" in page
    assert "Solo se muestran" not in page
    monkeypatch.setattr(access, "MOST_SHOWN", 1)
    site.token("read")
    page = operator.get("/operar/accesos").text
    assert ">ana<" in page
    assert "zoe" not in page
    assert page.count("Solo se muestran 1; más en") == 2


def test_hold_with_a_reason_and_resume(site: Api, operator: Visitor) -> None:
    assert operator.post("/operar/detener", {"why": f"el banco {XSS}"}).headers["location"] == "/operar?done=held"
    page = operator.get("/operar?done=held").text
    assert "El envío está detenido" in page
    assert html.escape(f"el banco {XSS}") in page
    assert XSS not in page
    assert operator.post("/operar/reanudar").headers["location"] == "/operar?done=resumed"
    with site.database.read() as connection:
        assert account_state.read(connection).is_open
    assert acts(site.database) == [("resume", "ana", 1), ("hold", "ana", 1)]


def test_a_filtered_act_names_the_number_and_goes_on_in_steps(
    site: Api, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtered_changes, "MESSAGES_PER_TRANSACTION", 2)
    monkeypatch.setattr(filtered, "STEP_SECONDS", 0.0)
    insert(site.database, 5, reference="spring")
    insert(site.database, 2, reference="summer")
    page = operator.get("/operar/conjunto?act=cancel&reference=spring").text
    assert "Cancelar 5 mensajes" in page
    assert states(site.database) == ["queued"] * 7
    page = operator.post("/operar/conjunto", {"set": field(page, "set")}).text
    assert "Cancelados: 2 de 5" in page
    while 'name="set"' in page:
        page = operator.post("/operar/conjunto/seguir", {"set": field(page, "set")}).text
    assert "Cancelados: 5 de 5" in page
    assert states(site.database) == ["cancelled"] * 5 + ["queued"] * 2
    assert acts(site.database) == [("cancel", "ana", 5)]


def test_a_set_that_was_changed_or_is_anothers_does_nothing(site: Api, operator: Visitor) -> None:
    insert(site.database, 2)
    sealed = field(operator.get("/operar/conjunto?act=cancel&reference=none").text, "csrf")
    page = operator.get("/operar/conjunto?act=cancel").text
    assert "No hay ningún filtro" in page
    good = field(page, "set")
    other = signed_in(site.url, site.database, Role.OPERATOR, name="luis")
    for visitor, given in ((operator, good[:-4] + "AAAA"), (operator, "x.y"), (operator, sealed), (other, good)):
        assert visitor.post("/operar/conjunto", {"set": given}).status_code == 403
    assert operator.post("/operar/conjunto/seguir", {"set": good}).status_code == 403
    assert states(site.database) == ["queued"] * 2


@pytest.mark.parametrize("wrong", ["code=abc", "since=yesterday", "code=" + "1," * 60, "until=9999-99-99"])
def test_a_filter_that_cannot_be_read_counts_nothing(operator: Visitor, wrong: str) -> None:
    page = operator.get(f"/operar/conjunto?act=retry&{wrong}")
    assert 'role="alert"' in page.text
    assert 'name="set"' not in page.text


FILE = f"phone,text,key\n5551402211,Hola,a\n123,Hola,b\n5551402212,Sin clave,\n=1+1,{XSS},d\n".encode()


def test_a_file_is_previewed_then_stored_once_and_its_bad_lines_are_safe(site: Api, operator: Visitor) -> None:
    page = upload(operator, "/operar/importar", FILE, f"{XSS}.csv").text
    assert "Guardar y enviar 2 mensajes" in page
    assert "el teléfono … no es un número mexicano" in page
    assert "the phone" not in page
    assert XSS not in page
    assert "no-store" in operator.get("/operar/importar").headers["Cache-Control"]
    assert states(site.database) == []
    assert acts(site.database) == []
    sealed = field(page, "file")
    answer = operator.post("/operar/importar/rechazadas", {"file": sealed})
    assert answer.headers["Content-Disposition"].startswith("attachment")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row[0] for row in rows[1:]] == ["3", "5"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]
    for _ in range(2):
        page = operator.post("/operar/importar/guardar", {"file": sealed}).text
        assert states(site.database) == ["queued"] * 2
    assert "Mensajes guardados: 0" in page
    assert acts(site.database) == [("import", "ana", 0), ("import", "ana", 2)]
    # Another preview is another import: the line without a key is sent again, as the page says.
    again = field(upload(operator, "/operar/importar", FILE).text, "file")
    operator.post("/operar/importar/guardar", {"file": again})
    assert states(site.database) == ["queued"] * 3


def test_a_file_that_is_none_or_too_large_is_refused(site: Api, operator: Visitor) -> None:
    assert upload(operator, "/operar/importar", b"a,b\n1,2").status_code == 422
    assert upload(operator, "/operar/importar", b"x" * (MOST_BYTES + 1)).status_code == 413
    assert operator.post("/operar/importar").status_code == 422
    assert operator.post("/operar/importar/guardar", {"file": "x"}).status_code == 403
    largest = b"phone,text\n" + b"5551402211,Hola\n" * 9000
    assert upload(operator, "/operar/importar", largest).status_code == 200
    assert states(site.database) == []


def test_opt_outs_are_added_found_listed_by_page_imported_and_removed(site: Api, operator: Visitor) -> None:
    operator.post("/operar/bajas", {"phone": "55 5140 2211", "reason": f"pidió {XSS}"})
    page = operator.get("/operar/bajas?phone=5551402211").text
    assert "5551402211" in page
    assert XSS not in page
    assert operator.post("/operar/bajas", {"phone": "12"}).status_code == 422
    content = b"telefono\n" + b"".join(b"66412%05d\n" % n for n in range(60)) + b"12\n"
    page = upload(operator, "/operar/bajas/importar", content).text
    assert "Nuevas bajas: 60" in page
    assert "Líneas rechazadas: 1" in page
    page, seen = operator.get("/operar/bajas").text, set[str]()
    while following := re.search(r'href="([^"]*after=[^"]*)"', page):
        seen |= set(re.findall(r"66412\d{5}", page))
        page = operator.get(html.unescape(following[1])).text
    assert len(seen | set(re.findall(r"66412\d{5}", page))) == 60
    operator.post("/operar/bajas/quitar", {"phone": "5551402211"})
    assert list_of_optouts.of_phone(site.database, "5551402211") is None
    assert [each[0] for each in acts(site.database)] == ["optout_remove", "optout_import", "optout_add"]


def test_chosen_callbacks_are_delivered_again(site: Api, operator: Visitor) -> None:
    (message,) = insert(site.database, state=State.SENT)
    with site.database.begin() as connection:
        for number in range(3):
            connection.execute(
                sa.insert(callbacks).values(
                    message_id=message, event_id=str(number), type="sent", target="https://a.example/x", data="{}",
                    due_at=None, failed_at=LONG_AGO, last_error=XSS,
                )
            )  # fmt: skip
    page = operator.get("/operar/avisos").text
    assert "a.example" in page
    assert XSS not in page
    operator.post("/operar/avisos", {"id": ["1", "3"]})
    with site.database.read() as connection:
        waiting = connection.scalars(sa.select(callbacks.c.id).where(callbacks.c.receiver.is_not(None)))
        assert sorted(waiting) == [1, 3]
    assert acts(site.database) == [("callback_replay", "ana", 2)]
    assert operator.post("/operar/avisos").headers["location"].startswith("/operar/avisos?done=none_replayed")


def test_a_refused_call_is_stored_after_all_or_deleted(site: Api, operator: Visitor) -> None:
    with site.database.begin() as connection:
        for number in range(2):
            connection.execute(
                sa.insert(dead_letters).values(queue="q", task=XSS, task_id=str(number), reason="r", content="{}")
            )
    page = operator.get("/operar/llamadas").text
    assert XSS not in page
    assert "letter_refused" in operator.post("/operar/llamadas", {"id": "1", "what": "retry"}).headers["location"]
    assert "letter_dropped" in operator.post("/operar/llamadas", {"id": "1", "what": "drop"}).headers["location"]
    assert operator.get("/operar/llamadas").text.count("Llamada 2") == 1
    assert ("dead_letter_drop", "ana", 1) in acts(site.database)
    with site.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(messages)) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(optouts)) == 0
