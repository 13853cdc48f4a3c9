"""Retention: phone, text and reply of final messages go after their time; their record stays."""

from __future__ import annotations

import datetime as dt
import random
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.causes import Cause
from smsclick.contract import State, events, heartbeats, messages
from smsclick.provider.codes import Estatus
from smsclick.provider.results import MessageStatus
from tests.factories import FINAL_STATES, LONG_AGO, POLICY, clock, history, insert, message, row
from worker.lifecycle import on_status
from worker.maintenance import retention
from worker.operator import recent_heartbeats
from worker.queue import claims

DAY = dt.timedelta(days=1)


def old(database: Database, **values: Any) -> int:  # noqa: ANN401 - any column
    given = {"state": State.DELIVERED, "due_at": None, "final_at": clock(database) - 91 * DAY, "reply": "SI"} | values
    return insert(database, **given)[0]


def erased(database: Database, message_id: int) -> bool:
    found = row(database, message_id)
    gone = (found.phone, found.text, found.reply) == ("", "", None)
    assert gone == (found.erased_at is not None)
    return gone


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_final_messages_past_their_time_are_erased_and_their_record_stays(database: Database, state: State) -> None:
    message_id = old(database, state=state, id_mensaje=7, reference="order 1")
    assert retention.erase(database, 90) == 1
    assert erased(database, message_id)
    found = row(database, message_id)
    assert (found.state, found.id_mensaje, found.reference) == (state, 7, "order 1")
    assert retention.erase(database, 90) == 0


def test_what_is_younger_stays(database: Database) -> None:
    message_id = old(database, final_at=clock(database) - 89 * DAY)
    assert retention.erase(database, 90) == 0
    assert not erased(database, message_id)


@pytest.mark.parametrize("state", sorted(set(State) - FINAL_STATES - {State.UNDETERMINED}))
def test_what_is_not_final_stays_however_old(database: Database, state: State) -> None:
    message_id = old(database, state=state, final_at=None, created_at=LONG_AGO, due_at=clock(database) + DAY)
    assert retention.erase(database, 1) == 0
    assert not erased(database, message_id)


@pytest.mark.parametrize("looks", ["asked for still", "not asked for any more"])
def test_an_undetermined_message_is_erased_so_long_after_its_tracking_window(database: Database, looks: str) -> None:
    due_at = clock(database) + DAY if looks == "asked for still" else None
    values = {"state": State.UNDETERMINED, "final_at": None, "due_at": due_at, "id_mensaje": 7}
    message_id = old(database, **values, sent_at=clock(database) - 98 * DAY)
    assert retention.erase(database, 90, tracking_seconds=7 * 86_400) == 1
    assert erased(database, message_id)
    found = row(database, message_id)
    assert (found.state, found.id_mensaje, found.due_at) == (State.UNDETERMINED, 7, due_at)
    younger = old(database, **values | {"id_mensaje": 8}, sent_at=clock(database) - 96 * DAY)
    assert retention.erase(database, 90, tracking_seconds=7 * 86_400) == 0
    assert not erased(database, younger)


def test_a_status_that_comes_after_that_is_kept_and_a_reply_is_not(database: Database) -> None:
    was = message(
        state=State.UNDETERMINED, id_mensaje=7, rule_id="1", sent_at=LONG_AGO, erased_at=clock(database), polls=3
    )
    seen = MessageStatus(Estatus.RECIBIDO, None, None, None, "SI", None, "")
    change = on_status.after_poll(was, seen, clock(database), POLICY, random.Random(1))
    assert change is not None
    assert (change.becomes.state, change.becomes.reply, change.becomes.replied_at) == (State.DELIVERED, None, None)


def test_what_the_provider_said_goes_with_the_text(database: Database) -> None:
    """It is redacted when it comes; what was not recognised as a part of the text must not survive it."""
    message_id = old(database, state=State.FAILED, last_error="Rechazado: clv 48 21")
    notes = {
        Cause.ANSWERED: "Rechazado: clv 48 21",
        Cause.LATE_ANSWER: "Rechazado: clv 48 21",
        Cause.INVALID: "the phone …2211 is not a Mexican number",
        Cause.LEASE_ENDED: "the worker was lost",
    }
    common = {"message_id": message_id, "from_state": "sending", "to_state": "failed", "attempt": 1, "code": -102}
    with database.begin() as connection:
        connection.execute(
            sa.insert(events), [common | {"cause": cause, "description": text} for cause, text in notes.items()]
        )
    assert retention.erase(database, 90) == 1
    assert row(database, message_id).last_error is None
    kept = {event.cause: (event.code, event.description) for event in history(database, message_id)}
    assert kept == dict.fromkeys(notes, (-102, None)) | {Cause.LEASE_ENDED: (-102, "the worker was lost")}


