"""Wake-ups after a commit: for the messages that were committed, and for no others, however the transaction ran."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from smsclick import enqueue, enqueue_many
from smsclick._wakeups import publisher
from smsclick._wakeups.publisher import LIST, MOST
from smsclick.contract import messages
from smsclick.errors import InvalidPhone, KeyConflict
from smsclick.settings import get_settings
from tests.factories import PHONE
from tests.processes import PATIENT_WAKEUPS, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy.orm.session import JoinTransactionMode

    from tests.conftest import StartProcess


def put(through: Any, key: str) -> int:  # noqa: ANN401 - any session or connection
    return int(enqueue(through, phone=PHONE, text="x", key=key))


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[int]]]:
    """The ids that were published so far, without a broker; `flushed` waits for the others."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    get_settings.cache_clear()
    published: list[list[int]] = []
    monkeypatch.setattr(publisher, "_publisher", publisher._ListPublisher(published.append))
    yield published
    get_settings.cache_clear()


def flushed() -> None:
    assert publisher._publisher is not None
    assert publisher._publisher.flush(60)


@pytest.fixture
def engine(migrated_postgres_url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(migrated_postgres_url)
    yield made
    made.dispose()


# --- Ways to run a transaction. Each returns the ids that must be published, and no others.


def a_session_that_begins_by_itself(engine: sa.Engine) -> list[list[int]]:
    with Session(engine) as session:
        first = put(session, "a")
        session.commit()
        put(session, "dropped")
        session.rollback()
        second = put(session, "b")
        session.commit()
        put(session, "forgotten")
    return [[first], [second]]


def a_session_that_is_begun(engine: sa.Engine) -> list[list[int]]:
    with contextlib.suppress(ZeroDivisionError), Session(engine) as session, session.begin():
        put(session, "dropped")
        _ = 1 // 0
    with Session(engine) as session, session.begin():
        return [[put(session, "a")]]


def a_scoped_session(engine: sa.Engine) -> list[list[int]]:
    scoped = scoped_session(sessionmaker(engine))
    first = put(scoped, "a")
    scoped.commit()
    scoped.remove()
    return [[first]]


def a_session_with_an_engine_for_each_table(engine: sa.Engine) -> list[list[int]]:
    with Session(binds={messages: engine}) as session, session.begin():
        return [[put(session, "a")]]


def a_connection_with_several_transactions(engine: sa.Engine) -> list[list[int]]:
    with engine.connect() as connection:
        first = put(connection, "a")
        connection.commit()
        put(connection, "dropped")
        connection.rollback()
        with connection.begin():
            second = put(connection, "b")
    return [[first], [second]]


def a_connection_that_commits_each_statement(engine: sa.Engine) -> list[list[int]]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        first = put(connection, "a")
        connection.rollback()  # has nothing to roll back
    return [[first]]


def an_engine_that_commits_each_statement(engine: sa.Engine) -> list[list[int]]:
    automatic = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with Session(automatic) as session:
        first = put(session, "a")
    automatic.dispose()
    return [[first]]


def savepoints(engine: sa.Engine) -> list[list[int]]:
    with Session(engine) as session, session.begin():
        kept = [put(session, "a")]
        with session.begin_nested():
            kept.append(put(session, "b"))
            with contextlib.suppress(ZeroDivisionError), session.begin_nested():
                put(session, "dropped")
                with session.begin_nested():
                    put(session, "dropped with it")
                _ = 1 // 0
            kept.append(put(session, "c"))
        with contextlib.suppress(ZeroDivisionError), session.begin_nested():
            _ = 1 // 0
    return [kept]


def a_savepoint_that_began_before_the_first_message(engine: sa.Engine) -> list[list[int]]:
    with engine.begin() as connection:
        savepoint = connection.begin_nested()
        put(connection, "dropped")
        savepoint.rollback()
        with connection.begin_nested():
            kept = put(connection, "a")
    return [[kept]]


def sessions_joined_into_a_callers_transaction(engine: sa.Engine) -> list[list[int]]:
    kept = []
    modes: tuple[JoinTransactionMode, ...] = ("conditional_savepoint", "create_savepoint", "rollback_only")
    with engine.connect() as connection:
        for mode in modes:
            with connection.begin() as outer:
                with Session(connection, join_transaction_mode=mode) as session:
                    put(session, f"dropped by {mode}")
                    session.commit()
                outer.rollback()
            with connection.begin():
                with Session(connection, join_transaction_mode=mode) as session:
                    kept.append([put(session, f"kept by {mode}")])
                    session.commit()
                flushed()
                assert connection.in_transaction()
    return kept


def a_session_that_rolls_back_in_its_savepoint_of_a_callers_transaction(engine: sa.Engine) -> list[list[int]]:
    with engine.begin() as connection:
        kept = put(connection, "a")
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            put(session, "dropped")
            session.rollback()
    return [[kept]]


def a_commit_in_two_phases(engine: sa.Engine) -> list[list[int]]:
    with Session(engine, twophase=True) as session:
        first = put(session, "a")
        session.prepare()
        flushed()
        session.commit()
        put(session, "dropped")
        session.prepare()
        session.rollback()
    with engine.connect() as connection, connection.begin_twophase() as transaction:
        second = put(connection, "b")
        transaction.prepare()
        transaction.commit()
    return [[first], [second]]


def threads(engine: sa.Engine) -> list[list[int]]:
    kept: list[list[int]] = []

    def produce(number: int) -> None:
        with Session(engine) as session:
            put(session, f"dropped {number}")
            session.rollback()
            mine = put(session, f"kept {number}")
            session.commit()
        kept.append([mine])

    running = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    return sorted(kept)


def more_than_are_published(engine: sa.Engine) -> list[list[int]]:
    with Session(engine) as session, session.begin():
        ids = enqueue_many(session, ({"phone": PHONE, "text": "x", "key": f"{n:04d}"} for n in range(MOST + 50)))
    return [ids[start : start + LIST] for start in range(0, MOST, LIST)]


DRIVERS = [
    a_session_that_begins_by_itself,
    a_session_that_is_begun,
    a_scoped_session,
    a_session_with_an_engine_for_each_table,
    a_connection_with_several_transactions,
    a_connection_that_commits_each_statement,
    an_engine_that_commits_each_statement,
    savepoints,
    a_savepoint_that_began_before_the_first_message,
    sessions_joined_into_a_callers_transaction,
    a_session_that_rolls_back_in_its_savepoint_of_a_callers_transaction,
    a_commit_in_two_phases,
    threads,
    more_than_are_published,
]


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.__name__)
def test_only_committed_messages_wake_the_workers(
    engine: sa.Engine, woken: list[list[int]], driver: Callable[[sa.Engine], list[list[int]]]
) -> None:
    expected = driver(engine)
    flushed()
    assert sorted(woken) == sorted(expected)
    with engine.connect() as connection:
        there = set(connection.scalars(sa.select(messages.c.id)))
    assert {each for ids in woken for each in ids} <= there


