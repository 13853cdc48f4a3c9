"""Claims: who is next, once each, by the database's clock, and never by reading the whole table."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import Priority, State, events, messages
from tests.factories import LONG_AGO, PHONE, POLICY, Roll, change, clock, history, insert, row, states
from worker.lifecycle import message_rows
from worker.operator import message_changes
from worker.queue import claims, expired_leases
from worker.tracking import bracket_claim, by_status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from smsclick._database.engine import Database
    from worker.lifecycle.attempt import Claim

HOUR = dt.timedelta(hours=1)


def claim(database: Database, ids: Collection[int] | None = None, limit: int = 100) -> list[Claim]:
    """Claim without a share for a lower priority; tests/integration/test_priority.py tests those shares."""
    rng = Roll(0.99)
    return database.transact(lambda connection: claims.claim(connection, ids, limit, POLICY, rng=rng))


def test_a_claim_is_on_record_before_anything_is_called_for(database: Database) -> None:
    [message_id] = insert(database)
    before = clock(database)
    [claimed] = claim(database)
    found = row(database, message_id)
    assert (found.state, found.token, found.attempts) == ("sending", claimed.token, 1)
    assert found.lease_until == found.due_at
    assert found.lease_until - found.attempted_at == dt.timedelta(seconds=POLICY.lease)
    assert before <= found.attempted_at <= clock(database)
    assert [(each.from_state, each.to_state, each.attempt) for each in history(database, message_id)] == [
        ("queued", "sending", 1)
    ]


def test_what_is_claimed_is_not_claimed_again(database: Database) -> None:
    insert(database, 3)
    assert len(claim(database)) == 3
    assert claim(database) == []


def test_phone_and_text_do_not_show_in_a_claims_repr(database: Database) -> None:
    insert(database, text="secreto")
    shown = repr(claim(database))
    assert "secreto" not in shown
    assert PHONE not in shown


def test_concurrent_claimers_never_get_the_same_message(database: Database) -> None:
    ids = insert(database, 60)
    barrier = threading.Barrier(6)

    def claim_ids(_: int) -> list[int]:
        barrier.wait(60)
        claimed_ids: list[int] = []
        while batch := claim(database, limit=5):
            claimed_ids += [each.id for each in batch]
        return claimed_ids

    with ThreadPoolExecutor(6) as pool:
        claimed_ids = [each for batch in pool.map(claim_ids, range(6)) for each in batch]
    # One that found others' rows locked may have ended early; what it left is still there.
    claimed_ids += [each.id for each in claim(database)]
    assert sorted(claimed_ids) == ids


def test_duplicate_wake_ups_claim_each_message_once(database: Database) -> None:
    ids = insert(database, 10)
    barrier = threading.Barrier(4)

    def claim_ids(_: int) -> list[int]:
        barrier.wait(60)
        return [each.id for each in claim(database, ids)]

    with ThreadPoolExecutor(4) as pool:
        claimed_ids = [each for batch in pool.map(claim_ids, range(4)) for each in batch]
    claimed_ids += [each.id for each in claim(database, ids)]
    assert sorted(claimed_ids) == ids


def test_the_order_is_by_priority_and_then_by_age(database: Database) -> None:
    def make(priority: Priority, age: int) -> int:
        return insert(database, priority=priority, due_at=LONG_AGO - age * HOUR)[0]

    low, young, old, high = (
        make(Priority.LOW, 9),
        make(Priority.NORMAL, 1),
        make(Priority.NORMAL, 5),
        make(Priority.HIGH, 0),
    )
    with database.read() as connection:
        assert [each.id for each in claims.waiting(connection, 10)] == [high, old, young, low]
    assert [claim(database, limit=1)[0].id for _ in range(4)] == [high, old, young, low]


def test_waiting_predicts_the_credits_by_characters_not_bytes(database: Database) -> None:
    for length in (1, 150, 151, 301):
        insert(database, text="ñ" * length, due_at=LONG_AGO + length * HOUR)
    with database.read() as connection:
        assert [each.credits for each in claims.waiting(connection, 10)] == [1, 1, 2, 3]


@pytest.mark.parametrize("by_id", [True, False])
def test_what_is_not_due_by_the_databases_clock_is_not_claimed(database: Database, *, by_id: bool) -> None:
    now = clock(database)
    [soon] = insert(database, due_at=now + HOUR)
    [due] = insert(database, due_at=now - dt.timedelta(seconds=1))
    assert [each.id for each in claim(database, [soon, due] if by_id else None)] == [due]


def test_a_send_at_in_the_future_is_kept_even_where_an_insert_left_it_due(database: Database) -> None:
    send_at = clock(database).replace(microsecond=0) + HOUR
    [message_id] = insert(database, send_at=send_at)
    assert claim(database) == []
    found = row(database, message_id)
    assert (found.state, found.due_at, found.attempts) == ("queued", send_at, 0)
    assert history(database, message_id) == []


def test_a_message_whose_validity_is_over_expires_at_the_claim(database: Database) -> None:
    [message_id] = insert(database, expires_at=LONG_AGO)
    assert claim(database) == []
    found = row(database, message_id)
    assert (found.state, found.due_at, found.attempts) == ("expired", None, 0)
    assert found.final_at is not None


def test_a_claim_says_what_is_left_of_the_validity(database: Database) -> None:
    insert(database, expires_at=clock(database) + HOUR)
    [claimed] = claim(database)
    assert claimed.valid_seconds is not None
    assert 3500 < claimed.valid_seconds <= 3600


@pytest.mark.parametrize("state", sorted(set(State) - {State.QUEUED}))
def test_a_stray_wake_up_claims_no_message_that_is_not_queued(database: Database, state: State) -> None:
    ids = insert(database, state=state, due_at=LONG_AGO)
    assert claim(database, ids) == []
    assert claim(database) == []
    assert states(database) == [state]


def test_ids_that_do_not_exist_are_passed_over(database: Database) -> None:
    [message_id] = insert(database)
    assert [each.id for each in claim(database, [message_id, message_id + 1000])] == [message_id]


def test_of_a_claim_and_a_cancel_at_once_exactly_one_wins(database: Database) -> None:
    ids = insert(database, 60)
    barrier = threading.Barrier(3)

    def claim_ids(_: int) -> list[int]:
        barrier.wait(60)
        claimed_ids: list[int] = []
        while batch := claim(database, limit=5):
            claimed_ids += [each.id for each in batch]
        return claimed_ids

    def withdraw() -> list[int]:
        barrier.wait(60)
        done = [message_changes.cancel(database, [str(each)], actor="ana") for each in reversed(ids)]
        return [each.id for (each,) in done if each.problem is None and each.id is not None]

    with ThreadPoolExecutor(3) as pool:
        withdrawing = pool.submit(withdraw)
        claimed_ids = [each for batch in pool.map(claim_ids, range(2)) for each in batch]
        cancelled = withdrawing.result()
    claimed_ids += [each.id for each in claim(database)]
    assert sorted([*claimed_ids, *cancelled]) == ids
    assert {row(database, each).state for each in claimed_ids} <= {"sending"}
    assert {row(database, each).state for each in cancelled} <= {"cancelled"}


# --- Lost claims and ended validity


def test_a_lease_that_ended_makes_it_unknown_and_never_queued(database: Database) -> None:
    [message_id] = insert(database)
    [claimed] = claim(database)
    change(database, due_at=LONG_AGO, lease_until=LONG_AGO)
    assert database.transact(lambda connection: expired_leases.expire_leases(connection, 10)) == [message_id]
    found = row(database, message_id)
    assert (found.state, found.token, found.attempts) == ("unknown", claimed.token, 1)
    assert claim(database) == []
    assert claim(database, [message_id]) == []


def test_a_claim_whose_lease_lasts_is_left_alone(database: Database) -> None:
    insert(database)
    claim(database)
    assert database.transact(lambda connection: expired_leases.expire_leases(connection, 10)) == []
    assert states(database) == ["sending"]


def test_validity_that_ended_while_waiting_is_noticed_also_before_its_time_to_send(database: Database) -> None:
    [ended] = insert(database, expires_at=LONG_AGO, due_at=clock(database) + HOUR)
    insert(database, expires_at=clock(database) + HOUR)
    assert database.transact(lambda connection: claims.expire(connection, 10)) == 1
    assert row(database, ended).state == "expired"


def test_ticks_are_bounded(database: Database) -> None:
    insert(database, 7, expires_at=LONG_AGO)
    insert(database, 7, state=State.SENDING)
    assert database.transact(lambda connection: claims.expire(connection, 5)) == 5
    assert len(database.transact(lambda connection: expired_leases.expire_leases(connection, 5))) == 5


def test_two_ticks_at_once_share_the_lost_claims(database: Database) -> None:
    ids = insert(database, 40, state=State.SENDING, token="t")
    barrier = threading.Barrier(2)

    def expire_leases(_: int) -> list[int]:
        barrier.wait(60)
        return database.transact(lambda connection: expired_leases.expire_leases(connection, 100))

    with ThreadPoolExecutor(2) as pool:
        expired_ids = [each for batch in pool.map(expire_leases, range(2)) for each in batch]
    assert sorted(expired_ids) == ids
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one() == 40


# --- What the queries cost


@pytest.fixture
def large(database: Database) -> Iterator[Database]:
    """20,000 final messages, 2,000 that wait, 2,000 that are followed, few of them due."""
    now = clock(database)
    rows = [
        {
            "key": f"large-{n}",
            "phone": PHONE,
            "text": "x",
            "state": state,
            "priority": n % 3,
            "due_at": due,
            "rule_id": "x" * 40,
        }
        for state, count, due in (
            (State.DELIVERED, 20_000, None),
            (State.QUEUED, 2_000, now + HOUR),
            (State.SENT, 2_000, now + HOUR),
            (State.QUEUED, 50, LONG_AGO),
            (State.SENT, 50, LONG_AGO),
            (State.SENDING, 50, LONG_AGO),
        )
        for n in range(count)
    ]
    for number, each in enumerate(rows):
        each["key"] = f"large-{number}"
    with database.begin() as connection:
        connection.execute(sa.insert(messages), rows)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        analyze = {"mysql": "ANALYZE TABLE smsclick_messages", "postgresql": "ANALYZE smsclick_messages"}
        connection.exec_driver_sql(analyze[database.engine.dialect.name])
    yield database
    with database.begin() as connection:
        connection.execute(sa.delete(messages))


class _Statements:
    """Every SELECT on the messages that a step makes, as it reaches the driver."""

    def __init__(self, database: Database) -> None:
        self.found: list[tuple[str, object]] = []
        sa.event.listen(database.engine, "before_cursor_execute", self._note)
        self._engine = database.engine

    def _note(self, *arguments: object) -> None:
        statement = str(arguments[2])
        if statement.startswith("SELECT") and "FROM smsclick_messages" in statement:
            self.found.append((statement, arguments[3]))

    def end(self) -> list[tuple[str, object]]:
        sa.event.remove(self._engine, "before_cursor_execute", self._note)
        return self.found


def _steps(database: Database) -> list[tuple[str, object]]:
    noted = _Statements(database)
    with database.read() as connection:
        claims.waiting(connection, 100)
        by_status.due(connection, 2000)
        bracket_claim.due(connection, POLICY)
    database.transact(lambda connection: message_rows.lock_due(connection, State.SENDING, 500))
    database.transact(lambda connection: claims.expire(connection, 500))
    database.transact(lambda connection: claims.claim(connection, None, 10, POLICY))
    return noted.end()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_every_query_of_a_tick_is_served_by_an_index_on_postgresql(large: Database) -> None:
    found = _steps(large)
    assert len(found) >= 9
    with large.read() as connection:
        for statement, parameters in found:
            lines = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()  # type: ignore[arg-type]
            plan = "\n".join(lines)
            # The list of opt-outs is empty here, so no index of it is worth a look.
            assert "Seq Scan" not in plan.replace("Seq Scan on smsclick_optouts", ""), f"{statement}\n{plan}"
            assert "ix_smsclick_messages_" in plan, f"{statement}\n{plan}"


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_behind_a_long_queue_the_next_one_comes_out_of_the_queues_index_without_sorting(large: Database) -> None:
    backlog = [{"key": f"backlog-{n}", "phone": PHONE, "text": "x", "due_at": LONG_AGO + n * HOUR} for n in range(5000)]
    with large.begin() as connection:
        connection.execute(sa.insert(messages), backlog)
    with large.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE smsclick_messages")
    waiting = [statement for statement in _steps(large) if "char_length" in statement[0]]
    with large.read() as connection:
        for statement, parameters in waiting:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())  # type: ignore[arg-type]
            assert "ix_smsclick_messages_queue" in plan
            assert "Sort" not in plan


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_every_query_of_a_tick_is_served_by_an_index_on_mariadb(large: Database) -> None:
    found = _steps(large)
    assert len(found) >= 9
    with large.read() as connection:
        for statement, parameters in found:
            for step in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters):  # type: ignore[arg-type]
                if step.table in {"smsclick_optouts", "<union1,2>", None}:
                    continue  # asked with the messages in flight, by its primary key
                assert str(step.key).startswith("ix_smsclick_messages_"), f"{statement}\n{step}"
                assert step.type in {"range", "ref", "const"}, f"{statement}\n{step}"
