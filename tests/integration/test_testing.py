"""smsclick.testing in the tests of a backend, which pytest runs in a process of its own."""

from __future__ import annotations

import os
import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess

BACKEND = {
    "shop.py": """
from smsclick import enqueue

def ship(session, order, phone):
    enqueue(session, phone=phone, text=f"Tu pedido {order} va en camino", key=f"order-{order}:shipped")
""",
    "conftest.py": """
import os
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from smsclick.testing import create_tables

pytest_plugins = ["smsclick.testing"]

@pytest.fixture(scope="session")
def engine():
    engine = sa.create_engine(os.environ["TEST_DATABASE_URL"])
    create_tables(engine)
    create_tables(engine)
    yield engine
    engine.dispose()

@pytest.fixture
def session(engine):
    with engine.connect() as connection, connection.begin() as outer:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        outer.rollback()

@pytest.fixture
def committing_session(engine):
    with Session(engine) as session:
        yield session

@pytest.fixture
def smsclick_bind(request, smsclick_bind):
    name = request.node.name
    if "of_its_own" in name:
        return smsclick_bind
    binds = {"commits_through_an_engine": "engine", "commits_through_a_session": "committing_session"}
    return request.getfixturevalue(next((bind for part, bind in binds.items() if part in name), "session"))
""",
    "test_shop.py": """
import pytest
import sqlalchemy as sa
from shop import ship
from smsclick import enqueue, enqueue_many
from smsclick.contract import Priority, State
from smsclick.testing import Outbox, create_tables

def test_sees_what_is_not_committed(session, smsclick_outbox):
    ship(session, 7, "55 5140 2211")
    message = smsclick_outbox.one(to="+52 (55) 5140-2211")
    assert message.text == "Tu pedido 7 va en camino"
    assert (message.phone, message.priority, message.state) == ("5551402211", Priority.NORMAL, State.QUEUED)
    assert smsclick_outbox.messages == smsclick_outbox.to(5551402211) == [message]
    assert smsclick_outbox.one(key="order-7:shipped") == smsclick_outbox.one(containing="camino") == message

def test_sees_what_is_committed_by_the_code_under_test(session, smsclick_outbox):
    ship(session, 8, "5551402211")
    session.commit()
    assert smsclick_outbox.one(key="order-8:shipped")

def test_begins_empty_and_is_empty_after_a_rollback(session, smsclick_outbox):
    smsclick_outbox.assert_empty()
    ship(session, 9, "5551402211")
    assert len(smsclick_outbox) == 1
    session.rollback()
    smsclick_outbox.assert_empty()

def test_looks_into_an_engine_too(engine, smsclick_outbox):
    Outbox(engine).assert_empty()

def test_fails_where_two_fit(session, smsclick_outbox):
    ship(session, 1, "5551402211")
    ship(session, 2, "5551402211")
    smsclick_outbox.one(to="5551402211")

def test_fails_where_something_is_there(session, smsclick_outbox):
    ship(session, 1, "5551402211")
    smsclick_outbox.assert_empty()

def test_has_a_database_of_its_own_where_no_other_is_given(smsclick_bind, smsclick_outbox):
    with smsclick_bind.begin() as connection:
        ship(connection, 3, "5551402211")
    assert smsclick_outbox.one().key == "order-3:shipped"

@pytest.mark.parametrize("time", ["once", "again"])
def test_commits_through_an_engine(time, engine, smsclick_outbox):
    smsclick_outbox.assert_empty()
    with engine.begin() as connection:
        ship(connection, time, "5551402211")
        enqueue(connection, phone="5551402211", text=time, key="same")
    assert smsclick_outbox.one(key="same").text == time

@pytest.mark.parametrize("time", ["once", "again"])
def test_commits_through_a_session(time, committing_session, smsclick_outbox):
    smsclick_outbox.assert_empty()
    enqueue(committing_session, phone="5551402211", text=time, key="same")
    committing_session.commit()
    enqueue(committing_session, phone="5551402211", text="not committed", key="other")
    assert len(smsclick_outbox) == 2

def test_removes_what_others_have_stored(engine, session, smsclick_outbox):
    session.execute(sa.text("INSERT INTO smsclick_messages (key, phone, text) VALUES ('sql', '5551402211', 'Hola')"))
    assert smsclick_outbox.one().key == "sql"
    smsclick_outbox.clear()
    smsclick_outbox.assert_empty()

@pytest.fixture
def elsewhere():
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    create_tables(engine)
    with engine.begin() as connection:
        ship(connection, 4, "5551402211")
    yield
    engine.dispose()

def test_fails_although_empty(elsewhere, smsclick_outbox):
    smsclick_outbox.assert_empty()

def test_fails_where_nobody_said_where_and_it_has_a_database_of_its_own(session, smsclick_outbox):
    ship(session, 5, "5551402211")
    smsclick_outbox.assert_empty()

def test_a_worker_delivers(smsclick_worker):
    smsclick_worker.provider.set(reject_phones=["5551400001"])
    engine = sa.create_engine(smsclick_worker.database_url)
    with engine.begin() as connection:
        good, bad = enqueue_many(connection, [{"phone": p, "text": "Hola"} for p in ("5551400000", "5551400001")])
    engine.dispose()
    assert smsclick_worker.wait_ended(good, seconds=120).state == State.DELIVERED
    assert smsclick_worker.wait_ended(bad, seconds=120).state == State.REJECTED
    assert {entry.phone for entry in smsclick_worker.provider.ledger()} == {"5551400000", "5551400001"}

@pytest.fixture
def no_checkout(monkeypatch):
    monkeypatch.setenv("SMSCLICK_CHECKOUT", "/nowhere")

def test_no_worker(no_checkout, smsclick_worker):
    raise AssertionError
""",
}


