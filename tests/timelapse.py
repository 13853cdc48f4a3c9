"""A worker, its database and its provider on one clock that a test holds: an hour passes in a second.

The worker's functions, the database and the simulator are the real ones, over real HTTP; only their clocks are
replaced: SQLite's by a function of that name, the simulator's by its argument. What measures durations within a process
(timeouts, the claim's `not_after`) goes by the true clock, in which next to no time passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import math
import threading
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from smsclick._values.causes import Cause
from smsclick.contract import State, alerts, incidents, messages
from smsclick.settings import load_settings
from smsclick.simulator import Simulator
from tests.factories import RecordingWakeups
from worker.account import account_state, holds
from worker.alerting import incidents as problems
from worker.alerting.details import shown
from worker.database_clock.clock import DatabaseClock
from worker.lifecycle.attempt import Ended
from worker.lifecycle.policy import Policy
from worker.maintenance import balance
from worker.queue import expired_leases
from worker.reconciliation import reconcile, report_lag
from worker.runtime import Runtime
from worker.sending import attempts
from worker.sending.results import record_results
from worker.tracking import bracket_claim, by_report, by_status

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from smsclick._database.engine import Database
    from smsclick.simulator import LedgerEntry

KEY = "key-of-the-timelapse"
BEGIN = dt.datetime(2026, 5, 4, 18, 0, tzinfo=dt.UTC)
_READING = dt.timedelta(microseconds=500)


class HeldClock:
    """A clock that a test moves; each reading moves it by half a millisecond, so that what follows comes later."""

    def __init__(self, now: dt.datetime) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.provider_seconds = 0.0
        """How long the provider takes for each answer."""

    def __call__(self) -> float:
        """Epoch seconds, for the provider."""
        if self.provider_seconds:
            self.wait(self.provider_seconds)
        return self.read().timestamp()

    def read(self) -> dt.datetime:
        """The time, in UTC."""
        with self._lock:
            self._now += _READING
            return self._now

    def wait(self, seconds: float) -> None:
        """Time passes."""
        with self._lock:
            self._now += dt.timedelta(seconds=seconds)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all messages; the first three must be empty. Each holds lines for a person.

    Attributes:
        sent_twice: messages that the provider accepted more than once.
        contradicted: messages whose state the provider's ledger contradicts.
        lost: messages that ended without a reason.
        unknown: the ids of those that are still unknown, whether or not they were accepted.
        found: how many unknown attempts were reconciled as accepted.
        absent: how many were reconciled as not accepted.
    """

    sent_twice: list[str]
    contradicted: list[str]
    lost: list[str]
    unknown: list[int]
    found: int
    absent: int


