"""Withdraw and look up: with the caller's transaction or not at all, and never both sent and withdrawn."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from smsclick import cancel, enqueue, status
from smsclick._enqueue.withdrawal import withdraw
from smsclick._values.causes import Cause
from smsclick.contract import State, events, messages
from smsclick.errors import InvalidField
from tests.factories import NOW, POLICY, change, clock, history, insert, row, states
from tests.processes import ROOT
from worker.lifecycle import parking
from worker.maintenance import sweep
from worker.queue import claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smsclick._database.engine import Database
    from worker.runtime import Runtime

PHONE = "5551402211"
LATER = "2099-01-01T00:00:00Z"


@pytest.fixture
def backend(database: Database) -> Iterator[sa.Engine]:
    """A producer's own engine, as SQLAlchemy makes it; patient with a busy machine."""
    patience = {"timeout": 60} if database.is_sqlite else {}
    made = sa.create_engine(database.engine.url, pool_size=20, connect_args=patience)
    yield made
    made.dispose()


def key_of(database: Database, message_id: int) -> str:
    return str(row(database, message_id).key)


def test_a_message_that_waits_is_withdrawn_with_the_commit_and_waits_again_after_a_rollback(
    backend: sa.Engine, database: Database
) -> None:
    with Session(backend) as session, session.begin():
        message_id = enqueue(session, phone=PHONE, text="x", key="order-1")
    with Session(backend) as session:
        assert cancel(session, "order-1")
        session.rollback()
    assert (states(database), history(database, message_id)) == (["queued"], [])

    before = clock(database)
    with Session(backend) as session, session.begin():
        assert cancel(session, " order-1 ")
        assert not cancel(session, "order-1")
        seen = status(session, "order-1")
        assert seen is not None
        assert seen.state is State.CANCELLED
    found = row(database, message_id)
    assert (found.state, found.due_at) == ("cancelled", None)
    assert before <= found.final_at <= clock(database)
    (event,) = history(database, message_id)
    assert (event.from_state, event.to_state, event.cause, event.attempt) == ("queued", "cancelled", Cause.WITHDRAWN, 0)


def test_what_was_enqueued_in_the_same_transaction_is_withdrawn_in_it(backend: sa.Engine, database: Database) -> None:
    with backend.begin() as connection:
        enqueue(connection, phone=PHONE, text="x", key="a", send_at=LATER)
        assert cancel(connection, "a")
    assert states(database) == ["cancelled"]


def test_what_was_claimed_or_has_ended_is_not_withdrawn(database: Database) -> None:
    for state in State:
        if state is not State.QUEUED:
            (message_id,) = insert(database, state=state, attempts=1)
            before = row(database, message_id)
            with database.begin() as connection:
                assert not cancel(connection, before.key)
            assert (row(database, message_id), history(database, message_id)) == (before, [])


@pytest.mark.parametrize("values", [{"waits_for": "0" * 32}, {"send_at": NOW, "priority": 2}, {"attempts": 3}])
def test_whatever_a_queued_message_waits_for_it_is_withdrawn(database: Database, values: dict[str, Any]) -> None:
    (message_id,) = insert(database, **values)
    with database.begin() as connection:
        assert cancel(connection, row(database, message_id).key if not database.is_sqlite else _key(connection))
    found = row(database, message_id)
    assert (found.state, found.waits_for, found.due_at) == ("cancelled", None, None)
    with database.begin() as connection:
        assert parking.sweep(connection, random.Random()) == []


def _key(connection: sa.Connection) -> str:
    return str(connection.scalar(sa.select(messages.c.key)))


def test_a_key_that_no_message_has_is_none_and_one_that_none_can_have_is_refused(database: Database) -> None:
    with database.begin() as connection:
        assert not cancel(connection, "nobody's")
        assert status(connection, "nobody's") is None
        wrong: Any
        for wrong in ("", "  ", "x" * 201, "a\nb", 7, None):
            with pytest.raises(InvalidField, match="key: "):
                cancel(connection, wrong)
            with pytest.raises(InvalidField, match="key: "):
                status(connection, wrong)


