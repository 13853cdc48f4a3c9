"""How long an attempt stays unknown in a quiet account, with and without the balance: `python -m bench.quiet_account`.

The worker's real functions run on a real database against the real simulator over HTTP; only the clock is simulated,
for the database and the simulator alike, so that weeks pass in minutes. One message goes at a time; every tenth answer
is lost, half of them after the provider accepted the message and half before. Settings are those of the contract, but
for the balance, which is read twice between two messages.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench import harness
from bench.harness import Benchmark, Place, Report, Table, percentile
from smsclick.contract import State, events, messages
from smsclick.simulator import Fault, FaultKind
from tests.timelapse import Timelapse, timelapse
from worker.account import account_state, balance_history

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

HOUR = 3600.0
SWEEP_SECONDS = 5.0
YOUNG = dt.timedelta(minutes=30)
LOST = (
    Fault(FaultKind.RESET_AFTER, rate=0.05, seed=1),
    Fault(FaultKind.RESET_BEFORE, rate=0.05 / 0.95, seed=2),
)
CONTRACT = {
    "SMSCLICK_SETTLE_SECONDS": "600",
    "SMSCLICK_POLL_SECONDS": "15,30,60,120,300,900,3600",
}
HOURS = (1, 30)
"""Between two messages: the account of the issue, and one that has no control row within a day before an attempt."""


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What became of the unknown attempts of one run; durations in seconds.

    Attributes:
        found: of those that the report had.
        absent: of those that it lacked.
        still_open: ages of those that are still unknown at the end.
    """

    found: list[float]
    absent: list[float]
    still_open: list[float]

    def __str__(self) -> str:
        return f"found {len(self.found)}, absent {len(self.absent)}, open {len(self.still_open)}"


def run(place: Place, count: int, hours: float, *, witness: bool) -> Recorded:
    """One account sends so many messages.

    Raises:
        AssertionError: a message was sent twice, lost or reported wrongly.
    """
    apart = hours * HOUR
    variables: dict[str, Any] = {**CONTRACT, "SMSCLICK_BALANCE_SECONDS": str(apart / 2)}
    with timelapse(place.sqlite(), balance=10**6, **variables) as running:
        running.simulator.faults(LOST)
        rows = [{"key": f"k{n}", "phone": f"55{10_000_000 + n % 97}", "text": f"Aviso {n}"} for n in range(count)]
        running.enqueue(rows, every=apart)
        end = running.clock.read().timestamp() + count * apart
        while (now := running.clock.read().timestamp()) < end:
            coming, step = _next(running)
            running.clock.wait(max(step, coming - now))
            running.send()
            with running.database.read() as connection:
                probed = account_state.read(connection).probe_at <= running.clock.read()
            if probed:
                running.tick()
                if not witness:
                    running.database.transact(balance_history.forget)
            else:
                running.reconcile(running.runtime)
        outcome = running.outcome()
        queued = [row for row in running.rows(State.QUEUED, State.SENDING) if row.attempts == 0]
        wrong = [*outcome.sent_twice, *outcome.contradicted, *outcome.lost[len(queued) :]]
        if wrong:
            raise AssertionError(f"{len(wrong)} messages were sent twice, lost or reported wrongly: {wrong[:3]}")
        return _recorded(running)


def _next(running: Timelapse) -> tuple[float, float]:
    """When anything is due next, and how long to wait at least: what is old is looked at every five minutes."""
    waiting = messages.c.state.in_((State.QUEUED, State.UNKNOWN))
    with running.database.read() as connection:
        due = connection.scalar(sa.select(sa.func.min(messages.c.due_at)).where(waiting))
        youngest = connection.scalar(sa.select(sa.func.max(messages.c.unknown_since)))
        probe = account_state.read(connection).probe_at
    young = youngest is not None and running.clock.read() - youngest < YOUNG
    return min(time for time in (due, probe) if time is not None).timestamp(), SWEEP_SECONDS if young else HOUR / 12


def _recorded(running: Timelapse) -> Recorded:
    recorded = Recorded([], [], [])
    begun: dict[int, dt.datetime] = {}
    with running.database.read() as connection:
        query = sa.select(events).where(sa.or_(events.c.from_state == "unknown", events.c.to_state == "unknown"))
        for row in connection.execute(query.order_by(events.c.id)):
            if row.to_state == State.UNKNOWN:
                begun[row.message_id] = row.at
            else:
                kind = recorded.found if row.to_state == State.SENT else recorded.absent
                kind.append((row.at - begun.pop(row.message_id)).total_seconds())
    now = running.clock.read()
    recorded.still_open.extend((now - at).total_seconds() for at in begun.values())
    return recorded


# --- The benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--messages", type=int, default=1000, help="of the first account (default 1000); a fifth of the second"
    )


def measure(place: Place, options: argparse.Namespace) -> Report:
    """Runs each account once with and once without; `rounds` does not apply: the clock is simulated."""
    count = 30 if options.quick else options.messages
    accounts: dict[str, Recorded] = {}
    for hours in HOURS:
        for witness in (False, True):
            name = f"{_every(hours)}, {'with' if witness else 'without'} the balance"
            accounts[name] = run(place, count if hours == 1 else count // 5, hours, witness=witness)
            harness.console.print(f"{name}: {accounts[name]}", markup=False)
    rows = tuple(
        (name, what, str(len(values)), *(_time(value) for value in _figures(values)))
        for name, recorded in accounts.items()
        for what, values in (
            ("found", recorded.found),
            ("absent", recorded.absent),
            ("still open", recorded.still_open),
        )
    )
    title = f"From unknown to decided, {count:,} and {count // 5:,} messages, every tenth answer lost"
    columns = ("account", "decided as", "attempts", "median", "90 of 100", "longest")
    samples = {name: dataclasses.asdict(recorded) for name, recorded in accounts.items()}
    return Report(name="quiet_account", tables=(Table(title, columns, rows),), samples=samples)


def _every(hours: float) -> str:
    return "a message an hour" if hours == 1 else f"a message every {hours:g} hours"


def _figures(values: Sequence[float]) -> tuple[float, float, float]:
    return percentile(values, 0.5), percentile(values, 0.9), percentile(values, 1)


def _time(seconds: Any) -> str:  # noqa: ANN401 - nan where there is none
    if seconds != seconds:  # noqa: PLR0124 - nan
        return "-"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


BENCHMARK = Benchmark("quiet_account", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