def test_workers_are_woken_when_others_see_the_rows_however_long_the_commit_takes(
    engine: sa.Engine, woken: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger makes the commit slow; the publisher looks through a connection of its own."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$"
            )
        )
        connection.execute(
            sa.text(
                "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON smsclick_messages DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION slow()"
            )
        )
    seen: list[list[int]] = []

    def look(ids: list[int]) -> None:
        with engine.connect() as other:
            seen.append(list(other.scalars(sa.select(messages.c.id).where(messages.c.id.in_(ids)))))

    monkeypatch.setattr(publisher, "_publisher", publisher._ListPublisher(look))
    with Session(engine) as session, session.begin():
        first = put(session, "a")
    with engine.begin() as connection:
        second = put(connection, "b")
    flushed()
    # In either order: a message that is not committed yet goes to the end of the publisher's queue.
    assert sorted(seen) == [[first], [second]]


# --- Asynchronous sessions and connections


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_asynchronous_sessions_and_connections_are_awaited(
    kind: str, woken: list[list[int]], request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"migrated_{kind}_url").replace("sqlite:", "sqlite+aiosqlite:")

    async def source() -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            yield {"phone": PHONE, "text": "x", "key": f"m{number}"}

    async def produce() -> list[list[int]]:
        made = create_async_engine(url)
        kept = []
        async with AsyncSession(made) as session, session.begin():
            one = await enqueue(session, phone=PHONE, text="x", key="a")
            async with session.begin_nested() as savepoint:
                await enqueue(session, phone=PHONE, text="x", key="dropped")
                await savepoint.rollback()
            kept.append([one, *await enqueue_many(session, source())])
            assert await enqueue(session, phone="044 55 5140 2211", text="x", key="a") == one
            with pytest.raises(KeyConflict):
                await enqueue(session, phone=PHONE, text="y", key="a")
            with pytest.raises(InvalidPhone):
                await enqueue(session, phone="1", text="x")
        async with made.begin() as connection:
            assert isinstance(connection, AsyncConnection)
            kept.append([await enqueue(connection, phone=PHONE, text="x", key="b")])
        scoped = async_scoped_session(async_sessionmaker(made), asyncio.current_task)
        kept.append(await enqueue_many(scoped, [{"phone": PHONE, "text": "x", "key": "c"}]))
        await scoped.commit()
        await scoped.remove()
        async with AsyncSession(made) as session:
            await enqueue(session, phone=PHONE, text="x", key="dropped")
            await session.rollback()
            kept.append(
                [await session.run_sync(lambda sync: enqueue(sync, phone=PHONE, text="x", key="by the session inside"))]
            )
            await session.commit()
        await made.dispose()
        return kept

    expected = asyncio.run(produce())
    flushed()
    assert sorted(woken) == sorted(expected)