@pytest.fixture
def report(tmp_path: Path, postgres_url: str, redis_url: str, start_process: StartProcess) -> str:
    """What pytest says of the backend's tests, which have an empty PostgreSQL and, in the environment, a broker."""
    for name, content in BACKEND.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    env = {
        "TEST_DATABASE_URL": postgres_url,
        "CELERY_BROKER_URL": redis_url,
        "SMSCLICK_CHECKOUT": os.path.relpath(ROOT, tmp_path),
    }
    command = ["python", "-m", "pytest", "-v", "-W", "error", "-p", "no:randomly", "-p", "no:cacheprovider"]
    pytest_run = start_process(command, env, cwd=tmp_path)
    pytest_run.wait(400)
    return pytest_run.output


def test_a_backends_tests_see_what_they_enqueue_nothing_is_published_and_a_worker_delivers(
    report: str, redis_url: str
) -> None:
    verdicts = dict(re.findall(r"^test_shop.py::(\S+) (\w+)", report, re.MULTILINE))
    failing = {name: verdict for name, verdict in verdicts.items() if verdict != "PASSED"}
    assert failing == {
        "test_fails_where_two_fit": "FAILED",
        "test_fails_where_something_is_there": "FAILED",
        "test_fails_although_empty": "FAILED",
        "test_fails_where_nobody_said_where_and_it_has_a_database_of_its_own": "FAILED",
        "test_no_worker": "ERROR",
    }
    assert len(verdicts) == 16
    assert re.search(
        r"SmsclickError: the outbox looks at postgresql \w+, but the test has enqueued in an SQLite", report
    )
    assert re.search(r"SmsclickError: the outbox looks at an SQLite in memory, but the test has .* postgresql", report)
    both = "order-1:shipped to 5551402211: 'Tu pedido 1 va en camino'"
    assert f"2 messages instead of one (to='5551402211'); enqueued: {both}; order-2:" in report
    assert f"nothing was to be enqueued; there is: {both}" in report
    assert "smsclick_worker: a pip install has no worker; set SMSCLICK_CHECKOUT to a checkout of smsclick" in report
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.keys() == []
