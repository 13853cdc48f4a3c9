"""A person walks through *Operar* in a real browser, on a phone and at a desk."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import State, callbacks
from tests.api_server import serving
from tests.browser import WIDTHS, Tab, tab
from tests.factories import LONG_AGO, USER_PASSWORD, insert, states
from web.pages.operate import filtered
from worker.account import account_state
from worker.operator import filtered_changes
from worker.operator.access import users
from worker.operator.access.users import Role
from worker.queue import optouts
from worker.sql import audit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from smsclick._database.engine import Database
    from tests.api_server import Api

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

BAD = "<script>document.title='ran'</script>\"><img src=x onerror=\"document.title='ran'\">"

QUOTE = chr(34)


@pytest.fixture
def site(database: Database) -> Iterator[Api]:
    with serving(database) as running:
        users.add(database, "ana", Role.OPERATOR, USER_PASSWORD, actor="a test")
        yield running


@pytest.fixture(params=WIDTHS)
def desk(request: pytest.FixtureRequest, site: Api, chromium: Browser) -> Iterator[Tab]:
    """The window of an operator who has signed in; whatever a test does, nothing may go wrong in it."""
    with tab(chromium, site.url, request.param, dark=request.param == WIDTHS[0]) as opened:
        opened.sign_in("ana")
        opened.follow(".tabs a:has-text('Operar')")
        yield opened
        assert opened.problems == []


def good(shown: Tab, name: str) -> None:
    """The page fits, everybody can use it, and no script of others ran; its picture is kept."""
    assert not shown.overflows
    assert shown.violations() == []
    assert shown.page.title() != "ran"
    shown.screenshot(f"{name}-{shown.page.viewport_size['width']}")  # type: ignore[index]


def test_hold_with_a_reason_and_resume(site: Api, desk: Tab) -> None:
    good(desk, "operate")
    desk.page.fill("#why", f"el banco lo pidió {BAD}")
    desk.follow("button:has-text('Detener el envío')")
    assert "Los mensajes esperan y ninguno se pierde" in desk.text
    assert "el banco lo pidió" in desk.text
    good(desk, "operate-held")
    desk.follow("button:has-text('Reanudar el envío')")
    assert "El envío se reanudó." in desk.text
    with site.database.read() as connection:
        assert account_state.read(connection).is_open
    assert [(each.act, each.actor) for each in audit.listed(site.database, limit=2)] == [
        ("resume", "ana"),
        ("hold", "ana"),
    ]


def test_cancel_a_filtered_set_in_steps(site: Api, desk: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filtered_changes, "MESSAGES_PER_TRANSACTION", 2)
    monkeypatch.setattr(filtered, "STEP_SECONDS", 0.0)
    insert(site.database, 3, reference="campaña 1")
    insert(site.database, 2, reference="campaña 2")
    desk.follow("a:has-text('Cancelar o reintentar')")
    desk.page.check("#act-cancel")
    desk.page.fill("#reference", "campaña 1")
    desk.follow("button:has-text('Contar')")
    assert "Mensajes que coinciden: 3" in desk.text
    good(desk, "operate-set")
    assert states(site.database) == ["queued"] * 5
    desk.follow("button:has-text('Cancelar 3 mensajes')")
    assert "Cancelados: 2 de 3 contados." in desk.text
    good(desk, "operate-under-way")
    while desk.page.is_visible("button:has-text('Continuar')"):
        desk.follow("button:has-text('Continuar')")
    assert "Cancelados: 3 de 3 contados." in desk.text
    assert states(site.database) == ["cancelled"] * 3 + ["queued"] * 2


def test_import_a_file_with_bad_lines(site: Api, desk: Tab, tmp_path: Path) -> None:
    file = tmp_path / "mensajes.csv"
    file.write_text(
        f"phone,text,key\n5551402211,Hola,a\n12,Hola,b\n5551402212,Sin clave,\n=1+1,{BAD.replace(QUOTE, '')},c\n"
    )
    desk.follow("a:has-text('Importar mensajes')")
    good(desk, "operate-import")
    desk.page.set_input_files("#file", file)
    desk.follow("button:has-text('Ver antes de guardar')")
    assert "Todavía no se guardó nada." in desk.text
    assert re.search(r"Líneas rechazadas 2 Créditos previstos 2", desk.text)
    assert "3 el teléfono" in desk.text
    good(desk, "operate-preview")
    assert states(site.database) == []
    with desk.page.expect_download() as found:
        desk.page.click("button:has-text('Descargar las líneas rechazadas')")
    assert found.value.suggested_filename == "rechazadas.csv"
    rows = list(csv.reader(Path(found.value.path()).read_text(encoding="utf-8-sig").splitlines()))
    assert [row[0] for row in rows[1:]] == ["3", "5"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "-"))]
    desk.follow("button:has-text('Guardar y enviar 2 mensajes')")
    assert "Mensajes guardados: 2." in desk.text
    good(desk, "operate-imported")
    assert states(site.database) == ["queued"] * 2


def test_opt_a_phone_out_find_it_and_remove_it(site: Api, desk: Tab) -> None:
    optouts.add(site.database, [f"55514022{number}" for number in range(10, 40)], BAD[:200], actor="a test")
    desk.follow("a:has-text('Bajas')")
    desk.page.fill("#add-phone", "55 8123 4567")
    desk.page.fill("#reason", "respondió BAJA")
    desk.follow("main button:text-is('Dar de baja')")
    assert "El teléfono quedó dado de baja." in desk.text
    good(desk, "operate-opt-outs")
    desk.follow("a:has-text('Siguientes')")
    assert "5581234567" in desk.text
    desk.page.fill("#phone", "5581234567")
    desk.follow("button:text-is('Buscar')")
    desk.page.click("summary:has-text('Quitar la baja')")
    good(desk, "operate-opt-out")
    desk.follow("button:has-text('Quitar la baja de 5581234567')")
    assert "La baja se quitó" in desk.text
    assert optouts.of_phone(site.database, "5581234567") is None


def test_replay_a_callback_that_was_given_up(site: Api, desk: Tab) -> None:
    [message_id] = insert(site.database, state=State.SENT)
    with site.database.begin() as connection:
        for number in range(2):
            connection.execute(
                sa.insert(callbacks).values(
                    message_id=message_id, event_id=str(number), type="message.delivered", data="{}", due_at=None,
                    target="https://tienda.example/sms", failed_at=LONG_AGO, last_error=BAD,
                )
            )  # fmt: skip
    desk.follow("a:has-text('Avisos sin entregar')")
    good(desk, "operate-callbacks")
    desk.page.uncheck("input[value='2']")
    desk.follow("button:has-text('Entregar otra vez los elegidos')")
    assert "Avisos que se entregan otra vez: 1." in desk.text
    with site.database.read() as connection:
        waiting = connection.scalars(sa.select(callbacks.c.id).where(callbacks.c.receiver.is_not(None)))
        assert list(waiting) == [1]


@pytest.mark.parametrize("path", ["/operar/llamadas", "/operar/accesos"])
def test_the_lists_fit_and_everybody_can_use_them(desk: Tab, path: str) -> None:
    desk.open(path)
    good(desk, path.strip("/").replace("/", "-"))
