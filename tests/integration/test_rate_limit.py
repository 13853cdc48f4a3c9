"""SMSCLICK_MAX_PER_SECOND: no second sees more, and next to nothing is left unused, whoever makes the calls."""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick import NewMessage
from smsclick._database.engine import Database
from smsclick.contract import State, limits
from smsclick.provider.clock import clock
from tests import one_sender
from tests.acceptance import Cluster, phone
from tests.factories import change_account, insert, states
from tests.processes import wait_until
from worker.account.rate_limit import BURST_SECONDS, SharedLimiter, Unlimited
from worker.sending import attempts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from smsclick.simulator import Simulator
    from tests.conftest import StartProcess
    from tests.integration.conftest import MakeRuntime

RATE = 25
NEVER = threading.Event()


def most_in_a_second(timestamps: Sequence[float]) -> int:
    return max(bisect.bisect_left(timestamps, each + 1) - index for index, each in enumerate(timestamps))


def used(timestamps: Iterable[float], seconds: int) -> bool:
    """Whether next to nothing was left unused for so long. A busy machine makes other seconds worse; no limit does."""
    ordered, count = sorted(timestamps), RATE * seconds
    took = (end - begin for begin, end in zip(ordered, ordered[count:], strict=False))
    return any(count / each >= RATE * 0.95 for each in took)


def acquired(limiter: SharedLimiter, count: int = 1) -> bool:
    async def acquire() -> bool:
        return all([await limiter.acquire(NEVER) for _ in range(count)])

    return asyncio.run(acquire())


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_two_processes_of_many_calls_keep_one_limit_and_use_it(database: Database) -> None:
    other = Database(url_of(database))
    limiters = [SharedLimiter(each, RATE) for each in (database, other)]
    enough = threading.Event()
    timestamps: list[float] = []

    async def calls(limiter: SharedLimiter) -> None:
        while await limiter.acquire(enough):
            timestamps.append(time.monotonic())

    async def process(limiter: SharedLimiter) -> None:
        await asyncio.gather(*[calls(limiter) for _ in range(6)])

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(asyncio.run, process(each)) for each in limiters]
        try:
            wait_until(lambda: used(timestamps, 2), 120, what="two seconds in which the limit is used")
        finally:
            enough.set()
        for each in done:
            each.result()
    other.dispose()
    assert most_in_a_second(sorted(timestamps)) <= RATE * (1 + BURST_SECONDS)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_at_a_high_rate_the_database_is_not_asked_for_every_call(database: Database) -> None:
    asked: list[str] = []
    sa.event.listen(database.engine, "commit", lambda _: asked.append("x"))
    limiter = SharedLimiter(database, 1000)
    began = time.monotonic()
    assert acquired(limiter, 400)
    assert time.monotonic() - began > 0.3
    # Twenty times, and more often where threads wake up so late that slots pass unused.
    assert len(asked) <= 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_was_not_used_is_not_made_up_for(database: Database) -> None:
    limiter = SharedLimiter(database, 500)
    assert acquired(limiter)
    time.sleep(BURST_SECONDS + 0.2)
    began = time.monotonic()
    assert acquired(limiter, 20)
    assert time.monotonic() - began > 0.03


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_call_waits_for_a_slot_that_would_be_too_late(database: Database) -> None:
    limiter = SharedLimiter(database, 0.02)
    assert asyncio.run(limiter.acquire(NEVER, clock() + 100))
    began = clock()
    assert not asyncio.run(limiter.acquire(NEVER, began + 20))
    assert clock() - began < 15


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_worker_that_stops_waits_no_longer(database: Database) -> None:
    limiter = SharedLimiter(database, 0.02)
    stopping = threading.Event()
    assert acquired(limiter)
    threading.Timer(0.2, stopping.set).start()
    began = time.monotonic()
    assert not asyncio.run(limiter.acquire(stopping))
    assert time.monotonic() - began < 40


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_the_database_no_call_leaves_until_it_is_back(database: Database) -> None:
    limiter = SharedLimiter(database, RATE)
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE smsclick_limits RENAME TO gone"))
    try:
        assert not asyncio.run(limiter.acquire(NEVER, clock() + 0.3))
    finally:
        with database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE gone RENAME TO smsclick_limits"))
    assert asyncio.run(limiter.acquire(NEVER, clock() + 60))


class Dozing(Unlimited):
    """Its calls may leave, but their loop wakes up late."""

    async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:  # noqa: ARG002
        time.sleep(0.3)  # noqa: ASYNC251 - the loop itself
        return True


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("dozing", [False, True])
def test_a_message_that_expired_before_its_slot_is_not_sent(
    database: Database, make_runtime: MakeRuntime, simulator: Simulator, *, dozing: bool
) -> None:
    runtime = make_runtime(SMSCLICK_MAX_PER_SECOND=0.1)
    if dozing:
        runtime = dataclasses.replace(runtime, limiter=Dozing())
    assert asyncio.run(runtime.limiter.acquire(NEVER))
    [message_id] = insert(database)
    [claim] = attempts.claim(runtime, [message_id], 1).claims
    batch = attempts.Batch(clock(), [dataclasses.replace(claim, valid_seconds=0.2)])
    assert one_sender.attempt(runtime, batch) == 1
    assert states(database) == ["queued"]
    assert simulator.ledger() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_hold_that_begins_while_a_call_waits_for_its_slot_is_honoured(
    database: Database, make_runtime: MakeRuntime, simulator: Simulator
) -> None:
    class Held(Unlimited):
        """The slot of its call comes after the hold began and after the cached account state is out of date."""

        async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:  # noqa: ARG002
            change_account(database, hold_reason="no_balance")
            await asyncio.sleep(0.1)
            return True

    runtime = dataclasses.replace(make_runtime(), limiter=Held())
    one_sender.attempt(runtime, attempts.claim(runtime, insert(database), 1))
    assert states(database) == ["queued"]
    assert simulator.ledger() == []


def test_four_workers_keep_one_limit_and_use_it(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    workers, concurrency = 4, 4
    env = {"SMSCLICK_MAX_PER_SECOND": str(RATE)}
    numbers = itertools.count()

    def timestamps() -> list[float]:
        return [entry.accepted_at for entry in cluster.provider.ledger()]

    def used_for_three_seconds() -> bool:
        # Workers on a busy machine may need a while to get going: there is always enough to send.
        if cluster.states()[State.QUEUED] < RATE * 4:
            new = itertools.islice(numbers, RATE * 4)
            cluster.enqueue([NewMessage.of(phone=phone(n), text=f"Oferta {n}", key=f"offer-{n}") for n in new])
        return used(timestamps(), 3)

    with Cluster(start_process, migrated_postgres_url, redis_url, env=env) as cluster:
        cluster.start(workers=workers, beats=1, concurrency=concurrency)
        wait_until(used_for_three_seconds, 120, what="three seconds in which the limit is used", every=0.5)
        cluster.wait_final(next(numbers))
        cluster.assert_ledger_agrees()
        # As the provider sees it: what comes while it is busy itself is on its list later.
        assert most_in_a_second(sorted(timestamps())) <= RATE * (1 + BURST_SECONDS) + workers * concurrency
        with cluster.database.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(limits)) == 1
