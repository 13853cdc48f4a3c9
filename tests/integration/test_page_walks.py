"""A person walks through *Mensajes* in a real browser, on a phone and at a desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import HoldReason, State, callbacks, events, messages
from tests.api_server import serving
from tests.browser import WIDTHS, Tab, tab
from tests.factories import LONG_AGO, PHONE, USER_PASSWORD, change_account, clock, history, insert, row
from worker.operator.access import users
from worker.operator.access.users import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from smsclick._database.engine import Database
    from tests.api_server import Api

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

BAD = (
    "<script>document.title='ran'</script>\"><img src=x onerror=\"document.title='ran'\">"
    "<a href=\"javascript:document.title='ran'\">x</a>"
)
ACTING = "\u202egnp.exe\u2066\x1b[31m\x07"


@pytest.fixture
def site(database: Database) -> Iterator[Api]:
    with serving(database) as running:
        for name, role in (("ana", Role.OPERATOR), ("eva", Role.VIEWER)):
            users.add(database, name, role, USER_PASSWORD, actor="a test")
        yield running


@pytest.fixture(params=WIDTHS)
def desk(request: pytest.FixtureRequest, site: Api, chromium: Browser) -> Iterator[Tab]:
    """The window of an operator who has signed in; whatever a test does, nothing may go wrong in it."""
    with tab(chromium, site.url, request.param) as opened:
        opened.sign_in("ana")
        yield opened
        assert opened.problems == []


def good(shown: Tab, name: str) -> None:
    """The page fits, everybody can use it, and no script of others ran; its picture is kept."""
    assert not shown.overflows
    assert shown.violations() == []
    assert "ran" not in shown.page.title().split()
    shown.screenshot(f"{name}-{shown.page.viewport_size['width']}")  # type: ignore[index]


def act(shown: Tab, name: str) -> None:
    """Open an act, confirm it and send its form."""
    shown.page.click(f"summary:has-text('{name}')")
    shown.page.check("details[open] input[type=checkbox]")
    shown.follow("details[open] button")


def test_find_a_message_by_phone_read_why_it_waits_and_cancel_it(site: Api, desk: Tab) -> None:
    [message_id] = insert(site.database, phone=PHONE, text="Tu código es 4821", reference="pedido-7")
    insert(site.database, 3, phone="8112345678")
    change_account(site.database, hold_reason=HoldReason.NO_BALANCE, hold_since=clock(site.database))
    desk.follow(".tabs a:has-text('Mensajes')")
    good(desk, "messages")
    desk.page.fill("#q", "55 5140 2211")
    desk.follow("button:has-text('Buscar')")
    assert "Se buscó «55 5140 2211» como teléfono" in desk.text
    good(desk, "found")
    desk.follow(f"a:text-is('{message_id}')")
    assert "no hay saldo (-104)" in desk.page.inner_text("#waits")
    desk.page.click("summary:has-text('Cancelar el mensaje')")
    assert "No se envía y no cuesta nada" in desk.text
    good(desk, "message")
    desk.page.click("summary:has-text('Cancelar el mensaje')")
    act(desk, "Cancelar el mensaje")
    assert "El mensaje quedó cancelado." in desk.text
    assert "Fue cancelado" in desk.page.inner_text("#waits")
    assert row(site.database, message_id).state == State.CANCELLED
    assert history(site.database, message_id)[-1].actor == "ana"


def test_retry_a_failed_message(site: Api, desk: Tab) -> None:
    [message_id] = insert(site.database, state=State.FAILED, due_at=None, attempts=1, last_code=-102)
    desk.open("/mensajes?state=failed")
    desk.follow(f"a:text-is('{message_id}')")
    act(desk, "Reintentar")
    assert "El mensaje volvió a la fila." in desk.text
    assert row(site.database, message_id).state == State.QUEUED


def test_decide_an_unknown_attempt_by_hand(site: Api, desk: Tab) -> None:
    given = {"unknown_since": LONG_AGO, "attempted_at": LONG_AGO, "attempts": 1, "token": "t"}
    [message_id] = insert(site.database, 1, state=State.UNKNOWN, unknown_reason="no_control_rows", **given)
    desk.open(f"/mensajes/{message_id}")
    assert "no hay filas de control" in desk.page.inner_text("#waits")
    desk.page.click("summary:has-text('Enviar otra vez')")
    assert "Su destinatario puede recibir dos SMS" in desk.text
    good(desk, "unknown")
    desk.page.click("summary:has-text('Enviar otra vez')")
    desk.page.click("summary:has-text('sí lo aceptó')")
    desk.page.fill("#id_mensaje", "4711")
    desk.page.check("details[open] input[type=checkbox]")
    desk.follow("details[open] button")
    changed = row(site.database, message_id)
    assert (changed.state, changed.id_mensaje) == (State.SENT, 4711)


def test_no_script_of_others_runs_on_any_view(site: Api, desk: Tab) -> None:
    words = BAD[:200]
    [message_id] = insert(
        site.database, 1, text=BAD + ACTING, key=words[:190], reference=words, reply=BAD + ACTING, last_error=BAD,
        state=State.UNKNOWN, unknown_since=LONG_AGO, attempted_at=LONG_AGO, attempts=1, token="t",
    )  # fmt: skip
    said = {"message_id": message_id, "from_state": "sending", "to_state": "unknown", "attempt": 1, "actor": BAD[:100]}
    call = {"message_id": message_id, "type": "message.sent", "target": "https://shop.example", "event_id": "e"}
    with site.database.begin() as connection:
        connection.execute(sa.insert(events).values(**said, cause=BAD[:40], description=BAD[:300]))
        connection.execute(sa.insert(callbacks).values(**call, receiver=BAD[:255], data="{}", last_error=BAD[:300]))
        # What the door refuses, as plain SQL or another version may leave it.
        hostile = {"phone": '"><svg/onload=1>', "last_code": -102}
        connection.execute(sa.update(messages).where(messages.c.id == message_id).values(hostile))
    for path in ("/mensajes", f"/mensajes/{message_id}"):
        desk.open(path)
        assert "<script>" in desk.text
        assert "<svg/onload=1>" in desk.text
        assert "\u202e" not in desk.text
        good(desk, "hostile")
    desk.open("/mensajes")
    desk.page.fill("#q", words)
    desk.follow("button:has-text('Buscar')")
    good(desk, "hostile-found")


def test_a_viewer_reads_without_scripts_and_in_the_dark(site: Api, chromium: Browser) -> None:
    [message_id] = insert(site.database, phone=PHONE, text="Tu código es 4821")
    with tab(chromium, site.url, WIDTHS[0], dark=True) as shown:
        shown.sign_in("eva")
        for path in ("/mensajes", f"/mensajes/{message_id}"):
            shown.open(path)
            assert "••••••2211" in shown.text
            assert PHONE not in shown.page.content()
            good(shown, "viewer-dark")
        assert shown.problems == []
    with tab(chromium, site.url, WIDTHS[1], scripts=False) as shown:
        shown.sign_in("ana")
        shown.open(f"/mensajes/{message_id}")
        act(shown, "Cancelar el mensaje")
        assert row(site.database, message_id).state == State.CANCELLED
