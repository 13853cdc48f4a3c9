"""Enqueue: with the caller's transaction or not at all, one message for one key, and a wake-up after the commit."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from smsclick import NewMessage, enqueue, enqueue_many
from smsclick._enqueue.enqueue import SORTED
from smsclick._enqueue.store import CHUNK, store
from smsclick._wakeups import publisher
from smsclick.contract import messages
from smsclick.errors import InvalidPhone, KeyConflict
from smsclick.settings import get_settings
from tests.factories import PHONE, clock, row
from tests.processes import wait_until
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smsclick._database.engine import Database


@pytest.fixture
def backend(database: Database) -> Iterator[sa.Engine]:
    """A producer's own engine, as SQLAlchemy makes it: none of our pragmas, isolation levels or zones."""
    # But patient: one writer's place, or one key's lock, that fifty threads wait for on a busy machine.
    patience = {"sqlite": {"timeout": 60}, "mysql": {"init_command": "SET innodb_lock_wait_timeout = 300"}}
    options = patience.get(database.engine.dialect.name, {})
    made = sa.create_engine(database.engine.url, pool_size=50, connect_args=options)
    yield made
    made.dispose()


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one())


def test_a_commit_keeps_the_message_and_the_orders_own_row(backend: sa.Engine, database: Database) -> None:
    before = clock(database)
    with Session(backend) as session, session.begin():
        message_id = enqueue(session, phone="+52 55 5140 2211", text="Tu pedido va en camino", key="order-1")
    found = row(database, message_id)
    assert (found.key, found.phone, found.text, found.state) == (
        "order-1",
        PHONE,
        "Tu pedido va en camino",
        "queued",
    )
    assert before <= found.created_at <= clock(database)
    assert before <= found.due_at <= clock(database)


def test_a_rollback_leaves_nothing(backend: sa.Engine, database: Database) -> None:
    with Session(backend) as session:
        enqueue(session, phone=PHONE, text="x", key="order-1")
        session.rollback()
    assert count(database) == 0


def test_an_exception_in_the_callers_transaction_leaves_nothing(backend: sa.Engine, database: Database) -> None:
    def produce() -> None:
        with Session(backend) as session, session.begin():
            enqueue(session, phone=PHONE, text="x", key="order-1")
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        produce()
    assert count(database) == 0


def test_a_connection_and_a_scoped_session_serve_as_well(backend: sa.Engine, database: Database) -> None:
    with backend.begin() as connection:
        enqueue(connection, phone=PHONE, text="x", key="a")
    scoped = scoped_session(sessionmaker(backend))
    enqueue(scoped, phone=PHONE, text="x", key="b")
    scoped.commit()
    scoped.remove()
    assert count(database) == 2


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_message(backend: sa.Engine, database: Database) -> None:
    with Session(backend) as session, session.begin():
        kept = enqueue(session, phone=PHONE, text="x", key="kept")
        with contextlib.suppress(ZeroDivisionError), session.begin_nested():
            enqueue(session, phone=PHONE, text="x", key="dropped")
            _ = 1 // 0
    with database.read() as connection:
        assert list(connection.scalars(sa.select(messages.c.id))) == [kept]


def test_the_same_key_with_the_same_content_is_the_same_message(backend: sa.Engine, database: Database) -> None:
    with Session(backend) as session, session.begin():
        first = enqueue(session, phone=PHONE, text="x", key="k")
        again = enqueue(session, phone="044 55 5140 2211", text="x", key="k")
    with Session(backend) as session, session.begin():
        later = enqueue(session, phone=PHONE, text="x", key="k", priority="high")
    assert first == again == later
    assert count(database) == 1


@pytest.mark.parametrize("other", [{"text": "y"}, {"phone": "5551402212"}, {"text": "X"}, {"text": "x "}])
def test_the_same_key_with_other_content_is_refused_and_nothing_is_stored(
    backend: sa.Engine, database: Database, other: dict[str, Any]
) -> None:
    with Session(backend) as session, session.begin():
        first = enqueue(session, phone=PHONE, text="x", key="k")
    with Session(backend) as session, session.begin():
        with pytest.raises(KeyConflict, match="'k' already belongs") as refused:
            enqueue(session, **({"phone": PHONE, "text": "x", "key": "k"} | other))
        assert refused.value.message_id == first
    assert count(database) == 1
    assert row(database, first).text == "x"


