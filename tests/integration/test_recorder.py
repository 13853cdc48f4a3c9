"""The recorder: no result is lost, whatever the database says, and none keeps the others from being written."""

from __future__ import annotations

import ctypes
import logging
import random
import re
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import HoldReason, State, accounts, incidents, messages
from smsclick.provider.codes import Action
from smsclick.provider.results import Accepted, Refused
from tests.conftest import migrate
from tests.factories import POLICY, alert_events, insert, row, settings, states
from tests.processes import wait_until
from worker.lifecycle.attempt import Ended
from worker.queue import claims
from worker.sending import recorder
from worker.sending.recorder import Recorder
from worker.threads.supervision import SupervisedThread, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import PostgresServer
    from worker.lifecycle.attempt import Claim

SETTINGS = settings("sqlite:///never-opened.db")
NO_BALANCE = Refused(-104, "Sin saldo", Action.HOLD_NO_BALANCE, "no balance")


def kill(thread: SupervisedThread) -> None:
    """Raise SystemExit in the thread, wherever it is: what no `except Exception` sees."""
    running = thread._thread
    assert running is not None
    assert running.ident is not None
    if not running.is_alive():
        return  # its number may be another thread's by now
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(running.ident), ctypes.py_object(SystemExit))


def claim(database: Database, count: int = 1) -> list[Claim]:
    insert(database, count)
    found: list[Claim] = []
    while len(found) < count:
        found += database.transact(lambda connection: claims.claim(connection, None, 100, POLICY))
    return sorted(found, key=lambda each: each.id)


def submit(recorder: Recorder, ended: Ended) -> threading.Event:
    """What is set when the result is on record."""
    done = threading.Event()
    recorder.submit(ended, done.set)
    return done


def answered(each: Claim) -> Ended:
    return Ended(each, Accepted(each.id + 1000, 1, "Mensaje enviado"), 0)


@pytest.fixture
def started(database: Database) -> Iterator[Callable[[Database | None], Recorder]]:
    """Recorders that are closed with the test."""
    made: list[Recorder] = []

    def start(other: Database | None = None) -> Recorder:
        made.append(Recorder(other or database, SETTINGS))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def backend(database: Database) -> Iterator[sa.Connection]:
    """A backend's own connection, in a transaction of its own that takes as long as it likes."""
    engine = sa.create_engine(database.engine.url)
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


def hold(connection: sa.Connection, *held: Claim) -> None:
    connection.execute(sa.select(messages.c.id).where(messages.c.id.in_([h.id for h in held])).with_for_update())


SERVERS = pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
"""SQLite locks no rows: it has one writer."""