def test_a_delivered_message_that_is_watched_for_its_reply_stays(database: Database) -> None:
    message_id = old(database, due_at=clock(database) + DAY)
    retention.erase(database, 90)
    assert not erased(database, message_id)


def test_zero_days_keep_everything(database: Database) -> None:
    message_id = old(database, final_at=LONG_AGO)
    assert retention.erase(database, 0) == 0
    assert not erased(database, message_id)


def test_it_goes_by_batches_and_comes_back_for_the_rest(database: Database) -> None:
    rows = [
        {
            "key": f"old-{n}",
            "phone": "5551402211",
            "text": "x",
            "state": "delivered",
            "due_at": None,
            "final_at": LONG_AGO,
        }
        for n in range(1500)
    ]
    with database.begin() as connection:
        connection.execute(sa.insert(messages), rows)
    assert retention.erase(database, 90, seconds=0) == 1000
    assert retention.erase(database, 90) == 500


def test_a_worker_that_is_asked_to_stop_erases_one_batch_at_most(database: Database) -> None:
    rows = [{"key": f"old-{n}", "phone": "1", "text": "x", "state": "delivered", "due_at": None} for n in range(1001)]
    with database.begin() as connection:
        connection.execute(sa.insert(messages), [row | {"final_at": LONG_AGO} for row in rows])
    stopping = threading.Event()
    stopping.set()
    assert retention.erase(database, 90, stopping=stopping) == 1000


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_nobody_waits_for_a_batch_that_is_being_erased(database: Database) -> None:
    """Neither producers, nor a claim, nor whoever records that a message became final."""
    for _ in range(5):
        old(database)
    waiting = insert(database, 3)
    others = Database(database.engine.url.render_as_string(hide_password=False), threads=1)
    with database.begin() as erasing:
        assert retention.erase_batch(erasing, 90) == 5
        with others.begin() as connection:
            setting = "lock_timeout" if others.engine.dialect.name == "postgresql" else "innodb_lock_wait_timeout"
            # Long enough for a database that has much to do; for the erasing one it would wait forever.
            connection.exec_driver_sql(f"SET {setting} = {20_000 if setting == 'lock_timeout' else 20}")
            claimed = claims.claim(connection, waiting, 10, POLICY)
            connection.execute(sa.insert(messages).values(key="new", phone="5551402211", text="x"))
            final = {"state": State.DELIVERED, "final_at": clock(database), "due_at": None}
            connection.execute(sa.update(messages).where(messages.c.id == waiting[0]).values(**final))
    others.dispose()
    assert [claim.id for claim in claimed] == waiting


def test_heartbeats_of_processes_that_ended_long_ago_are_dropped(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.insert(heartbeats), [{"name": "old", "at": LONG_AGO, "progress": 1}])
        connection.execute(sa.insert(heartbeats).values(name="new"))
    retention.erase(database, 0)
    with database.read() as connection:
        assert connection.execute(sa.select(heartbeats.c.name)).scalars().all() == ["new"]


def test_the_sweeps_heartbeat_is_seen_beside_those_of_any_number_of_workers(database: Database) -> None:
    now = clock(database)
    with database.begin() as connection:
        connection.execute(sa.insert(heartbeats).values(name="sweep", at=now - dt.timedelta(seconds=9)))
        workers = [{"name": f"worker:host-{n}:1", "at": now} for n in range(1100)]
        connection.execute(sa.insert(heartbeats), workers)
    with database.read() as connection:
        assert [each.name for each in recent_heartbeats.read(connection, named="sweep")] == ["sweep"]
        mine = recent_heartbeats.read(connection, named="worker:host-7:")
        assert [each.name for each in mine] == ["worker:host-7:1"]