def test_a_message_that_cannot_be_sent_is_refused_before_anything_is_stored(
    backend: sa.Engine, database: Database
) -> None:
    with Session(backend) as session, session.begin(), pytest.raises(InvalidPhone):
        enqueue(session, phone="123", text="x", key="k")
    assert count(database) == 0


def test_a_key_of_an_erased_message_still_belongs_to_it(backend: sa.Engine, database: Database) -> None:
    with Session(backend) as session, session.begin():
        first = enqueue(session, phone=PHONE, text="x", key="k")
    with database.begin() as connection:
        connection.execute(sa.update(messages).values(phone="", text="", erased_at=sa.func.now()))
    with Session(backend) as session, session.begin():
        assert enqueue(session, phone=PHONE, text="x", key="k") == first


def test_every_field_is_stored(backend: sa.Engine, database: Database) -> None:
    later = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    fields = {
        "send_at": later,
        "expires_at": later + dt.timedelta(days=1),
        "rule_id": "7",
        "callback": "https://127.0.0.1/hook",
        "reference": "order 1",
    }
    with Session(backend) as session, session.begin():
        message_id = enqueue(session, phone=PHONE, text="x", priority="low", if_absent="fail", **fields)  # type: ignore[call-overload]
    found = row(database, message_id)
    assert {name: getattr(found, name) for name in fields} == fields
    assert (found.priority, found.if_absent, found.due_at) == (2, "fail", later)


def test_fifty_threads_with_the_same_key_make_one_message(backend: sa.Engine, database: Database) -> None:
    barrier = threading.Barrier(50)

    def produce(_: int) -> int:
        with Session(backend) as session:
            barrier.wait(60)
            message_id = enqueue(session, phone=PHONE, text="x", key="k")
            session.commit()
            return message_id

    with ThreadPoolExecutor(50) as pool:
        ids = set(pool.map(produce, range(50)))
    assert len(ids) == 1
    assert count(database) == 1


def test_fifty_threads_with_other_content_make_one_message_and_forty_nine_refusals(
    backend: sa.Engine, database: Database
) -> None:
    barrier = threading.Barrier(50)

    def produce(number: int) -> bool:
        with Session(backend) as session:
            barrier.wait(60)
            try:
                enqueue(session, phone=PHONE, text=f"text {number}", key="k")
            except KeyConflict:
                return False
            session.commit()
            return True

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(produce, range(50))) == 1
    assert count(database) == 1


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)  # SQLite has one writer
def test_producers_of_neighbouring_keys_do_not_stop_each_other(backend: sa.Engine, database: Database) -> None:
    """Each has enqueued before either commits: with gap locks each would wait for the other forever."""
    with Session(backend) as session, session.begin():
        enqueue(session, phone=PHONE, text="x", key="a")
        enqueue(session, phone=PHONE, text="x", key="z")
    barrier = threading.Barrier(4)

    def produce(number: int) -> None:
        with Session(backend) as session:
            session.connection()
            barrier.wait(60)
            enqueue(session, phone=PHONE, text="x", key=f"m{number}")
            barrier.wait(60)
            enqueue(session, phone=PHONE, text="x", key=f"n{number}")
            barrier.wait(60)
            session.commit()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(produce, range(4)))
    assert count(database) == 10


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)  # SQLite has one writer
def test_a_message_that_another_committed_after_this_transaction_began_is_found(
    backend: sa.Engine, database: Database
) -> None:
    with Session(backend) as session, session.begin():
        session.execute(sa.select(messages.c.id)).all()  # the snapshot, where there is one, begins here
        with Session(backend) as other, other.begin():
            first = enqueue(other, phone=PHONE, text="x", key="k")
        assert enqueue(session, phone=PHONE, text="x", key="k") == first
        with pytest.raises(KeyConflict):
            enqueue(session, phone=PHONE, text="y", key="k")
    assert count(database) == 1


def test_many_go_in_chunks_and_the_ids_come_in_order(backend: sa.Engine, database: Database) -> None:
    many = [{"phone": PHONE, "text": f"x{n}", "key": f"k{n:05d}"} for n in range(2 * CHUNK + 1)]
    with Session(backend) as session, session.begin():
        ids = enqueue_many(session, iter(many))
    with database.read() as connection:
        found = {each.key: each.id for each in connection.execute(sa.select(messages.c.id, messages.c.key))}
    assert ids == [found[each["key"]] for each in many]
    assert len(set(ids)) == len(many)