@SERVERS
def test_a_result_whose_row_is_locked_waits_alone(
    database: Database, started: Callable[..., Recorder], backend: sa.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    group = claim(database, 30)
    hold(backend, group[7], group[20])
    waiting = started()
    for each in group:
        waiting.submit(answered(each))
    wait_until(lambda: waiting.recorded == 28, what="the others")
    assert waiting.waiting == 2
    assert (
        f"message_id={group[7].id} attempt={group[7].attempt} outcome=Accepted id_mensaje={group[7].id + 1000}"
        in caplog.text
    )
    backend.rollback()
    wait_until(lambda: not waiting.waiting, what="the two")
    assert states(database) == [State.SENT] * 30
    assert row(database, group[7].id).id_mensaje == group[7].id + 1000


@SERVERS
def test_a_refusal_of_the_account_is_known_at_once_although_its_row_is_locked(
    database: Database, started: Callable[..., Recorder], backend: sa.Connection
) -> None:
    [only] = claim(database)
    hold(backend, only)
    waiting = started()
    waiting.record(Ended(only, NO_BALANCE, 0))
    with database.read() as connection:
        assert connection.scalar(sa.select(accounts.c.hold_reason)) == HoldReason.NO_BALANCE
    assert states(database) == [State.SENDING]
    backend.rollback()
    wait_until(lambda: states(database) == [State.QUEUED], what="the row")
    with database.read() as connection:
        assert connection.scalar(sa.select(incidents.c.occurrences)) == 1  # counted once, not with each try


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_refusal_that_waits_for_the_row_lock_of_the_account_delays_no_other_answer(
    database: Database, started: Callable[..., Recorder], backend: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for the account's row ends, and the group is written one by one."""
    monkeypatch.setattr(recorder, "_LOCK_TIMEOUT", "200ms")
    group = claim(database, 5)
    backend.execute(sa.select(accounts.c.account).with_for_update())
    waiting = started()
    waiting.submit(Ended(group[0], NO_BALANCE, 0))
    for each in group[1:]:
        waiting.submit(answered(each))
    wait_until(lambda: waiting.recorded == 4, what="the answers")
    wait_until(lambda: waiting.waiting == 1, what="the refusal alone")
    backend.rollback()
    wait_until(lambda: not waiting.waiting, what="the refusal")
    assert states(database) == [State.QUEUED] + [State.SENT] * 4


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_what_waits_is_bounded_and_room_comes_back(
    database: Database, started: Callable[..., Recorder], backend: sa.Connection
) -> None:
    group = claim(database, recorder.MOST_WAITING + 10)
    hold(backend, *group)
    waiting = started()
    for each in group:
        waiting.submit(answered(each))
    assert not waiting.has_room
    backend.rollback()
    wait_until(lambda: waiting.has_room, what="room")
    wait_until(lambda: not waiting.waiting, what="all")
    assert states(database) == [State.SENT] * len(group)


def test_an_id_that_another_message_has_is_kept_for_a_person_and_stops_nobody(
    database: Database, started: Callable[[Database | None], Recorder]
) -> None:
    first, second, third = claim(database, 3)
    writing = started(None)
    writing.record(answered(first))
    group = [
        submit(writing, Ended(second, Accepted(first.id + 1000, 1, "Mensaje enviado"), 0)),
        submit(writing, answered(third)),
    ]
    assert all(each.wait(60) for each in group)
    assert [row(database, each.id).state for each in (first, second, third)] == ["sent", "unknown", "sent"]
    assert str(first.id + 1000) in row(database, second.id).last_error


def test_accepted_answers_wait_for_a_database_that_refuses_all_writes(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.start()
    url = migrate(postgres.create_database("readonly"))
    writable = Database(url, threads=2)
    group = claim(writable, 42)
    with writable.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ALTER DATABASE readonly SET default_transaction_read_only = on"))
    standby = Database(url, threads=4)
    waiting = Recorder(standby, SETTINGS)
    for each in group:
        waiting.submit(answered(each))
    wait_until(lambda: "Results wait for the database" in caplog.text, what="the refusal")
    assert waiting.waiting == 42
    # The process is asked to end meanwhile: it writes them first, however long that takes.
    ending = threading.Thread(target=waiting.close)
    ending.start()
    wait_until(lambda: waiting._closing, what="the end to be asked for")
    with writable.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ALTER DATABASE readonly SET default_transaction_read_only = off"))
    ending.join(60)
    assert waiting.waiting == 0
    assert states(writable) == [State.SENT] * 42
    assert alert_events(writable) == []
    assert all(record.exc_info is None for record in caplog.records)  # no driver's text, no traceback
    standby.dispose()
    writable.dispose()
    postgres.drop_database("readonly")


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
@pytest.mark.parametrize("number", [1021, 1114])
def test_accepted_answers_wait_for_a_mariadb_whose_disk_is_full(
    number: int, database: Database, started: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    """The server itself answers with this number, at whatever is written of a result."""
    group = claim(database, 6)
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER no_room BEFORE INSERT ON smsclick_events FOR EACH ROW "
            f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'no space left'"
        )
    try:
        writing = started()
        done = [submit(writing, answered(each)) for each in group]
        wait_until(lambda: f"(its disk is full, {number})" in caplog.text, what="the refusal")
        assert writing.waiting == 6
        assert not any(each.is_set() for each in done)
    finally:
        with database.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER no_room")
    for each in done:
        assert each.wait(60)
    assert states(database) == [State.SENT] * 6
    assert alert_events(database) == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_result_that_the_table_refuses_is_dropped_with_its_id_and_an_incident(
    database: Database, started: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    group = claim(database, 6)
    odd = group[2].id + 1000
    with database.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE smsclick_messages ADD CONSTRAINT odd CHECK (id_mensaje <> {odd})"))
    try:
        writing = started()
        for done in [submit(writing, answered(each)) for each in group]:
            assert done.wait(60)
    finally:
        with database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE smsclick_messages DROP CONSTRAINT odd"))
    assert states(database) == [State.SENT] * 2 + [State.SENDING] + [State.SENT] * 3
    assert alert_events(database) == [("lost_id", "opened")]
    assert f"message_id={group[2].id} attempt={group[2].attempt} outcome=Accepted id_mensaje={odd}" in caplog.text
    assert group[2].text not in caplog.text
    assert group[2].phone not in caplog.text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_result_that_is_refused_only_briefly_is_not_dropped(
    database: Database, started: Callable[..., Recorder]
) -> None:
    """Another process may have written the same id just now; the next look sees that."""

    class Stumbling(Database):
        left = 4

        def transact(self, work: Callable[[sa.Connection], Any]) -> Any:  # noqa: ANN401 - as its base
            if self.left:
                self.left -= 1
                raise sa.exc.IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation())
            return super().transact(work)

    [each] = claim(database)
    stumbling = Stumbling(database.engine.url.render_as_string(hide_password=False))
    assert submit(started(stumbling), answered(each)).wait(60)
    assert states(database) == [State.SENT]
    assert alert_events(database) == []
    stumbling.dispose()


def test_an_accepted_answer_to_a_deleted_message_is_named_in_an_incident(
    database: Database, started: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    gone, *good = claim(database, 3)
    with database.begin() as connection:
        connection.execute(sa.text("DELETE FROM smsclick_events"))
        connection.execute(sa.delete(messages).where(messages.c.id == gone.id))
    writing = started()
    for each in (gone, *good):
        writing.record(answered(each))
    assert states(database) == [State.SENT] * 2
    assert alert_events(database) == [("lost_id", "opened")]
    assert f"message_id={gone.id} attempt={gone.attempt} id_mensaje={gone.id + 1000}" in caplog.text


@pytest.mark.parametrize("database", ["postgres", "sqlite"], indirect=True)
# One that hits a weak reference's callback is swallowed by Python, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("threads_die_silently")
def test_a_recorder_whose_thread_is_killed_again_and_again_loses_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    group = claim(database, 150)
    supervisor = Supervisor()
    writing = Recorder(database, SETTINGS, supervisor=supervisor)
    [thread] = supervisor._threads
    ended = threading.Event()
    rng = random.Random(1)

    def murder() -> None:
        while not ended.wait(rng.random() * 0.02):
            kill(thread)

    killer = threading.Thread(target=murder, daemon=True)
    killer.start()
    for each in group:
        writing.submit(answered(each))
        if each.id % 10 == 0:
            ended.wait(0.02)
    # As a worker does from time to time: one may have hit the supervisor itself.
    wait_until(lambda: supervisor.revive() and thread.restarts >= 5, what="five deaths")
    ended.set()
    killer.join()
    writing.close()
    assert states(database) == [State.SENT] * 150
    with database.read() as connection:
        written = connection.execute(sa.text("SELECT COUNT(*) FROM smsclick_events WHERE to_state = 'sent'")).scalar()
    assert written == 150  # once each
    assert re.search(r"thread=smsclick-recorder error=SystemExit place=\S+ restarts=\d", caplog.text)