class Timelapse:
    """An installation on a clock of its own.

    Args:
        runtime: of its one worker.
        simulator: its provider.
        clock: of both.
    """

    def __init__(self, runtime: Runtime, simulator: Simulator, clock: HeldClock, url: str) -> None:
        self.runtime = runtime
        self.simulator = simulator
        self.clock = clock
        self.reconcile: Callable[[Runtime], object] = reconcile.reconcile
        self._url = url

    @property
    def database(self) -> Database:
        """Its database."""
        return self.runtime.database

    def enqueue(self, rows: Sequence[Mapping[str, object]], *, every: float) -> list[int]:
        """Messages are committed, due one after the other from now on; returns their ids."""
        now, ids = self.clock.read(), []
        with self.database.begin() as connection:
            for number, row in enumerate(rows):
                due = now + dt.timedelta(seconds=number * every)
                result = connection.execute(sa.insert(messages).values(due_at=due, created_at=due, **row))
                ids.append(result.inserted_primary_key[0])  # type: ignore[index]
        return ids

    def live(self, seconds: float, *, send_every: float, tick_every: float) -> None:
        """Time passes: what is due is sent, and the ticks come."""
        passed, next_tick = 0.0, tick_every
        while passed < seconds:
            self.clock.wait(send_every)
            passed += send_every
            self.send()
            if passed >= next_tick:
                next_tick += tick_every
                self.tick()

    def send(self, canary: int | None = None, *, claimed: Callable[[], object] = lambda: None) -> None:
        """Whatever is due is claimed, called for and recorded: as by a worker, but without the recorder's thread.

        Args:
            canary: send this message alone.
            claimed: is called between each claim and its calls.
        """
        runtime = self.runtime
        while (batch := attempts.claim(runtime, None if canary is None else [canary], attempts.WAKE_UP_IDS)).claims:
            claimed()
            ended = asyncio.run(_attempt(runtime, batch))
            self.database.transact(partial(record_results, group=ended, settings=runtime.settings, rng=runtime.rng))
            runtime.hold_cache.forget()

    def tick(self) -> None:
        """Run what the sweep wakes up workers for, and what beat starts."""
        runtime = self.runtime
        self.database.transact(lambda connection: expired_leases.expire_leases(connection, 100))
        self.database.transact(problems.tick)
        report_lag.measure(runtime)
        self.reconcile(runtime)
        with self.database.read() as connection:
            due, now = by_status.due(connection, 100), account_state.read(connection)
            reports = bracket_claim.due(connection, Policy.of(runtime.settings))
        if reports:
            by_report.follow(runtime)
        by_status.poll(runtime, due)
        balance.check(runtime)
        if not now.is_open:
            with self.database.read() as connection:
                canary = account_state.read(connection).allowed_canary
            runtime.hold_cache.forget()
            if canary is not None:
                self.send(canary)

    def restart(self, **variables: object) -> None:
        """The worker comes back with other settings, by their variables' names."""
        self.runtime.close()
        self.runtime = _runtime(self._url, self.simulator, self.clock, variables)

    # --- What came of it

    def rows(self, *states: State) -> list[Any]:
        """Messages, all or those in some states."""
        query = sa.select(messages).order_by(messages.c.id)
        with self.database.read() as connection:
            return list(connection.execute(query.where(messages.c.state.in_(states)) if states else query))

    def open_incidents(self) -> dict[str, str]:
        """The open problems: kind and detail."""
        query = sa.select(incidents.c.kind, incidents.c.detail).where(incidents.c.open_key.is_not(None))
        with self.database.read() as connection:
            return {row.kind: shown(row.detail, "en") for row in connection.execute(query)}

    def alerts(self) -> list[str]:
        """The text of each alert that was raised, oldest first."""
        query = sa.select(incidents.c.kind, alerts.c.news, incidents.c.detail).join_from(alerts, incidents)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(alerts.c.id))
            return [f"{row.kind} {row.news} {shown(row.detail, 'en')}" for row in rows]

    def outcome(self) -> Outcome:
        """Compare the ledger with the database. Messages are told apart by phone and text."""
        ledger = self.simulator.ledger()
        by_id = {entry.id_mensaje: entry for entry in ledger}
        entries: dict[tuple[str, str], list[LedgerEntry]] = defaultdict(list)
        for entry in ledger:
            entries[entry.phone, entry.text].append(entry)
        outcome = Outcome([], [], [], [], *self._reconciled())
        for row in self.rows():
            own = entries[row.phone, row.text]
            if len(own) > 1:
                outcome.sent_twice.append(f"message {row.id}: {[entry.id_mensaje for entry in own]}")
            if row.state == State.UNKNOWN:
                outcome.unknown.append(row.id)
            elif row.state in {State.SENT, State.DELIVERED, State.REJECTED}:
                named = by_id.get(row.id_mensaje)
                if named is None or (named.phone, named.text) != (row.phone, row.text):
                    outcome.contradicted.append(f"message {row.id} is {row.state} with the id of something else")
            elif own:
                outcome.contradicted.append(f"message {row.id} is {row.state} although it was accepted")
            elif not (row.state == State.FAILED and row.if_absent == "fail"):
                outcome.lost.append(f"message {row.id} is {row.state}: {row.last_error}")
        return outcome

    def _reconciled(self) -> tuple[int, int]:
        with self.database.read() as connection:
            causes = list(connection.scalars(sa.text("SELECT cause FROM smsclick_events WHERE from_state = 'unknown'")))
        return causes.count(Cause.FOUND_IN_REPORT), causes.count(Cause.ABSENT_FROM_REPORT)


@contextlib.contextmanager
def timelapse(url: str, *, begin: dt.datetime = BEGIN, **given: object) -> Iterator[Timelapse]:
    """An installation on a migrated SQLite database.

    Args:
        url: of the database.
        begin: what its clock shows first.
        **given: variables of the worker's settings, in capitals, and settings of the simulator.
    """
    clock = HeldClock(begin)
    variables = {name: value for name, value in given.items() if name.isupper()}
    settings: dict[str, Any] = {name: value for name, value in given.items() if not name.isupper()}
    with Simulator(api_key=KEY, clock=clock, delivery_seconds=30, **settings) as simulator:
        running = Timelapse(_runtime(url, simulator, clock, variables), simulator, clock, url)
        # The migration stamped it by the true clock.
        running.database.transact(lambda connection: holds.update(connection, probe_at=begin))
        try:
            yield running
        finally:
            running.runtime.close()


async def _attempt(runtime: Runtime, batch: attempts.Batch) -> list[Ended]:
    async with runtime.senders() as sender:
        ended = []
        for claim in batch.claims:
            permit = await attempts.permit(runtime, claim, batch.claimed_at, first=True)
            ended.append(permit if isinstance(permit, Ended) else await attempts.call(sender, permit))
        return ended


def _runtime(url: str, simulator: Simulator, clock: HeldClock, variables: Mapping[str, object]) -> Runtime:
    settings: dict[str, object] = {
        "DATABASE_URL": url,
        "SMSCLICK_API_KEY": KEY,
        "SMSCLICK_BASE_URL": simulator.base_url,
        "SMSCLICK_POLL_SECONDS": "900",
    }
    started = Runtime.start(load_settings(**(settings | dict(variables))), RecordingWakeups(), calls=4)
    # This process's own clock goes with the others, or each wait would be a step of the database's clock.
    runtime = dataclasses.replace(started, clock=DatabaseClock(math.inf, measure=lambda: clock.read().timestamp()))

    def connected(raw: sqlite3.Connection, _record: object) -> None:
        raw.create_function("strftime", 2, lambda _form, _modifier: _sqlite_form(clock.read()))
        raw.execute("PRAGMA synchronous=OFF")  # nothing here is about a power cut

    runtime.database.engine.dispose()
    event.listen(runtime.database.engine, "connect", connected)
    return runtime


def _sqlite_form(time: dt.datetime) -> str:
    return f"{time.replace(tzinfo=None).isoformat(' ', 'milliseconds')}000"