def test_a_key_that_comes_twice_in_one_call_is_one_message(backend: sa.Engine, database: Database) -> None:
    with Session(backend) as session, session.begin():
        ids = enqueue_many(session, [{"phone": PHONE, "text": "x", "key": key} for key in ("a", "b", "a")])
    assert ids[0] == ids[2] != ids[1]
    assert count(database) == 2


def test_two_that_store_the_same_keys_in_opposite_order_do_not_deadlock(backend: sa.Engine, database: Database) -> None:
    many = [{"phone": PHONE, "text": "x", "key": f"k{n}"} for n in range(3 * CHUNK)]
    barrier = threading.Barrier(2)

    def produce(new: list[dict[str, str]]) -> list[int]:
        barrier.wait(60)
        with Session(backend) as session, session.begin():
            return enqueue_many(session, new)

    with ThreadPoolExecutor(2) as pool:
        forward, backward = pool.map(produce, [many, many[::-1]])
    assert forward == backward[::-1]
    assert count(database) == len(many)


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_two_that_store_more_than_fit_in_memory_in_opposite_order_do_not_deadlock(
    backend: sa.Engine, database: Database
) -> None:
    """What one stores first, the other stores last: they wait for each other's keys in one order."""
    many = [{"phone": PHONE, "text": "x", "key": f"k{n:05d}"} for n in range(2 * SORTED)]
    barrier = threading.Barrier(2)

    def produce(new: list[dict[str, str]]) -> list[int]:
        barrier.wait(60)
        with Session(backend) as session, session.begin():
            return enqueue_many(session, new)

    with ThreadPoolExecutor(2) as pool:
        forward, backward = pool.map(produce, [many, many[::-1]])
    assert forward == backward[::-1]
    assert count(database) == len(many)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_many_are_read_as_they_are_stored(backend: sa.Engine, database: Database) -> None:
    """Their texts are counted while they live."""

    class Text(str):
        __slots__ = ("__weakref__",)

    alive: weakref.WeakSet[Text] = weakref.WeakSet()
    most = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal most
        for number in range(2 * SORTED + 1):
            text = Text(f"x{number}")
            alive.add(text)
            most = max(most, len(alive))
            yield {"phone": PHONE, "text": text}

    with Session(backend) as session, session.begin():
        assert len(set(enqueue_many(session, source()))) == 2 * SORTED + 1
    assert most <= SORTED + 1


def test_a_key_conflict_among_many_is_raised_so_that_the_caller_rolls_back(
    backend: sa.Engine, database: Database
) -> None:
    many = [{"phone": PHONE, "text": text, "key": "a"} for text in ("x", "y")]
    with pytest.raises(KeyConflict), Session(backend) as session, session.begin():
        enqueue_many(session, many)
    assert count(database) == 0


def test_storing_says_of_each_message_what_became_of_it(database: Database) -> None:
    def new(key: str, text: str = "x", phone: str = PHONE) -> NewMessage:
        return NewMessage.of(phone=phone, text=text, key=key)

    def variants(key: str) -> list[NewMessage]:
        return [new(key), new(key), new(key, "y"), new(key, phone="5551402212")]

    with database.begin() as connection:
        store(connection, [new("old")])
    with database.begin() as connection:
        stored = store(connection, [*variants("old"), *variants("a")])
    assert [(each.new, each.conflict) for each in stored] == [
        (False, False),
        (False, False),
        (False, True),
        (False, True),
        (True, False),
        (False, False),
        (False, True),
        (False, True),
    ]


# --- Wake-ups


@pytest.fixture
def broker(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[Any]]]:
    """A broker for the producer's wake-ups; called, it returns the messages of the senders' queue."""
    yield from _broker(redis_url, monkeypatch)


def _broker(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[Any]]]:
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    monkeypatch.setattr(publisher, "_ANSWER_SECONDS", 60)
    get_settings.cache_clear()
    publisher._forget()
    client = redis.Redis.from_url(url)

    def queued(expected: int) -> list[Any]:
        wait_until(lambda: client.llen("smsclick.send") >= expected, what="the wake-up")
        return [json.loads(each) for each in client.lrange("smsclick.send", 0, -1)]

    yield queued
    client.close()
    get_settings.cache_clear()
    publisher._forget()


