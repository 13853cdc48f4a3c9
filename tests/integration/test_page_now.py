"""*Ahora* on each database: what it shows in either language, and the stream that keeps it up to date."""

from __future__ import annotations

import contextlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from smsclick.contract import State
from tests.factories import insert
from tests.page import signed_in
from tests.processes import wait_until
from worker.alerting import incidents
from worker.operator import account
from worker.operator.access import users
from worker.operator.access.users import Role

if TYPE_CHECKING:
    from tests.api_server import Api


def test_it_says_whether_messages_are_sent_and_if_not_why(site: Api) -> None:
    visitor = signed_in(site.url, site.database, Role.VIEWER)
    assert "ningún worker avanza" in visitor.get("/").text
    english = signed_in(site.url, site.database, Role.VIEWER, name="eva", language="en")
    insert(site.database, 3, state=State.DELIVERED)
    account.hold(site.database, actor="ana", why="mantenimiento <b>nocturno</b>")
    with site.database.begin() as connection:
        incidents.report(connection, "no_balance")
    for who, held, texts in (
        (visitor, "El envío está detenido", ("nocturno", "Qué hacer:", "crítico")),
        (english, "Sending is held", ("nocturno", "What to do:", "critical")),
    ):
        wait_until(lambda who=who, held=held: held in who.get("/").text, what="figures that are newer")  # type: ignore[misc]
        page = who.get("/").text
        assert [text for text in texts if text not in page] == []
        assert "<b>nocturno" not in page


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_number_of_each_state_leads_to_its_messages(site: Api) -> None:
    [queued] = insert(site.database, 1)
    [delivered] = insert(site.database, 1, state=State.DELIVERED)
    visitor = signed_in(site.url, site.database, Role.VIEWER)
    links = re.findall(r'class="figure" href="([^"]+)"', visitor.get("/").text)
    assert len(links) == len(State)
    for state, mine, other in ((State.QUEUED, queued, delivered), (State.DELIVERED, delivered, queued)):
        [link] = [each for each in links if each.endswith(f"={state}")]
        listed = visitor.get(link).text
        assert f'href="/mensajes/{mine}"' in listed
        assert f'href="/mensajes/{other}"' not in listed


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_open_page_hears_of_changes_until_its_session_ends(site: Api) -> None:
    visitor = signed_in(site.url, site.database, Role.OPERATOR)
    with visitor.get("/ahora/eventos", stream=True) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = stream.iter_lines(decode_unicode=True)
        heard = list(iter(lambda: next(lines), "event: figures"))
        assert heard[0] == "retry: 1000"
        account.hold(site.database, actor="ana", why="mantenimiento")
        assert any("mantenimiento" in line for line in iter(lambda: next(lines), None))
        users.remove(site.database, "operator-user", actor="a test")
        rest = list(lines)  # ends
    assert not any(line.startswith("event") for line in rest[-2:])
    assert visitor.get("/ahora/eventos").status_code == 303


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_more_streams_run_than_may_however_many_ask_at_once(site: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = signed_in(site.url, site.database, Role.VIEWER)
    monkeypatch.setattr("web.pages.now._MOST_STREAMS", 3)
    cookies = dict(visitor.http.cookies)
    with contextlib.ExitStack() as opened, ThreadPoolExecutor(12) as pool:
        everybody = threading.Barrier(12)

        def ask(_: int) -> requests.Response:
            everybody.wait()
            return requests.get(f"{site.url}/ahora/eventos", cookies=cookies, stream=True, timeout=60)

        answers = [opened.enter_context(each) for each in pool.map(ask, range(12))]
        assert sorted(each.status_code for each in answers) == [200] * 3 + [429] * 9
    # Their places are free again.
    wait_until(lambda: visitor.get("/ahora/eventos", stream=True).status_code == 200, what="a free place")
