"""Beat alone: with every worker dead it raises the alert, and it asks for the dead man's switch only in good times."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import State, heartbeats
from tests.factories import LONG_AGO, insert, settings
from tests.integration.test_alerts import receiving
from tests.processes import wait_until
from tests.servers import free_port
from worker.monitoring.beat_watch import BeatWatch
from worker.monitoring.progress_checks import Limits
from worker.sql import heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database

SECRET = "secreto-del-latido"

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Switch(ThreadingHTTPServer):
    """A dead man's switch: counts what it is asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: list[str] = []
        self.status = 200
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{SECRET}?id={SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Switch

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's name
        pass


@pytest.fixture
def switch() -> Iterator[Switch]:
    made = Switch()
    yield made
    made.shutdown()
    made.server_close()


@contextmanager
def beat(database: Database, **variables: object) -> Iterator[BeatWatch]:
    url = database.engine.url.render_as_string(hide_password=False)
    made = BeatWatch(settings(url, "http://127.0.0.1:1/sms-services", **variables), Limits(confirm=0))
    try:
        yield made
    finally:
        made.close()


def progress(database: Database) -> None:
    """A sweep has run, and a worker made progress."""
    heartbeat.take(database, "sweep", 0.001)
    heartbeat.take(database, "beat", 0.001)
    heartbeat.beat(database, "worker:here:1", 1)


def forget(database: Database, name: str) -> None:
    with database.begin() as connection:
        connection.execute(sa.update(heartbeats).where(heartbeats.c.name.startswith(name)).values(at=LONG_AGO))


def test_the_switch_is_asked_for_while_everything_progresses(database: Database, switch: Switch) -> None:
    progress(database)
    with beat(database, SMSCLICK_HEARTBEAT_URL=switch.url) as watch:
        watch.ping()
        watch.ping()
    assert switch.paths == [f"/{SECRET}?id={SECRET}"] * 2


@pytest.mark.parametrize("missing", ["sweep", "worker", "results"])
def test_the_switch_is_not_asked_for_while_something_is_missing(
    database: Database, switch: Switch, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    progress(database)
    if missing == "results":
        insert(database, state=State.QUEUED, due_at=LONG_AGO)
    else:
        forget(database, missing)
    with beat(database, SMSCLICK_HEARTBEAT_URL=switch.url) as watch:
        watch.ping()
    assert switch.paths == []
    assert {"sweep": "no_ticks", "worker": "no_workers", "results": "no_records"}[missing] in caplog.text


@pytest.mark.parametrize("answer", ["refused", "404", "redirect"])
def test_its_address_is_in_no_log(
    database: Database, switch: Switch, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    caplog.set_level("INFO")
    progress(database)
    switch.status = 404 if answer == "404" else 302
    url = f"http://127.0.0.1:{free_port()}/{SECRET}" if answer == "refused" else switch.url
    with beat(database, SMSCLICK_HEARTBEAT_URL=url) as watch:
        watch.ping()
    assert "The heartbeat address was not reached. reason=" in caplog.text
    assert SECRET not in caplog.text


def test_without_a_worker_beat_alerts_by_itself(database: Database) -> None:
    progress(database)
    with receiving() as receiver, beat(database, ALERT_URLS=receiver.url, SMSCLICK_INSTALLATION="tienda") as watch:
        watch.look()
        assert receiver.titles == []
        forget(database, "worker")
        look_later(database, watch)
        progress(database)
        look_later(database, watch)
        look_later(database, watch)
        assert receiver.titles == [
            "SMSClick tienda: Ningún worker avanza",
            "SMSClick tienda: terminó: Ningún worker avanza",
        ]
        assert "Detalle: ningún worker desde hace" in receiver.bodies[0]


def look_later(database: Database, watch: BeatWatch) -> None:
    """Beat looks twice, and between that passes the time in which a worker would have delivered the alert."""
    watch.look()
    with database.begin() as connection:
        connection.execute(
            sa.text("UPDATE smsclick_alerts SET due_at = '2020-01-01 00:00:00' WHERE due_at IS NOT NULL")
        )
    watch.look()


def test_the_threads_run_by_themselves(database: Database, switch: Switch) -> None:
    progress(database)
    with beat(database, SMSCLICK_HEARTBEAT_URL=switch.url) as watch:
        watch.start()
        wait_until(lambda: bool(switch.paths), what="the first heartbeat")
