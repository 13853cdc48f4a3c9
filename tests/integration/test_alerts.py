"""Alerts: each event once to every channel, in order; a channel holds up nothing."""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import alerts as table
from smsclick.contract import incidents as incidents_table
from smsclick.contract import metadata
from smsclick.settings import load_settings
from tests import one_sender
from tests.factories import LONG_AGO, alert_events, insert, states
from tests.servers import free_port
from worker.alerting import delivery, incidents
from worker.alerting.details import NONE, Detail, made, of_code
from worker.alerting.texts import Style
from worker.alerting.wording import DetailCode
from worker.operator import open_incidents
from worker.operator.doctor import alert_test
from worker.operator.doctor.check import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database
    from smsclick.simulator import Simulator
    from tests.integration.conftest import MakeRuntime
    from worker.alerting.delivery import Channel

SECRET = "secreto-del-canal"
ENGLISH = Style("shop", "en")

# Apprise's own, when it loads its plug-ins.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Receiver(ThreadingHTTPServer):
    """A real webhook that remembers titles and can refuse."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.titles: list[str] = []
        self.calls: list[dict[str, str]] = []
        self.bodies: list[str] = []
        self.status = 200
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        # A late acknowledgement would repeat the alert, and a slow machine must not.
        return f"json://user:{SECRET}@127.0.0.1:{self.server_port}/{SECRET}?cto=60&rto=60"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.calls.append(body)
            self.server.titles.append(body["title"])
            self.server.bodies.append(body["message"])
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's name
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def dead() -> str:
    """The address of a channel where nobody listens."""
    return f"json://user:{SECRET}@127.0.0.1:{free_port()}/{SECRET}"


def open_(database: Database, kind: str = "no_balance", *, subject: str = "", detail: Detail = NONE) -> None:
    database.transact(lambda connection: incidents.report(connection, kind, subject=subject, detail=detail))


def close(database: Database, kind: str = "no_balance") -> None:
    database.transact(lambda connection: incidents.close(connection, kind))


def deliver(database: Database, channels: list[Channel]) -> int:
    """A delivery when everything that was put off is due again."""
    with database.begin() as connection:
        connection.execute(sa.update(table).where(table.c.due_at.is_not(None)).values(due_at=LONG_AGO))
    return delivery.deliver(database, channels, random.Random(0), ENGLISH)


def put_off(database: Database) -> None:
    """An alert that was not acknowledged waits longer than any test."""
    with database.begin() as connection:
        later = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
        connection.execute(sa.update(table).where(table.c.due_at.is_not(None)).values(due_at=later))


NO_CREDITS = made(DetailCode.HOLD, code=-104, meaning=of_code(-104))
NO_BALANCE = "SMSClick shop: No balance (-104): sending is held"
OVER = "SMSClick shop: over: No balance (-104): sending is held"


def test_a_problem_and_its_end_are_alerted_once_each_in_order(database: Database, receiver: Receiver) -> None:
    channels = delivery.channels(receiver.url)
    open_(database, detail=NO_CREDITS)
    open_(database)
    assert deliver(database, channels) == 1
    close(database)
    close(database)
    assert deliver(database, channels) == 1
    assert deliver(database, channels) == 0
    assert receiver.titles == [NO_BALANCE, OVER]
    assert "Buy credits at SMSClick" in receiver.bodies[0]
    assert "Detail: -104: the account has no balance" in receiver.bodies[0]


def test_an_alert_says_how_many_wait(database: Database, receiver: Receiver) -> None:
    insert(database, 3)
    open_(database)
    deliver(database, delivery.channels(receiver.url))
    assert "Messages waiting: 3." in receiver.bodies[0]


def test_of_two_channels_the_good_one_hears_it_once_however_often_the_dead_one_is_tried(
    database: Database, receiver: Receiver
) -> None:
    channels = delivery.channels(f"{dead()},{receiver.url}")
    assert len(channels) == 2
    open_(database)
    for _ in range(4):
        assert deliver(database, channels) == 0
    assert receiver.titles == [NO_BALANCE]


def test_an_alert_that_a_channel_did_not_acknowledge_is_tried_again(database: Database, receiver: Receiver) -> None:
    channels = delivery.channels(receiver.url)
    receiver.status = 500
    open_(database)
    assert deliver(database, channels) == 0
    assert delivery.deliver(database, channels, random.Random(0), ENGLISH) == 0  # not due yet
    receiver.status = 200
    assert deliver(database, channels) == 1
    assert receiver.titles == [NO_BALANCE]


def test_what_nobody_can_use_any_more_is_dropped(database: Database, receiver: Receiver) -> None:
    """A channel that was away hears one alert of each incident, whatever happened meanwhile."""
    channels = delivery.channels(receiver.url)
    receiver.status = 500
    open_(database)
    for _ in range(3):
        deliver(database, channels)
        remind(database)
    close(database)
    open_(database, "low_balance")
    for _ in range(3):
        deliver(database, channels)
        remind(database)
    receiver.status = 200
    assert deliver(database, channels) == 2
    assert deliver(database, channels) == 0
    assert sorted(receiver.titles) == [OVER, "SMSClick shop: still: The balance is low"]


def test_an_alert_that_no_channel_takes_is_given_up_after_a_day(database: Database, receiver: Receiver) -> None:
    open_(database)
    assert deliver(database, delivery.channels(dead())) == 0
    with database.begin() as connection:
        connection.execute(sa.update(table).values(created_at=LONG_AGO))
    assert deliver(database, delivery.channels(receiver.url)) == 0
    assert receiver.titles == []
    with database.read() as connection:
        assert list(connection.scalars(sa.select(table.c.due_at))) == [None]
    remind(database)  # the open incident still has reminders
    assert deliver(database, delivery.channels(receiver.url)) == 1


def test_the_end_is_not_delivered_while_the_beginning_is_delivered(database: Database, receiver: Receiver) -> None:
    """Two processes deliver: the first one's request may arrive after the second one's."""
    channels = delivery.channels(receiver.url)
    open_(database)
    with database.begin() as connection:
        later = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
        connection.execute(sa.update(table).values(due_at=later, claimed_until=later))
    close(database)
    assert delivery.deliver(database, channels, random.Random(0), ENGLISH) == 0
    with database.begin() as connection:
        connection.execute(sa.update(table).where(table.c.news == "opened").values(claimed_until=None))
    assert delivery.deliver(database, channels, random.Random(0), ENGLISH) == 1
    assert receiver.titles == [OVER]


def test_a_dead_channel_does_not_keep_the_end_from_a_good_one(database: Database, receiver: Receiver) -> None:
    channels = delivery.channels(f"{dead()},{receiver.url}")
    open_(database)
    deliver(database, channels)
    close(database)
    for _ in range(3):
        assert deliver(database, channels) == 0
    assert receiver.titles == [NO_BALANCE, OVER]


def test_an_alert_that_is_not_acknowledged_does_not_hold_up_another(database: Database, receiver: Receiver) -> None:
    open_(database)
    assert deliver(database, delivery.channels(dead())) == 0
    put_off(database)
    open_(database, "low_balance")
    assert delivery.deliver(database, delivery.channels(receiver.url), random.Random(0), ENGLISH) == 1
    assert receiver.titles == ["SMSClick shop: The balance is low"]


def test_two_processes_that_deliver_at_once_deliver_it_once(database: Database, receiver: Receiver) -> None:
    channels = delivery.channels(receiver.url)
    open_(database)
    barrier = threading.Barrier(4)

    def run(seed: int) -> int:
        barrier.wait(60)
        return delivery.deliver(database, channels, random.Random(seed), ENGLISH)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 1
    assert receiver.titles == [NO_BALANCE]


def test_without_a_channel_the_log_is_the_channel(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    open_(database, detail=NO_CREDITS)
    assert deliver(database, delivery.channels("")) == 1
    assert 'Alert. incident=no_balance change=opened detail="-104: the account has no balance"' in caplog.text
    assert deliver(database, []) == 0


def test_the_test_alert_says_which_channel_acknowledged_it(receiver: Receiver) -> None:
    settings = load_settings(ALERT_URLS=f"{receiver.url},{dead()}", SMSCLICK_INSTALLATION="tienda")
    checks = list(alert_test.run(load=lambda: settings))
    assert [(check.name, check.verdict) for check in checks] == [
        ("alerts 1", Verdict.OK),
        ("alerts 2", Verdict.FAILED),
    ]
    assert receiver.titles == ["SMSClick tienda: aviso de prueba"]
    assert SECRET not in str(checks)
    assert [check.verdict for check in alert_test.run(load=load_settings)] == [Verdict.FAILED]


def test_a_program_gets_type_and_fields(database: Database, receiver: Receiver) -> None:
    channels = delivery.channels(f"{receiver.url}&:severity=mine")
    open_(database, detail=NO_CREDITS)
    deliver(database, channels)
    close(database)
    deliver(database, channels)
    opened, closed = receiver.calls
    assert (opened["type"], closed["type"]) == ("failure", "success")
    assert (opened["incident"], opened["event"], opened["installation"]) == ("no_balance", "opened", "shop")
    assert opened["severity"] == "mine"  # what the address itself adds stays
    assert opened["incident_id"] == closed["incident_id"]


def test_addresses_stand_neither_in_the_database_nor_in_the_log(
    database: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    channels = delivery.channels(f"{receiver.url},{dead()}")
    open_(database)
    deliver(database, channels)
    receiver.status = 403
    close(database)
    deliver(database, channels)
    with database.read() as connection:
        stored = " ".join(str(connection.execute(sa.select(each)).all()) for each in metadata.sorted_tables)
    assert SECRET not in stored
    assert SECRET not in caplog.text
    assert receiver.titles == [NO_BALANCE]


class Raising:
    """A channel whose plug-in fails with its own address in the error."""

    def notify(self, body: str, title: str, notify_type: object) -> bool:  # noqa: ARG002 - its form
        raise RuntimeError(f"could not reach {self.url()} with {title} and {body}")

    def url(self) -> str:
        return f"raising://{SECRET}"


def test_a_channel_that_raises_stops_no_other(
    database: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    open_(database)
    assert deliver(database, [Raising(), *delivery.channels(receiver.url)]) == 0
    assert receiver.titles == [NO_BALANCE]
    assert SECRET not in caplog.text


def test_a_dead_channel_delays_neither_the_hold_nor_what_follows(
    make_runtime: MakeRuntime, simulator: Simulator
) -> None:
    """By structure: sending never touches a channel; alert events wait in their table."""
    runtime = make_runtime(ALERT_URLS=dead())
    simulator.set(balance=0)
    one_sender.send(runtime, insert(runtime.database, 2))
    assert states(runtime.database) == ["queued", "queued"]
    assert alert_events(runtime.database) == [("no_balance", "opened")]
    assert deliver(runtime.database, list(runtime.channels)) == 0


# --- Incidents


def test_many_that_meet_a_problem_at_once_open_it_once(database: Database) -> None:
    barrier = threading.Barrier(12)

    def run(_: int) -> bool:
        barrier.wait(60)
        return database.transact(lambda connection: incidents.report(connection, "bad_call", count=2))

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(run, range(12))) == 1
    assert alert_events(database) == [("bad_call", "opened")]
    with database.read() as connection:
        assert connection.execute(sa.select(incidents_table.c.occurrences)).scalar_one() == 24


def remind(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.update(incidents_table).values(remind_at=LONG_AGO))
    database.transact(incidents.tick)


def over_for_long(database: Database) -> None:
    with database.begin() as connection:
        ended = sa.update(incidents_table).where(incidents_table.c.ends_at.is_not(None))
        connection.execute(ended.values(ends_at=LONG_AGO))
    database.transact(incidents.tick)


def test_a_problem_that_comes_and_goes_makes_four_alerts_however_often(database: Database) -> None:
    for _ in range(25):
        open_(database)
        close(database)
    expected = [("no_balance", "opened"), ("no_balance", "closed"), ("no_balance", "reopened")]
    assert alert_events(database) == expected
    database.transact(incidents.tick)
    assert alert_events(database) == expected
    over_for_long(database)
    assert alert_events(database) == [*expected, ("no_balance", "closed")]
    with database.read() as connection:
        found = connection.execute(sa.select(incidents_table)).one()
    assert (found.occurrences, found.reopened) == (25, 24)


def test_a_problem_that_comes_back_much_later_is_a_new_incident(database: Database) -> None:
    for _ in range(2):
        open_(database)
        close(database)
        over_for_long(database)
    assert alert_events(database) == [("no_balance", "opened"), ("no_balance", "closed")] * 2


def test_a_problem_that_has_ended_is_not_open_although_it_may_come_back(database: Database) -> None:
    open_(database)
    close(database)
    with database.read() as connection:
        assert not incidents.is_open(connection, "no_balance")
        assert open_incidents.read(connection) == []
    open_(database)
    with database.read() as connection:
        assert incidents.is_open(connection, "no_balance")


def test_many_open_incidents_keep_none_from_its_reminder(database: Database) -> None:
    for number in range(120):
        open_(database, "unlisted_code", subject=f"{number:03d}")
    with database.begin() as connection:
        last = incidents_table.c.subject == "119"
        connection.execute(sa.update(incidents_table).where(last).values(remind_at=LONG_AGO))
    assert database.transact(incidents.tick) == 1


def test_a_kind_that_this_release_does_not_know_stops_nothing(database: Database, receiver: Receiver) -> None:
    open_(database)
    with database.begin() as connection:
        connection.execute(sa.update(incidents_table).values(kind="of_tomorrow"))
    remind(database)
    open_(database, "low_balance")
    assert deliver(database, delivery.channels(receiver.url)) == 2


def test_what_lasts_is_reminded_of_and_not_more_often_than_said(database: Database) -> None:
    open_(database)
    assert database.transact(incidents.tick) == 0
    with database.begin() as connection:
        connection.execute(sa.update(incidents_table).values(remind_at=LONG_AGO))
    assert database.transact(incidents.tick) == 1
    assert database.transact(incidents.tick) == 0
    assert alert_events(database) == [("no_balance", "opened"), ("no_balance", "reminder")]


def test_a_reminder_after_the_end_does_not_happen(database: Database) -> None:
    open_(database)
    close(database)
    with database.begin() as connection:
        connection.execute(sa.update(incidents_table).values(remind_at=LONG_AGO))
    assert database.transact(incidents.tick) == 0


@pytest.mark.parametrize(("kind", "ends"), [("bad_call", True), ("lost_id", True), ("no_balance", False)])
def test_a_problem_without_an_end_of_its_own_ends_when_it_has_been_quiet(
    database: Database, kind: str, *, ends: bool
) -> None:
    open_(database, kind)
    with database.begin() as connection:
        connection.execute(sa.update(incidents_table).values(last_at=LONG_AGO))
    database.transact(incidents.tick)
    assert alert_events(database) == [(kind, "opened")] + [(kind, "closed")] * ends


def test_two_subjects_of_a_kind_are_two_incidents(database: Database) -> None:
    open_(database, "unlisted_code", subject="-998")
    open_(database, "unlisted_code", subject="-999")
    open_(database, "unlisted_code", subject="-999")
    assert alert_events(database) == [("unlisted_code", "opened")] * 2