def test_a_status_shows_what_is_known_but_no_words_of_the_provider(database: Database) -> None:
    words: dict[str, Any] = {"reply": "Sí, gracias", "last_error": "RECHAZADO: Hola"}
    (message_id,) = insert(
        database, state=State.DELIVERED, id_mensaje=77, estatus_mensaje=3, attempts=2, credits_used=1, last_code=1,
        sent_at=NOW, final_at=NOW, replied_at=NOW, reference="7", **words,
    )  # fmt: skip
    with database.read() as connection:
        seen = status(connection, _key(connection))
    assert seen is not None
    stored = row(database, message_id)._asdict()
    assert {name: stored[name] for name in seen.__slots__} == {name: getattr(seen, name) for name in seen.__slots__}
    assert (seen.state, seen.id_mensaje, seen.reply) == (State.DELIVERED, 77, words["reply"])
    assert not any(each in repr(seen) for each in words.values())


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_asynchronous_sessions_and_connections_await_the_same(kind: str, request: pytest.FixtureRequest) -> None:
    url = sa.make_url(request.getfixturevalue(f"migrated_{kind}_url"))
    driver = "sqlite+aiosqlite" if kind == "sqlite" else "postgresql+psycopg_async"

    async def work() -> list[object]:
        engine = create_async_engine(url.set(drivername=driver))
        async with AsyncSession(engine) as session, session.begin():
            for key in ("a", "b", "c"):
                await enqueue(session, phone=PHONE, text=key, key=key)
            done: list[object] = [await cancel(session, "a"), await cancel(session, "a")]
        scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        done.append(await cancel(scoped, "b"))
        await scoped.commit()
        await scoped.remove()
        async with engine.connect() as connection:
            for key in ("a", "b", "c", "d"):
                seen = await status(connection, key)
                done.append(seen and str(seen.state))
        await engine.dispose()
        return done

    assert asyncio.run(work()) == [True, False, True, "cancelled", "cancelled", "queued", None]


