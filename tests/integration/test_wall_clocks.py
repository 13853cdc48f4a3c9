"""Wrong wall clocks of processes change nothing: only the database's clock decides, only monotonic clocks measure."""

from __future__ import annotations

import datetime as dt
import functools
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import HoldReason, State, clocks
from smsclick.simulator import Fault, FaultKind
from tests.acceptance import Cluster, ready, texts
from tests.processes import together, wait_until
from tests.servers import free_port
from tests.wall_clocks import SetPostgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import OwnServer, StartProcess, WallClock
    from tests.servers import RedisServer

HALF = 10


def test_the_wrong_clock_of_a_process_is_only_its_wall_clock(wall_clock: WallClock) -> None:
    """The means of the tests below does what they need."""
    program = "import time; print(time.time(), time.monotonic())"
    wall, monotonic = (
        float(word)
        for word in subprocess.run(
            [sys.executable, "-c", program], env=wall_clock("-1h"), capture_output=True, text=True, check=True
        ).stdout.split()
    )
    now = dt.datetime.now(dt.UTC).timestamp()
    assert wall == pytest.approx(now - 3600, abs=600)
    assert monotonic == pytest.approx(time.monotonic(), abs=600)


def test_an_account_that_runs_dry_goes_on_after_the_refill_although_the_clock_of_beat_is_wrong(
    new_postgres_url: Callable[[], str],
    redis_url: str,
    rabbitmq_url: str,
    start_process: StartProcess,
    wall_clock: WallClock,
) -> None:
    """Every step needs ticks: the queue is found by the sweep, the hold lifts by the probe, statuses are asked for."""

    def live(broker_url: str, *offsets: str) -> None:
        with Cluster(start_process, new_postgres_url(), broker_url, balance=0) as cluster:
            ready(cluster.worker())
            for number, offset in enumerate(offsets):
                before = 2 * HALF * number
                beat = cluster.beat(env=wall_clock(offset))
                cluster.provider.set(balance=HALF)
                cluster.enqueue(texts(2 * HALF, f"Aviso{number}"))
                wait_until(lambda: cluster.hold() == HoldReason.NO_BALANCE, what="the hold")
                cluster.wait_states(delivered=before + HALF, queued=HALF)
                cluster.provider.set(add_balance=HALF)
                cluster.wait_final(before + 2 * HALF)
                beat.end()
            assert cluster.states() == {State.DELIVERED: 2 * HALF * len(offsets)}
            assert len(cluster.assert_ledger_agrees()) == 2 * HALF * len(offsets)

    together(
        lambda: live(redis_url, "-7s", "+60s", "-1h"),
        lambda: live(rabbitmq_url, "+7s", "-60s", "+1h"),
    )


def test_a_worker_without_beat_and_broker_watches_the_database_by_itself(
    migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    """Ticks do not come; what they would have found is looked for all the same."""
    broker = f"redis://127.0.0.1:{free_port()}/0"
    with Cluster(start_process, migrated_sqlite_url, broker) as cluster:
        cluster.worker()

        def looked() -> int:
            with cluster.database.read() as connection:
                return connection.scalar(sa.select(sa.func.count()).select_from(clocks)) or 0

        wait_until(looked, 120, what="a look at the database's clock")


@pytest.mark.usefixtures("wall_clock")
def test_the_databases_clock_is_set_by_half_an_hour_while_messages_flow(
    own_server: OwnServer,
    redis_server: RedisServer,
    start_process: StartProcess,
    migrated: Callable[[str], str],
) -> None:
    """What waits goes on at once, what is unknown is not judged early, nothing goes twice."""

    def live(server: SetPostgres, url: str, then: str, broker: str) -> None:
        redis_server.flush(broker)
        with Cluster(start_process, url, redis_server.url(broker), balance=10_000) as cluster:
            ready(cluster.worker())
            cluster.beat()
            cluster.enqueue(texts(HALF, "Antes"))
            cluster.wait_final(HALF)
            # A request that the provider accepted and one that it did not, both without an answer.
            for kind in (FaultKind.HTML_AFTER, FaultKind.HTML_BEFORE):
                cluster.provider.faults([Fault(kind)])
                cluster.enqueue(texts(1, kind.value))
                wait_until(
                    lambda: cluster.states()[State.SENDING] + cluster.states()[State.QUEUED] == 0, what="its end"
                )
            cluster.provider.faults([])
            server.set_clock(then)
            cluster.enqueue(texts(HALF, "Despues"))
            wait_until(lambda: cluster.states()[State.DELIVERED] >= 2 * HALF, 120, what="what waits, and its statuses")
            wait_until(
                lambda: [each for each in cluster.incidents() if each[0] == "clock_step"],
                what="the incident of the step",
            )
            assert cluster.causes(State.QUEUED) == {}, "nothing was absent"
            cluster.assert_ledger_agrees()

    redis_server.start()
    scenarios = []
    for first, then, broker in (("+0s", "+30m", "11"), ("+60m", "+30m", "12")):
        server = own_server(SetPostgres, prepare=functools.partial(SetPostgres.set_clock, offset=first))
        scenarios.append(functools.partial(live, server, migrated(server.create_database("clock")), then, broker))
    together(*scenarios)