def test_what_is_no_session_is_refused() -> None:
    with pytest.raises(TypeError, match="a session or a connection of SQLAlchemy, not str"):
        enqueue("session", phone=PHONE, text="x")  # type: ignore[call-overload]


# --- A broker that is down or silent, and the ends of processes


def test_a_commit_does_not_wait_for_a_broker_that_is_silent() -> None:
    """By structure, not by the clock: the publisher stands still until the test has seen put() return."""
    release, published = threading.Event(), threading.Event()

    def publish(_: list[int]) -> None:
        published.set()
        release.wait(60)

    background = publisher._ListPublisher(publish)
    background.put([1])
    assert published.wait(60)
    for number in range(3000):  # more than the queue holds: dropped, not waited for
        background.put([number])
    assert background._queue.full()
    release.set()


def test_while_the_broker_fails_one_wakeup_after_each_pause_tries_it() -> None:
    tried: list[int] = []

    def publish(ids: list[int]) -> None:
        tried.extend(ids)
        raise OSError

    background = publisher._ListPublisher(publish, pause=600)
    for number in range(50):
        background.put([number])
    assert background.flush(60)
    assert tried == [0]
    background._paused_until = 0.0  # the pause is over
    for number in range(50, 100):
        background.put([number])
    assert background.flush(60)
    assert tried == [0, 50]


def test_after_a_pause_the_broker_is_tried_again_and_then_all_wake_ups_are_sent() -> None:
    tried: list[int] = []

    def publish(ids: list[int]) -> None:
        tried.extend(ids)
        if tried == [0]:
            raise OSError

    background = publisher._ListPublisher(publish, pause=0.2)
    background.put([0])
    assert background.flush(60)

    def publishes_again() -> bool:
        background.put([100])
        assert background.flush(60)
        return 100 in tried

    wait_until(publishes_again, what="the next try")
    for number in range(200, 250):
        background.put([number])
    assert background.flush(60)
    assert tried[-50:] == list(range(200, 250))


PRODUCER = """
import os, sys
import sqlalchemy as sa
from sqlalchemy.orm import Session
from smsclick import enqueue

engine = sa.create_engine(os.environ["DATABASE_URL"])

def produce(key):
    with Session(engine) as session, session.begin():
        enqueue(session, phone="5551402211", text="x", key=key)

produce("parent")
if sys.argv[1:] == ["fork"]:
    from smsclick._wakeups import publisher
    assert publisher._publisher.flush(60)  # so that its connection is open at the fork
    if os.fork() == 0:
        engine.dispose(close=False)
        produce("child")
        sys.exit()
    assert os.wait()[1] == 0
    produce("parent again")
"""


def test_a_process_and_its_forked_child_publish_and_end(
    migrated_sqlite_url: str, broker_url: str, start_process: StartProcess
) -> None:
    env = {"DATABASE_URL": migrated_sqlite_url, "CELERY_BROKER_URL": broker_url}
    with kombu.Connection(broker_url) as connection:
        queue = connection.SimpleQueue("smsclick.send")  # the workers have made it before
        assert start_process(["python", "-c", PATIENT_WAKEUPS + PRODUCER, "fork"], env).wait() == 0
        woken = [queue.get(timeout=60).payload[0][0] for _ in range(3)]
        queue.close()
    assert woken == [[1], [2], [3]]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_process_commits_and_ends_although_its_broker_never_answers(
    scheme: str, migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/0"
        process = start_process(
            ["python", "-c", PRODUCER], {"DATABASE_URL": migrated_sqlite_url, "CELERY_BROKER_URL": broker}
        )
        assert process.wait() == 0
    assert "the sweep will find the messages" in process.output
    with sa.create_engine(migrated_sqlite_url).connect() as connection:
        assert list(connection.scalars(sa.select(messages.c.key))) == ["parent"]


def test_a_wakeup_has_nothing_but_ids() -> None:
    headers, body = publisher.call_to_send([7, 8])
    assert body[0] == [[7, 8]]
    assert headers["task"] == "smsclick.send"
    assert os.uname().nodename not in json.dumps([headers, body])