BY_SQL = re.search(
    r"^(UPDATE smsclick_messages SET state = 'cancelled'.*?);$",
    (ROOT / "docs" / "producers.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


def by_sql(connection: sa.Connection, key: str) -> bool:
    """The statement of docs/producers.md, as a program in any language sends it."""
    assert BY_SQL is not None
    statement = BY_SQL[1].replace("'order-1234:reminder'", ":key")
    if connection.dialect.name in {"mysql", "mariadb"}:
        statement = statement.replace("key =", "`key` =")
    return connection.execute(sa.text(statement), {"key": key}).rowcount == 1


@pytest.mark.parametrize("way", [cancel, by_sql])
def test_of_a_claim_and_a_withdrawal_at_the_same_time_one_wins(
    backend: sa.Engine, database: Database, runtime: Runtime, way: Callable[[sa.Connection, str], bool]
) -> None:
    count = 60
    ids = insert(database, count, text="x")
    keys = {each: key_of(database, each) for each in ids}
    start = threading.Barrier(6)
    claimed: list[int] = []

    def claimer(_: int) -> None:
        start.wait(60)
        while True:
            found = database.transact(lambda connection: claims.claim(connection, None, 3, POLICY))
            if not found and not database.transact(lambda connection: claims.waiting(connection, 1)):
                return
            claimed.extend(each.id for each in found)

    def canceller(seed: int) -> list[int]:
        order = ids[::-1] if seed else ids[count // 2 :] + ids[: count // 2]
        start.wait(60)
        withdrawn = []
        for each in order:
            with backend.begin() as connection:
                if way(connection, keys[each]):
                    withdrawn.append(each)
        return withdrawn

    with ThreadPoolExecutor(6) as pool:
        workers = [pool.submit(claimer, each) for each in range(4)]
        withdrawn = [each for future in [pool.submit(canceller, n) for n in range(2)] for each in future.result(120)]
        for future in workers:
            future.result(120)
    sweep.sweep(runtime, urgent=True)

    assert sorted(claimed + withdrawn) == ids
    for each in ids:
        assert row(database, each).state == ("cancelled" if each in withdrawn else "sending")
        causes = [event.cause for event in history(database, each) if event.to_state == "cancelled"]
        assert causes == [Cause.WITHDRAWN] * (each in withdrawn)


def test_a_message_that_somebody_holds_is_looked_at_until_it_is_free_and_no_longer(
    backend: sa.Engine, database: Database
) -> None:
    if database.is_sqlite:
        return  # it has one writer
    (first, second) = insert(database, 2)
    keys = [key_of(database, each) for each in (first, second)]
    lock = sa.select(messages.c.id).where(messages.c.id == first).with_for_update()
    with backend.begin() as holder:
        holder.execute(lock)
        with backend.begin() as connection:
            assert not withdraw(connection, keys[0], wait_seconds=0.2)
            assert withdraw(connection, keys[1], wait_seconds=0.2)
        with ThreadPoolExecutor(1) as pool, backend.connect() as waiting:
            withdrawn = pool.submit(withdraw, waiting, keys[0], wait_seconds=60)
            holder.rollback()
            assert withdrawn.result(60)
            waiting.commit()
    assert states(database) == ["cancelled", "cancelled"]


def test_two_that_hold_what_the_other_wants_both_come_to_an_end(backend: sa.Engine, database: Database) -> None:
    if database.is_sqlite:
        return  # it has one writer
    keys = [key_of(database, each) for each in insert(database, 2)]
    both = threading.Barrier(2)

    def work(first: str, second: str) -> list[bool]:
        with backend.begin() as connection:
            done = [withdraw(connection, first)]
            both.wait(60)
            done.append(withdraw(connection, second, wait_seconds=0.3))
            both.wait(60)
            return done

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(work, keys[n], keys[1 - n]) for n in range(2)]
        assert [each.result(120) for each in results] == [[True, False], [True, False]]
    assert states(database) == ["cancelled", "cancelled"]


def test_a_snapshot_that_is_older_than_the_claim_withdraws_nothing(backend: sa.Engine, database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return  # its transactions begin with the writer's lock, or fail
    (message_id,) = insert(database)
    key = key_of(database, message_id)
    with backend.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        assert _key(connection) == key
        change(database, state=State.SENDING)
        try:
            assert not cancel(connection, key)
        except sa.exc.OperationalError as refused:  # PostgreSQL's own word: repeat the transaction
            assert "concurrent update" in str(refused)  # noqa: PT017
    assert states(database) == ["sending"]


def test_what_plain_sql_withdrew_has_its_event_with_the_next_sweep(database: Database, runtime: Runtime) -> None:
    ids = insert(database)
    ids += insert(database, send_at=NOW.replace(year=2099), due_at=NOW.replace(year=2099))
    ids += insert(database, waits_for="0" * 32, attempts=2)
    (left,) = insert(database, state=State.SENT, attempts=1, id_mensaje=5)
    keys = [key_of(database, each) for each in (*ids, left)]
    with database.engine.begin() as connection:
        assert [by_sql(connection, key) for key in (*keys, keys[0], "nobody's")] == [True] * 3 + [False] * 3
    for _ in range(2):
        sweep.sweep(runtime, urgent=True)
    for each, attempts in zip(ids, (0, 0, 2), strict=True):
        found = row(database, each)
        assert (found.state, found.due_at, found.waits_for) == ("cancelled", None, None)
        (event,) = history(database, each)
        assert (event.from_state, event.to_state, event.cause) == ("queued", "cancelled", Cause.WITHDRAWN)
        assert (event.attempt, event.at) == (attempts, found.final_at)
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(events)) == 3
