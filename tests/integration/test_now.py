"""The figures of *Ahora*: what flows, how fast, and why nothing flows, on each database."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import HoldReason, State, minutes
from tests.factories import change_account, clock, insert
from worker.account import minutes as readings
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.lifecycle import tallied
from worker.metrics import process_metrics, tallies
from worker.operator import account, counting, now
from worker.operator.account import HoldCode
from worker.operator.now import Situation
from worker.sql import audit, heartbeat

if TYPE_CHECKING:
    from smsclick._database.engine import Database


def ago(database: Database, seconds: float) -> dt.datetime:
    return clock(database) - dt.timedelta(seconds=seconds)


def alive(database: Database) -> None:
    heartbeat.beat(database, "worker:host:1", 1)


def send(database: Database, count: int, *, call_part: str = "0.25") -> None:
    """So many messages were accepted, as the counters know it."""
    amounts = {
        (tallied.EVENTS, "sending sent answered"): count,
        (process_metrics.CALL_SECONDS, call_part): count,
        (process_metrics.WAIT_SECONDS, "0.005"): count,
        (tallied.FINAL_SECONDS, "delivered 15.0"): count,
    }
    with database.begin() as connection:
        tallies.add(connection, amounts)


def noted(database: Database, seconds_ago: float) -> None:
    """Note the minute's counters as if it were so long ago."""
    assert readings.note(database)
    at = ago(database, seconds_ago)
    with database.begin() as connection:
        newest = sa.select(sa.func.max(minutes.c.read_at)).scalar_subquery()
        connection.execute(
            sa.update(minutes)
            .where(minutes.c.read_at == connection.scalar(sa.select(newest)))
            .values(read_at=at, minute=at.replace(second=0, microsecond=0))
        )


def test_rate_and_latency_of_each_minute_come_from_the_counters(database: Database) -> None:
    noted(database, 200)
    send(database, 600)
    noted(database, 100)
    send(database, 50, call_part="0.5")
    found = now.read(database)
    first, second = found.minutes
    assert first.per_second == pytest.approx(600 / first.seconds)
    assert first.seconds == pytest.approx(100, abs=20)
    assert first.ends_at == second.begins_at
    assert second.ends_at == found.at
    assert first.latencies.call.count == 600
    assert 0.1 < (first.latencies.call.p50 or 0) <= 0.25
    assert 0.25 < (second.latencies.call.p50 or 0) <= 0.5
    assert (found.latencies.wait.count, found.latencies.final.count) == (650, 650)
    assert 0.25 < (found.latencies.call.p99 or 0) <= 0.5
    assert 5 < (found.latencies.final.p50 or 0) <= 15


def test_a_minute_is_noted_once_and_old_ones_are_deleted(database: Database) -> None:
    noted(database, 3 * 3600)
    noted(database, -600)  # before the clock was set back
    while not readings.note(database):  # a minute that began meanwhile is noted at the second call
        pass
    assert sum(readings.note(database) for _ in range(3)) <= 1
    with database.read() as connection:
        kept = connection.execute(sa.select(minutes.c.minute)).scalars().all()
    assert all(clock(database) - dt.timedelta(hours=2) < each <= clock(database) for each in kept)


def test_counters_that_became_smaller_after_a_restore_show_nothing(database: Database) -> None:
    send(database, 100)
    noted(database, 100)
    with database.begin() as connection:
        connection.execute(sa.text("DELETE FROM smsclick_tallies"))
    send(database, 10)
    (span,) = now.read(database).minutes
    assert (span.per_second, span.latencies.call.count) == (0, 0)


def test_the_last_minute_is_counted_by_state(database: Database) -> None:
    recent, old = ago(database, 20), ago(database, 90)
    insert(database, 3, state=State.SENT, due_at=None, sent_at=recent)
    insert(database, 2, state=State.DELIVERED, due_at=None, sent_at=old, final_at=recent)
    insert(database, state=State.REJECTED, due_at=None, sent_at=recent, final_at=recent)
    insert(database, state=State.FAILED, due_at=None, final_at=recent)
    insert(database, state=State.FAILED, due_at=None, final_at=old)
    flow = now.read(database).flow
    assert flow.states == {State.SENT: 4, State.DELIVERED: 2, State.REJECTED: 1, State.FAILED: 1}
    assert flow.estimated == frozenset()


