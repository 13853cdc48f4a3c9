"""Wrong wall clocks of processes change nothing: only the database's clock decides, only monotonic clocks measure."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from smsclick.contract import HoldReason, State
from tests.acceptance import Cluster, ready, texts
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.conftest import StartProcess, WallClock

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


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_an_account_that_runs_dry_goes_on_after_the_refill_although_the_clock_of_beat_is_wrong(
    broker: str,
    migrated_postgres_url: str,
    request: pytest.FixtureRequest,
    start_process: StartProcess,
    wall_clock: WallClock,
) -> None:
    """Every step needs ticks: the queue is found by the sweep, the hold lifts by the probe, statuses are asked for."""
    offsets = ("-7s", "+60s", "-1h") if broker == "redis" else ("+7s", "-60s", "+1h")
    url = request.getfixturevalue(f"{broker}_url")
    with Cluster(start_process, migrated_postgres_url, url, balance=0) as cluster:
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
