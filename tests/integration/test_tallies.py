"""Counters as rows that add up: merged while others count, and never lower than before."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import tallies as table
from smsclick.contract import worker_gauges as gauges_table
from tests.factories import insert
from worker.lifecycle.policy import Policy
from worker.metrics import tallies, worker_gauges
from worker.metrics.process_metrics import ProcessMetrics
from worker.metrics.reporter import Reporter
from worker.queue import claims
from worker.threads.supervision import Supervisor

if TYPE_CHECKING:
    from smsclick._database.engine import Database
    from worker.runtime import Runtime

CALLS = ("calls", "accepted 1")


def count(database: Database, amount: int = 1, times: int = 1) -> None:
    for _ in range(times):
        with database.begin() as connection:
            tallies.add(connection, {CALLS: amount})


def total(database: Database) -> int:
    with database.read() as connection:
        return tallies.totals(connection).get("calls", {}).get("accepted 1", 0)


def rows(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_a_merge_keeps_every_sum_and_few_rows(database: Database) -> None:
    with database.begin() as connection:
        for index in range(60):
            tallies.add(connection, {CALLS: index, ("credits", ""): 2, ("events", "a b c"): 0})
    with database.read() as connection:
        before = tallies.totals(connection)
    assert before == {"calls": {"accepted 1": sum(range(60))}, "credits": {"": 120}}
    assert tallies.merge(database, least=10) == rows_before_merge(60) - 2
    with database.read() as connection:
        assert tallies.totals(connection) == before
    assert rows(database) == 2
    assert tallies.merge(database, least=1) == 0, "there is nothing left to merge"


def rows_before_merge(times: int) -> int:
    return 2 * times - 1  # an amount of 0 is left out


# SQLite has one writer, so nothing is open beside a merge.
@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_a_row_of_a_transaction_that_is_still_open_is_not_lost(database: Database) -> None:
    count(database, times=20)
    with database.begin() as late:
        tallies.add(late, {CALLS: 5})  # its id is lower than those of the rows that follow
        count(database, times=20)
        assert tallies.merge(database, least=2) == 39
        assert total(database) == 40
    assert total(database) == 45
    count(database, times=3)
    tallies.merge(database, least=2)
    assert total(database) == 48


def test_many_merges_at_once_while_others_count(database: Database) -> None:
    def work() -> None:
        for _ in range(25):
            count(database)
            tallies.merge(database, least=5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    seen = [0]
    while any(each.is_alive() for each in threads):
        seen.append(total(database))
    for each in threads:
        each.join()
    assert seen == sorted(seen), "a counter went down"
    assert total(database) == 100


def test_what_could_not_be_written_is_written_later(database: Database) -> None:
    metrics = ProcessMetrics()
    reporter = Reporter(database, metrics, Supervisor())
    metrics.gauge("calls_in_flight", lambda: 3)
    metrics.call_ended("accepted", 1, 0.2, 0.03)
    metrics.call_ended("unknown", None, 30.5, None)
    with database.begin() as connection:
        connection.execute(sa.insert(gauges_table).values(worker="another"))
    url, database.engine = database.engine, sa.create_engine("sqlite://")
    reporter.write()
    database.engine = url
    metrics.call_ended("accepted", 1, 0.2, 0.03)
    reporter.write()
    with database.read() as connection:
        found = tallies.totals(connection)
        gauges = worker_gauges.read(connection)
    assert found["calls"] == {"accepted 1": 2, "unknown none": 1}
    assert found["wait_seconds"] == {"0.05": 2, "sum": 60_000}
    assert (gauges.processes, gauges.calls_in_flight) == (2, 3)
    reporter.close()
    with database.read() as connection:
        assert worker_gauges.read(connection).processes == 1
        assert tallies.totals(connection) == found


def test_what_the_state_machine_changes_is_counted_with_it(runtime: Runtime) -> None:

    insert(runtime.database, 3)
    with runtime.database.begin() as connection:
        claims.claim(connection, None, 2, Policy.of(runtime.settings))
    with runtime.database.read() as connection:
        assert tallies.totals(connection) == {"events": {"queued sending claimed": 2}}


def claim_one(runtime: Runtime, *, fault: Exception | None = None) -> None:
    def work(connection: sa.Connection) -> None:
        claims.claim(connection, None, 1, Policy.of(runtime.settings))
        if fault:
            raise fault

    runtime.database.transact(work)


def claimed(runtime: Runtime) -> int:
    with runtime.database.read() as connection:
        return tallies.totals(connection).get("events", {}).get("queued sending claimed", 0)


def test_a_connection_of_postgresql_adds_to_its_own_row_until_that_is_merged(runtime: Runtime) -> None:
    database = runtime.database
    insert(database, 9)
    for _ in range(4):
        claim_one(runtime)
    assert claimed(runtime) == 4
    if database.engine.dialect.name == "postgresql":
        assert rows(database) == 1
    with database.begin() as connection:
        tallies.add(connection, {("events", "queued sending claimed"): 10})
    assert tallies.merge(database, least=2)
    for _ in range(2):
        claim_one(runtime)  # its own row is gone
    assert claimed(runtime) == 16


def test_a_count_that_is_rolled_back_is_not_added_to_later(runtime: Runtime) -> None:
    insert(runtime.database, 3)
    with pytest.raises(ZeroDivisionError):
        claim_one(runtime, fault=ZeroDivisionError())
    assert claimed(runtime) == 0
    for _ in range(2):
        claim_one(runtime)
    assert claimed(runtime) == 2


def test_merges_lose_nothing_that_is_added_to_a_row_meanwhile(runtime: Runtime) -> None:
    insert(runtime.database, 120)

    def work() -> None:
        for _ in range(30):
            claim_one(runtime)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    seen = [0]
    while any(each.is_alive() for each in threads):
        with runtime.database.begin() as connection:
            tallies.add(connection, {CALLS: 1})
        tallies.merge(runtime.database, least=2)
        seen.append(claimed(runtime))
    for each in threads:
        each.join()
    assert seen == sorted(seen), "a counter went down"
    assert claimed(runtime) == 120


def test_a_process_merges_only_where_no_background_process_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "merge_seconds", lambda _rng: 0.0)
    reporter = Reporter(database, ProcessMetrics(), Supervisor())
    count(database, times=600)
    reporter.merged_elsewhere = lambda: True
    reporter.write()
    assert rows(database) == 600
    reporter.merged_elsewhere = lambda: False
    reporter.write()
    assert rows(database) == 1
    assert total(database) == 600