def ids_of(woken: list[Any]) -> list[list[int]]:
    """In order of the ids; two transactions' lists may overtake each other."""
    return sorted(json.loads(base64.b64decode(each["body"]))[0][0] for each in woken)


@pytest.fixture
def one(migrated_sqlite_url: str) -> Iterator[sa.Engine]:
    """A producer's engine on SQLite: wake-ups do not depend on the database."""
    made = sa.create_engine(migrated_sqlite_url)
    yield made
    made.dispose()


def test_workers_are_woken_after_the_outer_commit_and_not_before(
    one: sa.Engine, broker: Callable[[int], list[Any]]
) -> None:
    with Session(one) as session:
        with session.begin_nested():
            first = enqueue(session, phone=PHONE, text="x", key="a")
        second = enqueue(session, phone=PHONE, text="x", key="b")
        session.commit()
    with Session(one) as session, session.begin():
        third = enqueue(session, phone=PHONE, text="x", key="c")
    # One list for the whole first transaction: nothing was published when the savepoint was released.
    assert ids_of(broker(2)) == [[first, second], [third]]


def test_a_rolled_back_transaction_sends_no_wake_up(one: sa.Engine, broker: Callable[[int], list[Any]]) -> None:
    with Session(one) as session:
        enqueue(session, phone=PHONE, text="x", key="a")
        session.rollback()
        kept = enqueue(session, phone=PHONE, text="x", key="b")
        session.commit()
    assert ids_of(broker(1)) == [[kept]]


def test_a_known_or_scheduled_message_sends_no_wake_up(one: sa.Engine, broker: Callable[[int], list[Any]]) -> None:
    later = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    with Session(one) as session, session.begin():
        first = enqueue(session, phone=PHONE, text="x", key="a")
    with Session(one) as session, session.begin():
        enqueue(session, phone=PHONE, text="x", key="a")
        enqueue(session, phone=PHONE, text="x", key="b", send_at=later)
    with Session(one) as session, session.begin():
        last = enqueue(session, phone=PHONE, text="x", key="c")
    assert ids_of(broker(2)) == [[first], [last]]


def test_nothing_but_ids_crosses_the_broker(one: sa.Engine, broker: Callable[[int], list[Any]]) -> None:
    with Session(one) as session, session.begin():
        enqueue(session, phone="5551402211", text="Tu clave es secreta", key="order-77", reference="ref-1")
    shown = json.dumps(broker(1)) + json.dumps(ids_of(broker(1)))
    body = broker(1)[0]["body"]
    shown += base64.b64decode(body).decode()
    for word in ("5551402211", "2211", "secreta", "order-77", "ref-1"):
        assert word not in shown


def test_many_messages_are_published_in_a_few_lists(one: sa.Engine, broker: Callable[[int], list[Any]]) -> None:
    count = 2 * publisher.LIST + 5
    with Session(one) as session, session.begin():
        ids = enqueue_many(session, [{"phone": PHONE, "text": f"x{n}", "key": f"k{n:03d}"} for n in range(count)])
    assert ids_of(broker(3)) == [ids[start : start + publisher.LIST] for start in range(0, count, publisher.LIST)]


def test_a_commit_with_the_broker_down_succeeds(one: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in _broker(f"redis://127.0.0.1:{free_port()}/0", monkeypatch):
        with Session(one) as session, session.begin():
            enqueue(session, phone=PHONE, text="x", key="a")
        with one.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(messages)) == 1


def test_without_a_broker_nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    get_settings.cache_clear()
    assert not publisher.configured()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_ttl_counts_from_the_storing_by_the_databases_clock(backend: sa.Engine, hours: float) -> None:
    """With a producer's clock an hour behind, no message with a ttl of five minutes was ever sent."""
    wrong = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    with backend.begin() as connection:
        enqueue_many(connection, [NewMessage.of(phone=PHONE, text="x", ttl=300, now=wrong)])
        found = connection.execute(sa.select(messages.c.expires_at, messages.c.created_at)).one()
    assert abs((found.expires_at - found.created_at).total_seconds() - 300) < 60
