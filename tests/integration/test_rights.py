"""The least rights of docs/rights.md on real servers: with them everything works, with one less something does not."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from smsclick import cancel, enqueue, enqueue_many, status
from smsclick._database.engine import Database
from smsclick._enqueue.enqueue import enqueue_each
from smsclick._enqueue.message import NewMessage
from smsclick.contract import State, accounts, callbacks, messages, metadata
from smsclick.errors import BrokerUnavailable, KeyConflict, SmsclickError
from smsclick.simulator import Simulator
from tests import web_walk
from tests.acceptance import Cluster
from tests.conftest import migrate
from tests.factories import KEY, LONG_AGO, PHONE, USER_PASSWORD, insert, settings
from tests.processes import wait_until
from tests.rights import PASSWORD, ROLES, Site, each_right, statements_of, used
from tests.ticks import TICKS, arguments, as_worker, make_due, run
from worker.account import balance_history
from worker.alerting import incidents
from worker.callbacks import replay
from worker.callbacks.store import purge
from worker.database_clock import step
from worker.intake import dead_letters
from worker.metrics import tallies
from worker.operator import (
    account,
    exporting,
    filtered_changes,
    finding,
    forgetting,
    message_history,
    now,
    person_export,
    stats,
)
from worker.operator.access import tokens, users
from worker.operator.access.users import Role
from worker.operator.doctor import broker, durability
from worker.operator.filtered_changes import Filter
from worker.operator.metrics import readings
from worker.operator.waiting.facts import Limits
from worker.queue import optouts
from worker.reports import watermark
from worker.sql import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import StartProcess
    from tests.servers import MariaDBServer, PostgresServer


@pytest.fixture(scope="module", params=["postgres", "mariadb"])
def _site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A database in which the migrator, with its own rights, has made the tables."""
    kind = request.param
    server: PostgresServer | MariaDBServer = request.getfixturevalue(kind)
    server.thaw()
    server.start()
    url = sa.make_url(server.create_database("rights"))
    statements = statements_of(kind)
    assert list(statements) == list(ROLES)
    if kind == "mariadb":
        statements = {role: [each.replace("smsdb.", "rights.") for each in all_] for role, all_ in statements.items()}
    admin = sa.create_engine(url, poolclass=sa.NullPool)
    made = Site(kind, admin, url, statements)
    for role in ROLES:
        if kind == "postgres":
            made.run(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        else:
            made.run(f"CREATE USER {role}@'%' IDENTIFIED BY '{PASSWORD}'")
    if kind == "postgres":
        made.run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    try:
        made.grant("sms_migrator")
        migrate(made.of("sms_migrator"))
        yield made
    finally:
        server.thaw()
        server.start()
        for role in ROLES:
            made.run(f"DROP OWNED BY {role} CASCADE" if kind == "postgres" else f"DROP USER {role}@'%'")
            if kind == "postgres":
                made.run(f"DROP ROLE {role}")
        server.drop_database("rights")


@pytest.fixture
def site(_site: Site, request: pytest.FixtureRequest) -> Site:
    """The same without a row."""
    server = request.getfixturevalue(_site.kind)
    server.thaw()
    server.start()
    with _site.admin.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not accounts:
                connection.execute(sa.delete(table))
    return _site


def produce(url: str) -> None:
    """All that a producer does, and no trace of it."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        enqueue(connection, phone="5551402211", text="x", key="a", send_at="2099-01-01T00:00:00Z")
        enqueue_many(connection, [{"phone": "5551402211", "text": "y", "key": each, "ttl": 60} for each in "bc"])
        enqueue(connection, phone="5551402211", text="y", key="b")
        # As `enqueue` does in a program that is traced.
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        enqueue_each(connection, [NewMessage.of(phone="5551402211", text="y", key="traced")], {"traced": parent})
        with pytest.raises(KeyConflict):
            enqueue(connection, phone="5551402211", text="z", key="b")
        assert cancel(connection, "b")
        seen = status(connection, "b")
        assert seen is not None
        assert seen.state is State.CANCELLED
        transaction.rollback()


def look(url: str, settings: Any) -> None:  # noqa: ANN401 - Settings
    """All that a reader does."""
    database = Database(url, threads=2)
    try:
        database.require_migrated()
        stats.read(database)
        readings.read(database)
        now.read(database)
        message_history.read(database, "seen", limits=Limits(per_second=1))
        assert len(list(exporting.export(database))) == 1
        assert [each.id for each in finding.by_phone(database, PHONE)]
        assert [each["kind"] for each in person_export.records(database, PHONE)] == ["message"]
        list(replay.listed(database, replay.Wanted()))
        list(dead_letters.listed(database))
        audit.listed(database)
        with database.read() as connection:  # as a dashboard
            connection.execute(sa.select(callbacks.c.id, callbacks.c.last_error).limit(1)).first()
        for _, check in durability.checks(database):
            check()
        with contextlib.suppress(BrokerUnavailable):
            broker._probe(settings, database)
    finally:
        database.dispose()


def one_less_fails(site: Site, role: str, does: Callable[[], None]) -> None:
    """Everything works; without any single right it does not; and with it again it does."""
    does()
    needless = []
    for take, give in each_right(site.statements[role]):
        site.run(take)
        try:
            does()
            needless.append(take)
        except (SmsclickError, DBAPIError) as refused:
            if not re.search("denied|does not exist|not in .*older", f"{refused}{refused.__cause__}"):
                raise
        site.run(give)
    does()
    assert needless == []


def test_a_producer_needs_each_of_its_rights_and_no_other(site: Site) -> None:
    site.grant("shop")
    one_less_fails(site, "shop", lambda: produce(site.of("shop")))


def test_a_reader_needs_each_of_its_rights_and_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(broker, "_within", away)
    site.grant("sms_reader")
    owner = Database(site.url.render_as_string(hide_password=False), threads=1)
    insert(owner, key="seen")
    owner.dispose()
    given = settings(site.of("sms_reader"), CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    one_less_fails(site, "sms_reader", lambda: look(site.of("sms_reader"), given))


def scrape(url: str) -> None:
    """All that the exporter does; a figure that cannot be read is an error here."""
    database = Database(url, threads=1)
    try:
        readings.read(database)
    finally:
        database.dispose()


def test_the_exporter_needs_each_of_its_rights_and_sees_no_phone_and_no_text(site: Site) -> None:
    site.grant("sms_metrics")
    owner = Database(site.url.render_as_string(hide_password=False), threads=1)
    insert(owner, key="seen")
    owner.dispose()
    one_less_fails(site, "sms_metrics", lambda: scrape(site.of("sms_metrics")))
    engine = sa.create_engine(site.of("sms_metrics"), poolclass=sa.NullPool)
    for column in (messages.c.phone, messages.c.text, messages.c.reply, messages.c.key, callbacks.c.target):
        with engine.connect() as connection, pytest.raises(DBAPIError, match="denied"):
            connection.execute(sa.select(column))


def test_a_worker_does_all_that_it_does_with_its_rights_and_uses_each(site: Site) -> None:
    site.grant("sms_worker")
    with Simulator(api_key=KEY) as provider, as_worker(
        site.of("sms_worker"), provider.base_url, SMSCLICK_RETENTION_DAYS="1", SMSCLICK_MAX_PER_SECOND="1000"
    ) as held:  # fmt: skip
        database = held.database
        insert(database, 3, callback="https://127.0.0.1:1/x")
        insert(database, state=State.SENT, id_mensaje=1, sent_at=LONG_AGO, final_at=LONG_AGO)
        (old,) = insert(database, state=State.FAILED, final_at=LONG_AGO)
        (unknown,) = insert(
            database, state=State.UNKNOWN, token="t", unknown_since=LONG_AGO, attempted_at=LONG_AGO, attempts=1
        )
        with used(database.engine) as seen:
            database.require_migrated()
            make_due(database)
            for tick in sorted(TICKS, key=lambda name: name == "smsclick.send"):
                run(held, tick, arguments(database, tick))
            assert [message_history.read(database, f"id:{each}").events for each in (old, unknown)]
            held.callback_dispatcher.deliver(threading.Event())
            _by_hand(database)
            for _ in range(2):
                held.metrics.count("calls", "accepted 1")
                held.reporter.write()
            assert tallies.merge(database, least=1)
            held.reporter.close()
            held.clock.read(database)
            database.transact(lambda connection: step.adjust(connection, database.clock(), -1800, 5))
            with database.begin() as connection:
                incidents.close(connection, "bad_call")
    assert seen.unused(site.statements["sms_worker"], columns=False) == set()


def test_the_web_process_answers_every_request_with_its_rights_and_uses_each(site: Site) -> None:
    site.grant("sms_web")
    owner = Database(site.url.render_as_string(hide_password=False), threads=2)
    with used(sa.Engine, "sms_web") as seen:
        assert web_walk.untried(owner, site.of("sms_web")) == []
    owner.dispose()
    assert seen.denied == []
    rights = site.statements["sms_web"]
    assert seen.unused(rights) == set()
    sequences = {each for grant in rights for each in re.findall(r"(\w+)_id_seq", grant)}
    assert sequences <= {table for verb, table in seen.rights if verb == "INSERT"}


@pytest.mark.parametrize("statement", [
    "INSERT INTO smsclick_users (name, role, password_hash) VALUES ('x', 'operator', 'x')",
    "UPDATE smsclick_users SET role = 'operator'",
    "INSERT INTO smsclick_tokens (name, hash, scopes) VALUES ('x', 'x', 'send')",
    "UPDATE smsclick_tokens SET revoked_at = NULL",
    "UPDATE smsclick_audit SET actor = 'x'",
    "DELETE FROM smsclick_audit",
    "DELETE FROM smsclick_messages",
    "UPDATE smsclick_events SET actor = 'x'",
])  # fmt: skip
def test_the_web_process_can_neither_add_people_nor_change_what_they_did(site: Site, statement: str) -> None:
    site.grant("sms_web")
    engine = sa.create_engine(site.of("sms_web"), poolclass=sa.NullPool)
    with engine.connect() as connection, pytest.raises(DBAPIError, match="denied"):
        connection.exec_driver_sql(statement)


def _by_hand(database: Database) -> None:
    """What the commands do, and the second reading of a balance."""
    at = database.clock()
    with database.begin() as connection:
        gone = connection.scalar(sa.select(messages.c.id).limit(1))
        values = {"message_id": gone, "type": "t", "target": "x", "data": "{}", "event_id": "e", "due_at": None}
        connection.execute(sa.insert(callbacks).values(created_at=LONG_AGO, **values))
        watermark.create(connection, "of this test")
        letter = dead_letters.keep(connection, queue="q", task="t", task_id="i", reason="r", content={})
        for _ in range(2):  # the same balance twice is one row
            balance_history.record(connection, "of this test", at, at, Decimal(1), dt.timedelta(minutes=1))
    list(dead_letters.listed(database))
    list(dead_letters.retry(database, [letter], actor="ana"))
    assert dead_letters.drop(database, [letter], actor="ana") == 1
    optouts.add(database, ["5551402299"], "asked", actor="ana")
    optouts.remove(database, ["5551402299"], actor="ana")
    account.hold(database, actor="ana")
    account.resume(database, actor="ana")
    assert audit.listed(database)
    filtered_changes.retry(database, Filter(codes=[-999]), actor="ana")
    filtered_changes.cancel(database, Filter(codes=[-999]), actor="ana")
    replay.replay(database, replay.Wanted(), actor="ana")
    optouts.add(database, ["6641234567"], actor="ana")
    assert forgetting.forget(database, "6641234567", actor="ana").optout == "hashed"
    assert forgetting.forget(database, PHONE, actor="ana", optout_too=True).erased
    tokens.create(database, "ana's", ["read"], actor="ana")
    assert tokens.revoke(database, "ana's", actor="ana")
    users.add(database, "eva", Role.VIEWER, USER_PASSWORD, actor="ana")
    users.set_password(database, "eva", USER_PASSWORD, actor="ana")
    assert users.list_all(database)
    users.remove(database, "eva", actor="ana")
    stats.read(database)
    readings.read(database)
    assert purge(database) == 1


@pytest.mark.parametrize("_site", ["postgres"], indirect=True)
def test_workers_beat_and_producers_each_with_their_own_account_bring_messages_to_their_end(
    site: Site, redis_url: str, start_process: StartProcess
) -> None:
    for role in ("sms_worker", "shop"):
        site.grant(role)
    shop = sa.create_engine(site.of("shop"))
    with Cluster(start_process, site.of("sms_worker"), redis_url) as cluster:
        processes, _ = cluster.start(workers=1, beats=1)
        with shop.begin() as connection:
            enqueue_many(connection, [{"phone": "5551402211", "text": f"{n}"} for n in range(20)])
            enqueue(connection, phone="5551402211", text="later", key="later", send_at="2099-01-01T00:00:00Z")
        with shop.begin() as connection:
            connection.execute(
                sa.update(messages)
                .where(messages.c.key == "later", messages.c.state == "queued")
                .values(state="cancelled", waits_for=None)
            )
        wait_until(lambda: cluster.states() == {"delivered": 20, "cancelled": 1}, 120, what="the end of all of them")
        wait_until(lambda: cluster.causes(State.CANCELLED).total() == 1, 60, what="the withdrawal's event")
        assert "denied" not in processes[0].output
    shop.dispose()
