"""Flat in size: whatever SQL a tick emits looks at few rows, by an index, however large its tables are.

The ticks are all of our tasks that Celery knows: a new one is run here by itself, and whatever it asks is judged.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from smsclick._database.engine import Database
from smsclick.contract import State, accounts, events, messages, usage
from smsclick.simulator import Simulator
from tests.conftest import migrate
from tests.factories import FINAL_STATES, KEY, LONG_AGO
from tests.large_database import fill
from tests.query_plans import recorded
from tests.ticks import TICKS, arguments, as_worker, make_due, run
from web.pages.messages import listing
from worker.account import usage as account_usage
from worker.app import app
from worker.callbacks import replay
from worker.database_clock import step
from worker.monitoring.progress_checks import Limits as ProgressLimits
from worker.monitoring.watchdog import Watchdog
from worker.operator import (
    counting,
    exporting,
    filtered_changes,
    finding,
    message_changes,
    message_history,
    message_list,
    now,
    open_incidents,
    unknowns,
)
from worker.operator.filtered_changes import Filter
from worker.operator.message_list import Filters
from worker.operator.metrics import readings
from worker.operator.waiting.facts import Limits
from worker.sql.audit import Act
from worker.sql.now import database_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.query_plans import Ran
    from tests.servers import MariaDBServer, PostgresServer
    from worker.operator.filtered_changes import FilteredAct
    from worker.runtime import Runtime

ROWS = 80_000


@pytest.fixture(scope="session")
def _large_postgres_url(postgres: PostgresServer) -> str:
    postgres.start()
    return _filled(postgres.create_database("large"))


@pytest.fixture(scope="session")
def _large_mariadb_url(mariadb: MariaDBServer) -> str:
    mariadb.start()
    return _filled(mariadb.create_database("large"))


def _filled(url: str) -> str:
    database = Database(migrate(url), threads=1)
    fill(database, ROWS)
    database.dispose()
    return url


@pytest.fixture(params=["postgres", "mariadb"])
def held(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """The runtime of a worker on a large database in which every row is due."""
    server = request.getfixturevalue(request.param)
    server.thaw()
    server.start()
    url = request.getfixturevalue(f"_large_{request.param}_url")
    with (
        Simulator(api_key=KEY) as provider,
        as_worker(url, provider.base_url, SMSCLICK_RETENTION_DAYS="30") as made,
    ):
        make_due(made.database)
        yield made


def judge(ran: list[Ran]) -> None:
    assert ran, "nothing was asked of the database"
    faulty = [each for each in ran if each.faults]
    assert not faulty, "\n\n".join(map(str, faulty))


@pytest.mark.parametrize("tick", TICKS)
def test_every_statement_of_a_tick_is_bounded_and_served_by_an_index(
    held: Runtime, tick: str, caplog: pytest.LogCaptureFixture
) -> None:
    called = arguments(held.database, tick)
    with recorded(held.database.engine) as ran, calls_in_transactions(held.database.engine) as caught:
        run(held, tick, called)
    assert "A tick stopped" not in caplog.text
    judge(ran)
    assert caught == [], "a request left while a transaction was open"


GIVEN_UP = replay.Wanted(states=[replay.CallbackState.GIVEN_UP])
COMMANDS: dict[str, Callable[[Database], object]] = {
    "unknown": unknowns.read,
    "show": lambda database: message_history.read(database, "key-1"),
    "cancel": lambda database: list(message_changes.cancel(database, ["key-2"], actor="ana")),
    "export": lambda database: next(exporting.export(database, exporting.Wanted(states=[State.FAILED]))),
    "export since": lambda database: next(exporting.export(database, exporting.Wanted(since=LONG_AGO))),
    "find": lambda database: finding.by_phone(database, "5551402211"),
    "given-up callbacks": lambda database: next(replay.listed(database, GIVEN_UP), None),
    "open incidents": lambda database: database.transact(open_incidents.read),
    "metrics": readings.read,
    "now": now.read,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_reads_a_whole_table(held: Runtime, command: str) -> None:
    with recorded(held.database.engine) as ran:
        COMMANDS[command](held.database)
    assert ran
    whole = [each for each in ran if any(fault.startswith("reads all") for fault in each.faults)]
    assert not whole, "\n\n".join(map(str, whole))


@pytest.mark.parametrize("state", ["queued", "sending", "unknown", "sent", "delivered", "failed"])
def test_what_a_message_waits_for_is_read_by_bounded_statements(held: Runtime, state: str) -> None:
    with held.database.read() as connection:
        # The last of the queue has the most messages ahead.
        query = sa.select(messages.c.id).where(messages.c.state == state).order_by(messages.c.id.desc()).limit(1)
        message_id = connection.scalar(query)
    limited = Limits.of(held.settings.model_copy(update={"max_per_second": 1}))
    with recorded(held.database.engine) as ran:
        message_history.read(held.database, f"id:{message_id}", limits=limited)
    judge(ran)


SEARCHES: dict[str, Callable[[Database], object]] = {
    "newest": lambda database: message_list.read(database, Filters(), limit=50),
    "an older part": lambda database: message_list.read(database, Filters(), limit=50, before=ROWS // 2),
    "failed": lambda database: message_list.read(database, Filters(states={State.FAILED}), limit=50),
    "since": lambda database: message_list.read(database, Filters(since=LONG_AGO), limit=50),
    "a key": lambda database: listing.search(database, "key-1"),
    "a number": lambda database: listing.search(database, "77"),
    "a reference that is rare": lambda database: listing.search(database, "no such reference"),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_every_statement_of_the_list_of_messages_is_bounded(held: Runtime, name: str) -> None:
    with recorded(held.database.engine) as ran:
        SEARCHES[name](held.database)
    judge(ran)


def test_a_search_by_phone_reads_no_whole_table(held: Runtime) -> None:
    """Messages in progress are looked through by the index of due rows (docs/decisions/0062)."""
    with recorded(held.database.engine) as ran:
        listing.search(held.database, "5551402211")
    assert ran
    whole = [each for each in ran if any(fault.startswith("reads all") for fault in each.faults)]
    assert not whole, "\n\n".join(map(str, whole))


def test_of_a_large_table_what_is_done_is_estimated_and_the_rest_counted(held: Runtime) -> None:
    with held.database.read() as connection:
        exact = counting.count(connection, counted=10**9)
    with recorded(held.database.engine) as ran, held.database.read() as connection:
        about = counting.count(connection, counted=ROWS // 2)
    assert [scan for each in ran for scan in each.scans if scan.whole] == []
    assert exact.estimated == frozenset()
    for state, count in about.states.items():
        if state not in about.estimated:
            assert count == exact.states[state]
        elif exact.states[state] > ROWS // 10:
            assert count == pytest.approx(exact.states[state], rel=0.6)
    assert {state for state in State if state in about.estimated} == FINAL_STATES | {State.UNDETERMINED}


@pytest.mark.parametrize("act", [Act.CANCEL, Act.RETRY])
@pytest.mark.parametrize("wanted", [Filter(), Filter(codes=[-103]), Filter(references=["none"], since=LONG_AGO)])
def test_a_set_is_counted_by_an_index_of_its_state_alone(held: Runtime, act: FilteredAct, wanted: Filter) -> None:
    with held.database.read() as connection:
        query = sa.select(sa.func.count()).where(messages.c.state == filtered_changes.STATE_OF[act])
        of_state = connection.execute(query).scalar_one()
    with recorded(held.database.engine) as ran:
        filtered_changes.count(held.database, act, wanted)
    assert len(ran) == 1, "the whole table was looked through"
    assert [scan for scan in ran[0].scans if scan.whole] == []
    # MariaDB counts an entry of the index, the row that it leads to, and the row of the derived table.
    assert sum(scan.rows for scan in ran[0].scans) <= 3 * of_state + 10


def test_without_its_index_a_tick_is_found_guilty(held: Runtime) -> None:
    (index,) = (each for each in messages.indexes if each.name == "ix_smsclick_messages_queue")
    with held.database.begin() as connection:
        index.drop(connection)
    try:
        with recorded(held.database.engine) as ran:
            app.tasks["smsclick.sweep"].run(urgent=True)
        with pytest.raises(AssertionError, match=r"(reads all|looks at \d+ rows) of smsclick_messages"):
            judge(ran)
    finally:
        with held.database.begin() as connection:
            index.create(connection)


def test_every_statement_of_the_watch_is_bounded_and_served_by_an_index(held: Runtime) -> None:
    watch = Watchdog(held, ProgressLimits(confirm=0))
    with recorded(held.database.engine) as ran:
        watch.look()
        watch.deliver()
        held.database.transact(lambda connection: step.adjust(connection, held.database.clock(), -1800, 5))
    judge(ran)


@pytest.mark.parametrize("minutes_ago", [(1, 1), (25, 1), (25, 0), (0, 0)], ids=str)
def test_events_of_any_age_are_counted_by_statements_that_an_index_serves(
    held: Runtime, minutes_ago: tuple[int, int]
) -> None:
    """Which statements count them depends on where a period ends, and so on the time of the day."""
    with held.database.begin() as connection:
        newest = connection.execute(sa.select(events.c.id).order_by(events.c.id.desc()).limit(10)).scalars().all()
        now = database_now(connection)
        for ids, minutes in zip((newest[5:], newest[:5]), minutes_ago, strict=True):
            at = now - dt.timedelta(minutes=minutes)
            connection.execute(sa.update(events).where(events.c.id.in_(ids)).values(at=at))
        begins_at = now - dt.timedelta(hours=1)
        connection.execute(sa.delete(usage))
        connection.execute(sa.insert(usage).values(begins_at=begins_at, counted_to=newest[-1] - 1))
    with recorded(held.database.engine) as ran:
        account_usage.count(held.database)
    judge(ran)


def test_every_tick_of_beat_is_known() -> None:
    assert {each["task"] for each in app.conf.beat_schedule.values()} <= set(TICKS)


@contextlib.contextmanager
def calls_in_transactions(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect the HTTP requests that left from a thread which has a transaction of this engine open."""
    caught: list[str] = []
    here = threading.local()

    def begun(_: object) -> None:
        here.open = getattr(here, "open", 0) + 1

    def ended(_: object) -> None:
        here.open = getattr(here, "open", 0) - 1

    def called(where: str) -> None:
        if getattr(here, "open", 0) > 0:
            caught.append(where)

    hooks: list[tuple[str, Callable[[object], None]]] = [("begin", begun), ("commit", ended), ("rollback", ended)]
    for name, hook in hooks:
        event.listen(engine, name, hook)
    _listening.append(called)
    try:
        yield caught
    finally:
        _listening.clear()
        for name, hook in hooks:
            event.remove(engine, name, hook)


_listening: list[Callable[[str], None]] = []


def _heard(name: str, given: tuple[Any, ...]) -> None:
    if name == "http.client.send" and _listening:
        _listening[0](f"{given[0].host}:{given[0].port}")


sys.addaudithook(_heard)


def test_a_request_within_a_transaction_is_noticed(held: Runtime) -> None:
    with calls_in_transactions(held.database.engine) as caught:
        held.client.credits()
        with held.database.read() as connection:
            connection.execute(sa.select(accounts))
            held.client.credits()
        held.client.credits()
    assert len(set(caught)) == 1