def test_of_very_many_the_counters_say_what_a_minute_has(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now, "_MOST_FLOW", 3)
    insert(database, 4, state=State.DELIVERED, due_at=None, final_at=ago(database, 6), sent_at=ago(database, 600))
    flow = now.read(database).flow
    assert flow.states[State.DELIVERED] == 3  # so many at least, before a minute was noted
    assert flow.estimated == {State.DELIVERED, State.REJECTED, State.FAILED}
    noted(database, 600)
    send(database, 999)  # in an earlier minute
    noted(database, 100)
    with database.begin() as connection:
        tallies.add(connection, {(tallied.EVENTS, "sent delivered tracked"): 1000})
    found = now.read(database)
    assert found.flow.states[State.DELIVERED] == pytest.approx(1000 * 60 / found.minutes[-1].seconds, rel=0.01)
    assert found.flow.states[State.SENT] == 0


def test_why_nothing_is_sent_is_one_sentence_in_both_languages(database: Database) -> None:
    assert now.read(database).situation is Situation.NO_WORKER
    alive(database)
    assert now.read(database).situation is Situation.IDLE
    insert(database, due_at=ago(database, 5))
    assert now.read(database).situation is Situation.SENDING
    insert(database, due_at=ago(database, 500))
    assert now.read(database).situation is Situation.STUCK
    insert(database, state=State.SENT, due_at=None, sent_at=ago(database, 5))
    found = now.read(database)
    assert found.situation is Situation.BEHIND
    assert (found.oldest_due_seconds or 0) >= 500
    change_account(database, hold_reason=HoldReason.NO_BALANCE, hold_since=ago(database, 60))
    found = now.read(database)
    assert found.sentence("en") == "Nothing is sent: sending is held (no balance)."
    assert found.sentence("es") == "No se envía nada: el envío está detenido (no hay saldo)."


def test_every_situation_and_hold_has_words_in_both_languages() -> None:
    for language in ("en", "es"):
        assert set(now._SENTENCES[language]) == set(Situation)
        assert set(account._REASONS[language]) == set(HoldCode)


def test_a_hold_keeps_who_and_why_without_a_phone(database: Database) -> None:
    assert account.hold(database, actor="ana", why="  she at +52 (55) 5140-2211 complains\x1b[2J\n of double texts ")
    assert not account.hold(database, actor="luis", why="another")
    (found,) = now.read(database).holds
    assert (found.code, found.by) == (HoldCode.OPERATOR, "ana")
    assert found.why == "she at … complains\ufffd[2J of double texts"
    assert found.since is not None
    assert audit.listed(database)[-1].detail == found.why
    account.resume(database, actor="ana")
    assert now.read(database).holds == []
    account.hold(database, actor="ana")
    assert now.read(database).holds[0].why is None


def test_incidents_are_in_the_chosen_language(database: Database) -> None:
    database.transact(lambda connection: incidents.report(connection, "no_ticks", detail=made(DetailCode.NO_SWEEP)))
    (spanish,) = now.read(database, language="es").incidents
    (english,) = now.read(database).incidents
    assert spanish.title != english.title
    assert spanish.advice.startswith("Inicie")
    assert english.advice.startswith("Start")


def test_a_large_table_on_sqlite_is_sampled_and_what_is_on_its_way_is_counted_to_a_limit(database: Database) -> None:
    if database.engine.dialect.name != "sqlite":
        return  # the others estimate: test_query_plans
    insert(database, 50)
    insert(database, 50, state=State.DELIVERED, due_at=None)
    insert(database, 1, id=10_000, state=State.DELIVERED, due_at=None)
    with database.read() as connection:
        found = counting.count(connection, counted=10, most=20)
    assert found.states[State.QUEUED] == 20
    assert found.estimated >= {State.QUEUED, State.DELIVERED}
    assert 0 <= found.states[State.DELIVERED] <= 200
