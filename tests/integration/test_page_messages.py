"""*Mensajes*: the search understands each kind of word, a message's page says what it waits for, and acts are safe."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa

from smsclick._values.causes import PHRASES, Cause
from smsclick.contract import HoldReason, State, events
from tests.factories import LONG_AGO, PHONE, change, change_account, clock, history, insert, row
from tests.page import Visitor, signed_in
from worker.operator.access.users import Role
from worker.sql import audit

if TYPE_CHECKING:
    import requests

    from smsclick._database.engine import Database
    from tests.api_server import Api

TEXT = "Tu código es 4821"
HOSTILE: Final = (
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "javascript:document.title='ran'",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u2066",
    "'-alert(1)-'",
)


@pytest.fixture
def operator(site: Api) -> Visitor:
    return signed_in(site.url, site.database, Role.OPERATOR, name="ana")


@pytest.fixture
def viewer(site: Api) -> Visitor:
    return signed_in(site.url, site.database, Role.VIEWER, name="eva")


def words_of(answer: requests.Response) -> str:
    """What a person reads of a page."""
    body = re.sub(r"<head>.*?</head>", "", answer.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def unknown(database: Database, **values: Any) -> int:  # noqa: ANN401 - any column
    given: dict[str, Any] = {
        "state": State.UNKNOWN,
        "unknown_since": LONG_AGO,
        "attempted_at": LONG_AGO,
        "attempts": 1,
        "token": "t",
    }
    [message_id] = insert(database, **(given | values))
    return message_id


def act(visitor: Visitor, message_id: int, name: str, **fields: str) -> requests.Response:
    return visitor.post(f"/mensajes/{message_id}/{name}", {"sure": "yes", "attempt": "0"} | fields)


# --- The list and the search


def test_the_list_has_the_newest_first_and_goes_on_by_cursor(site: Api, operator: Visitor) -> None:
    ids = insert(site.database, 60)
    first = operator.get("/mensajes")
    assert re.findall(r'href="/mensajes/(\d+)"', first.text) == [str(each) for each in reversed(ids[10:])]
    following = re.search(r'href="(/mensajes\?before=\d+)"', first.text)
    assert following
    assert re.findall(r'href="/mensajes/(\d+)"', operator.get(following[1]).text) == [
        str(each) for each in reversed(ids[:10])
    ]


def test_a_word_that_names_one_message_leads_to_it_whatever_it_is(site: Api, operator: Visitor) -> None:
    [message_id] = insert(site.database, key="order-7:shipped", id_mensaje=987_654_321, state=State.SENT)
    for word in ("order-7:shipped", str(message_id), f"id:{message_id}", "key:order-7:shipped", "987654321"):
        answer = operator.post("/mensajes", {"q": word})
        assert (word, answer.status_code, answer.headers.get("Location")) == (word, 303, f"/mensajes/{message_id}")


def test_a_phone_in_any_form_lists_its_messages_and_says_what_was_looked_for(site: Api, operator: Visitor) -> None:
    [mine] = insert(site.database, phone=PHONE)
    [other] = insert(site.database, phone="8112345678")
    for word in (PHONE, "55 5140 2211", "+52 1 55 5140 2211"):
        answer = operator.post("/mensajes", {"q": word})
        assert re.findall(r'href="/mensajes/(\d+)"', answer.text) == [str(mine)]
        assert f"Se buscó «{word}» como teléfono" in words_of(answer)
    assert other


def test_a_reference_lists_its_messages_and_what_is_not_found_is_said(site: Api, operator: Visitor) -> None:
    ids = insert(site.database, 2, reference="campaña-3")
    answer = operator.post("/mensajes", {"q": "campaña-3"})
    assert re.findall(r'href="/mensajes/(\d+)"', answer.text) == [str(each) for each in reversed(ids)]
    assert "clave, referencia" in words_of(answer)
    assert "No hay ningún mensaje así." in words_of(operator.post("/mensajes", {"q": "nada"}))
    assert operator.post("/mensajes", {"q": "x" * 201}).status_code == 422


def test_filters_narrow_the_list_and_a_wrong_time_is_said(site: Api, operator: Visitor) -> None:
    insert(site.database, reference="a")
    [wanted] = insert(site.database, state=State.FAILED, due_at=None, reference="a")
    answer = operator.get("/mensajes", params={"state": "failed", "reference": "a", "since": "2020-01-01T00:00"})
    assert re.findall(r'href="/mensajes/(\d+)"', answer.text) == [str(wanted)]
    assert "No hay ningún mensaje así." in words_of(operator.get("/mensajes", params={"until": "2001-01-01"}))
    wrong = operator.get("/mensajes", params={"since": "ayer"})
    assert wrong.status_code == 422
    assert "La fecha no se entiende" in words_of(wrong)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_viewer_finds_by_phone_but_sees_no_full_phone_and_no_text(site: Api, viewer: Visitor) -> None:
    said = f"no se pudo entregar a {PHONE}"
    key = f"{PHONE}:code"
    [message_id] = insert(
        site.database, phone=PHONE, text=TEXT, key=key, reference=f"ref {PHONE}", last_error=said, reply="ok gracias"
    )
    pages = [
        viewer.get("/mensajes"),
        viewer.post("/mensajes", {"q": PHONE}),
        viewer.post("/mensajes", {"q": f"52{PHONE}"}),
        viewer.get(f"/mensajes/{message_id}"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert PHONE not in page.text
        assert TEXT not in page.text
        assert "gracias" not in page.text
        assert "••••••2211" in page.text
    assert "Qué se puede hacer ahora" not in pages[-1].text
    assert act(viewer, message_id, "cancelar").status_code == 403
    assert row(site.database, message_id).state == State.QUEUED


# --- One message


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("cause", "description"),
    [(Cause.OPTED_OUT, None), (Cause.INVALID, PHRASES[Cause.OPTED_OUT])],
    ids=["now", "as earlier releases stored it"],
)
def test_a_message_whose_phone_opted_out_says_so_in_its_history(
    site: Api, operator: Visitor, cause: Cause, description: str | None
) -> None:
    [message_id] = insert(site.database, state=State.FAILED, due_at=None, final_at=LONG_AGO)
    changed = {"from_state": "sending", "to_state": "failed", "cause": cause, "attempt": 1, "description": description}
    with site.database.begin() as connection:
        connection.execute(sa.insert(events).values(message_id=message_id, **changed))
    said = words_of(operator.get(f"/mensajes/{message_id}"))
    assert "Su destinatario pidió la baja" in said
    assert "está en la lista de bajas" in said


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_message_says_first_what_it_waits_for(site: Api, operator: Visitor) -> None:
    [message_id] = insert(site.database, text=TEXT, reference="r-1")
    change_account(site.database, hold_reason=HoldReason.NO_BALANCE, hold_since=clock(site.database))
    shown = operator.get(f"/mensajes/{message_id}")
    lead = re.search(r'id="waits"><bdi>(.*?)</bdi>', shown.text)
    assert lead
    assert lead[1].startswith("Espera porque el envío está detenido: no hay saldo (-104).")
    said = words_of(shown)
    assert "America/Mexico_City" in said
    assert TEXT in said
    assert "r-1" in said
    english = signed_in(site.url, site.database, Role.OPERATOR, name="john", language="en")
    assert "It waits because sending is held: no balance" in words_of(english.get(f"/mensajes/{message_id}"))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_message_that_is_not_there_is_a_page_that_says_so(operator: Visitor) -> None:
    answer = operator.get("/mensajes/999")
    assert answer.status_code == 404
    assert "No existe ese mensaje." in words_of(answer)
    assert act(operator, 999, "cancelar").status_code == 404


def test_cancel_is_on_record_with_the_persons_name(site: Api, operator: Visitor) -> None:
    [message_id] = insert(site.database)
    assert "No se envía y no cuesta nada" in words_of(operator.get(f"/mensajes/{message_id}"))
    answer = act(operator, message_id, "cancelar")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/mensajes/{message_id}?done=act_cancel")
    shown = operator.get(answer.headers["Location"])
    assert "El mensaje quedó cancelado." in words_of(shown)
    assert "Lo decidió una persona · ana" in words_of(shown)
    assert row(site.database, message_id).state == State.CANCELLED
    assert [each.actor for each in history(site.database, message_id)] == ["ana"]
    [record] = [each for each in audit.listed(site.database) if each.act == "cancel"]
    assert (record.actor, record.count) == ("ana", 1)


def test_a_failed_message_is_queued_again(site: Api, operator: Visitor) -> None:
    [message_id] = insert(site.database, state=State.FAILED, due_at=None, attempts=1, last_code=-102)
    assert "el teléfono no es un número válido" in words_of(operator.get(f"/mensajes/{message_id}"))
    assert act(operator, message_id, "reintentar", attempt="1").status_code == 303
    assert row(site.database, message_id).state == State.QUEUED


@pytest.mark.parametrize(
    ("name", "fields", "state"),
    [
        ("aceptado", {"id_mensaje": " 4711 "}, State.SENT),
        ("no-aceptado", {}, State.QUEUED),
        ("reenviar", {}, State.QUEUED),
    ],
)
def test_an_unknown_attempt_is_decided_by_hand(
    site: Api, operator: Visitor, name: str, fields: dict[str, str], state: State
) -> None:
    message_id = unknown(site.database)
    shown = words_of(operator.get(f"/mensajes/{message_id}"))
    assert "Su destinatario puede recibir dos SMS" in shown
    assert act(operator, message_id, name, attempt="1", **fields).status_code == 303
    changed = row(site.database, message_id)
    assert changed.state == state
    assert changed.id_mensaje == (4711 if fields else None)
    assert history(site.database, message_id)[-1].actor == "ana"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_id_that_is_none_or_belongs_to_another_message_changes_nothing(site: Api, operator: Visitor) -> None:
    insert(site.database, id_mensaje=4711, state=State.SENT)
    message_id = unknown(site.database)
    for given, status, said in (("47x", 422, "solo dígitos"), ("4711", 409, "ya pertenece a otro mensaje")):
        answer = act(operator, message_id, "aceptado", attempt="1", id_mensaje=given)
        assert answer.status_code == status
        assert said in words_of(answer)
    assert row(site.database, message_id).state == State.UNKNOWN


def test_what_changed_meanwhile_is_refused_with_its_present_state(site: Api, operator: Visitor) -> None:
    [cancelled] = insert(site.database)
    again = unknown(site.database, attempts=2)
    change(site.database, [cancelled], state=State.SENT, due_at=None)
    for message_id, name in ((cancelled, "cancelar"), (again, "no-aceptado"), (again, "reenviar")):
        before = row(site.database, message_id)
        answer = act(operator, message_id, name, attempt="1" if message_id == again else "0")
        assert answer.status_code == 409
        assert "El mensaje cambió mientras usted lo veía" in words_of(answer)
        assert row(site.database, message_id) == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_nothing_is_done_without_the_confirmation_or_with_another_sites_form(site: Api, operator: Visitor) -> None:
    [message_id] = insert(site.database)
    assert act(operator, message_id, "cancelar", sure="").status_code == 422
    assert act(operator, message_id, "cancelar", attempt="x").status_code == 422
    assert (
        operator.post(f"/mensajes/{message_id}/cancelar", {"sure": "yes", "attempt": "0"}, csrf="x").status_code == 403
    )
    assert operator.post("/mensajes", {"q": "1"}, csrf="x").status_code == 403
    assert row(site.database, message_id).state == State.QUEUED


# --- Content that others wrote


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("bad", HOSTILE)
def test_what_others_wrote_is_shown_as_text_on_every_view(site: Api, operator: Visitor, bad: str) -> None:
    printable = "".join(each for each in bad if each.isprintable())
    message_id = unknown(site.database, text=bad, key=f"k{printable}", reference=printable, last_error=bad, reply=bad)
    pages = [
        operator.get("/mensajes"),
        operator.get(f"/mensajes/{message_id}"),
        operator.post("/mensajes", {"q": printable}),
        operator.get("/mensajes", params={"reference": bad, "state": bad[:20], "since": bad}),
    ]
    for page in pages:
        assert "<script>document" not in page.text
        assert "<img" not in page.text
        assert 'href="javascript' not in page.text
        assert "\u202e" not in page.text
        assert "49{" not in page.text
    if bad.isprintable():
        assert bad in html.unescape(pages[1].text)
