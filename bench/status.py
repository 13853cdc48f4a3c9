"""Requests and delay of following 10,000 messages, and the memory of a large report: `python -m bench.status`.

The worker's real functions run on a real database against the real simulator over HTTP; only the clock is simulated,
for the database and the simulator alike, so that a week passes in minutes. It stands still while a request is made, so
delays are those of deciding when to ask, without network and load. The fixed-interval poller that they are compared
with is worked out for the very same messages; it too has no latency.
"""

from __future__ import annotations

import bisect
import datetime as dt
import functools
import itertools
import json
import math
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from bench import harness
from bench.harness import KEY, Benchmark, Chart, Place, Report, Table, interleaved, median, number
from smsclick.contract import State, messages, watermarks
from smsclick.provider.results import Accepted
from smsclick.settings import load_settings
from smsclick.simulator import Simulator
from worker.account import status_check
from worker.lifecycle.policy import Policy
from worker.reports import windows
from worker.runtime import Runtime
from worker.tracking import bracket_claim, by_report, by_status

if TYPE_CHECKING:
    import argparse
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

BEGIN = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
SENDING_SECONDS = 300.0
BUDGET = 0.02
"""Status requests for each message that the design allows itself."""


@dataclass(frozen=True)
class Course:
    """When a message is sent, and how long until its final status; None: never."""

    at: float
    delay: float | None


def courses(count: int, rng: random.Random) -> list[Course]:
    """93.8 % within seconds (median 7.5), 5 % within 1 to 10 minutes, 1 % within 1 to 10 hours, 0.2 % never."""

    def delay() -> float | None:
        chance = rng.random()
        if chance < 0.002:
            return None
        if chance < 0.012:
            return math.exp(rng.uniform(math.log(3600), math.log(36_000)))
        if chance < 0.062:
            return rng.uniform(60, 600)
        return rng.lognormvariate(math.log(7.5), 0.5)

    return [Course(nth * SENDING_SECONDS / count, delay()) for nth in range(count)]


class _NoWakeups:
    """Publishes nothing: the loop below is the sweep."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


class World:
    """One worker, its database and its provider, all by one clock."""

    def __init__(self, database_url: str) -> None:
        self.now = BEGIN
        self.simulator = Simulator(api_key=KEY, balance=10**9, delivery_spread=0, clock=self._time)
        self.simulator.start()
        settings = load_settings(
            DATABASE_URL=database_url,
            SMSCLICK_API_KEY=KEY,
            SMSCLICK_BASE_URL=self.simulator.base_url,
            CELERY_BROKER_URL="",
        )
        self.runtime = Runtime.start(settings, _NoWakeups(), calls=1)
        self.policy = Policy.of(settings)
        self.rng = random.Random(1)
        event.listen(self.runtime.database.engine, "connect", self._clock)

    def close(self) -> None:
        """Stop everything."""
        self.runtime.close()
        self.simulator.stop()

    def send(self, nth: int, course: Course) -> None:
        """A message is accepted now and is followed from here on."""
        never = course.delay is None
        self.simulator.set(delivery_seconds=course.delay or 1.0, never_rate=float(never))
        accepted = self.runtime.client.send("5551402211", f"mensaje {nth}")
        if not isinstance(accepted, Accepted):
            raise RuntimeError(f"the simulator did not accept message {nth}: {accepted}")  # noqa: TRY004 - an outcome
        due_at = self.now + dt.timedelta(seconds=self.policy.poll[0] * self.rng.uniform(0.9, 1.1))
        with self.runtime.database.begin() as connection:
            connection.execute(
                sa.insert(messages).values(
                    key=str(nth),
                    phone="5551402211",
                    text="",
                    state=State.SENT,
                    attempts=1,
                    id_mensaje=accepted.id_mensaje,
                    attempted_at=self.now,
                    sent_at=self.now,
                    due_at=due_at,
                )
            )

    def tick(self) -> None:
        """One sweep."""
        database = self.runtime.database
        with database.read() as connection:
            reports = bracket_claim.due(connection, self.policy)
            checks = by_status.due(connection, status_check.left(connection))
        if reports:
            by_report.follow(self.runtime)
        for start in range(0, len(checks), by_status.CHECKS_PER_TASK):
            by_status.poll(self.runtime, checks[start : start + by_status.CHECKS_PER_TASK], slice_seconds=60)

    def requests(self) -> dict[str, int]:
        """Status requests so far, by endpoint."""
        made = self.simulator.stats().requests
        return {name: sum(made.get(name, {}).values()) for name in ("report", "getMsg")}

    def next_event(self) -> dt.datetime | None:
        """The next time at which anything can be due; None if no message is tracked any more."""
        with self.runtime.database.read() as connection:
            rows = connection.execute(
                sa.select(messages.c.sent_at, messages.c.due_at).where(messages.c.state == State.SENT)
            ).all()
            marks = connection.scalars(sa.select(watermarks.c.due_at)).all()
        if not rows:
            return None
        ages = [bracket.youngest for bracket in windows.age_brackets(self.policy)]
        times = [row.due_at for row in rows] + [mark for mark in marks if mark > self.now]
        for row in rows:
            age = (self.now - row.sent_at).total_seconds()
            index = bisect.bisect_right(ages, age)
            if index < len(ages):
                times.append(row.sent_at + dt.timedelta(seconds=ages[index]))
        earliest: dt.datetime = min(times)
        return earliest

    def _time(self) -> float:
        return self.now.timestamp()

    def _clock(self, raw: sqlite3.Connection, _record: object) -> None:
        raw.create_function("strftime", 2, self._strftime)

    def _strftime(self, _form: str, _modifier: str) -> str:
        return f"{self.now.replace(tzinfo=None).isoformat(' ', 'milliseconds')}000"


def run(place: Place, count: int) -> dict[str, Any]:
    """Follow `count` messages to the end of their tracking."""
    sent = courses(count, random.Random(7))
    world = World(place.sqlite())
    try:
        _run(world, sent)
        made = world.requests()
        with world.runtime.database.read() as connection:
            final = connection.execute(sa.select(messages.c.key, messages.c.final_at, messages.c.state)).all()
    finally:
        world.close()
    delays = []
    for row in final:
        course = sent[int(row.key)]
        if course.delay is not None and row.final_at is not None:
            delays.append((row.final_at - BEGIN).total_seconds() - course.at - course.delay)
    total = sum(made.values())
    mean = sum(delays) / len(delays)
    return {
        "messages": count,
        "final": len(delays),
        "undetermined": sum(row.state == State.UNDETERMINED for row in final),
        "requests": made,
        "requests_per_message": total / count,
        "mean_delay": mean,
        "median_delay": sorted(delays)[len(delays) // 2],
        "ideal": ideal(count, mean),
        "same_delay": fixed(sent, interval_for(sent, lambda poller: poller["mean_delay"] <= mean)),
        "eight_requests": fixed(sent, interval_for(sent, lambda poller: poller["requests_of_final"] >= 8)),
    }


def _run(world: World, sent: Sequence[Course]) -> None:
    sweep = dt.timedelta(seconds=world.runtime.settings.sweep_seconds)
    left = iter(enumerate(sent))
    following = next(left, None)
    tick = BEGIN
    while True:
        while following is not None and BEGIN + dt.timedelta(seconds=following[1].at) <= tick:
            world.now = BEGIN + dt.timedelta(seconds=following[1].at)
            world.send(*following)
            following = next(left, None)
        world.now = tick
        world.tick()
        tick += sweep
        if following is None:
            coming = world.next_event()
            if coming is None:
                return
            skipped = max(0, math.ceil((coming - tick) / sweep))
            tick += skipped * sweep


def fixed(sent: Sequence[Course], interval: float) -> dict[str, float]:
    """What a poller costs that asks for each message every `interval` seconds until it is final, or for a week."""
    tracking = 604_800.0
    final = [course.delay for course in sent if course.delay is not None]
    asked = [math.ceil(delay / interval) for delay in final]
    never = (len(sent) - len(final)) * tracking / interval
    late = sum(count * interval - delay for count, delay in zip(asked, final, strict=True))
    return {
        "interval": interval,
        "requests_per_message": (sum(asked) + never) / len(sent),
        "requests_of_final": sum(asked) / len(final),
        "mean_delay": late / len(final),
    }


def interval_for(sent: Sequence[Course], enough: Callable[[dict[str, float]], bool]) -> float:
    """The longest interval of a fixed poller that is good enough."""
    low, high = 0.5, 4000.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(fixed(sent, middle)) else (low, middle)
    return low


def memory(place: Place, rows: int) -> dict[str, float]:
    """Resident memory, in MiB, of a process of its own that reads a report of so many rows to its end."""
    with Simulator(api_key=KEY, balance=10**9, delivery_seconds=0) as simulator, place.processes():
        account = simulator._provider.account  # noqa: SLF001 - a hundred thousand requests would only take time
        text = "Su pedido 4711 va en camino y llega hoy entre las 10 y las 12. Consulte su guía en nuestra página."
        simulator._call(lambda: [account.accept("5551402211", text, None) for _ in range(rows)])  # noqa: SLF001
        env = {"SMSCLICK_API_KEY": KEY, "SMSCLICK_BASE_URL": simulator.base_url}
        process = place.run(sys.executable, "-m", "bench.reading", env=env, name="reading")
        if process.wait(600):
            raise RuntimeError(process.tail())
    found: dict[str, float] = json.loads(process.tail(1))
    if found["rows"] != rows:
        raise RuntimeError(f"the report had {found['rows']} of {rows} rows")
    return found


def ideal(count: int, mean_delay: float) -> dict[str, float]:
    """What the best schedule of reports costs that knows how delays are spread, but of no message when it ends.

    Where `f` messages become final a second and a report is asked for every `w` seconds, a message waits for `w / 2`.
    The sum of all delays for a number of reports is least where `w` is inverse to the square root of `f`; then reports
    times delays are half the square of the integral of that root.

    Args:
        count: of messages.
        mean_delay: that the schedule may have, in seconds.
    """
    repeated = 100
    rng = random.Random(3)
    ends = sorted(
        each.at + each.delay for _ in range(repeated) for each in courses(count, rng) if each.delay is not None
    )
    edges = [float(second) for second in range(int(SENDING_SECONDS) + 60)]
    while edges[-1] < ends[-1]:
        edges.append(edges[-1] * 1.01)  # later, fewer end
    places = [bisect.bisect_left(ends, edge) for edge in edges]
    root = sum(
        math.sqrt((after - before) / repeated * (end - begin))
        for (before, after), (begin, end) in zip(itertools.pairwise(places), itertools.pairwise(edges), strict=True)
    )
    delays = mean_delay * len(ends) / repeated
    return {"requests_per_message": root**2 / 2 / delays / count, "mean_delay": mean_delay}


# --- The benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=10_000, help="that are followed (default 10000)")
    parser.add_argument("--rows", type=int, default=100_000, help="of the large report (default 100000)")


def measure(place: Place, options: argparse.Namespace) -> Report:
    """Follows once, `rounds` does not apply: the clock is simulated; reads the large report in each round."""
    count, rows = (300, 5000) if options.quick else (options.messages, options.rows)
    followed = run(place, count)
    reading = functools.partial(memory, place, rows)
    read = interleaved({f"a report of {rows:,} rows": reading}, options.rounds)
    (large,) = read.values()
    ways = _ways(followed)
    charts = tuple(
        Chart(title, "bars", label, "", {name: [way[key]] for name, way in ways.items()})
        for title, label, key in (
            ("Status requests for each message", "requests", "requests_per_message"),
            ("From the final status to its being known", "seconds, mean", "mean_delay"),
        )
    )
    return Report(
        name="status",
        tables=(_following(followed, ways), _large(large, rows)),
        charts=charts,
        samples={"following": followed, "large_report": large},
    )


def _ways(followed: dict[str, Any]) -> dict[str, Mapping[str, float]]:
    """Ours and the fixed pollers, by their names."""
    same, eight = followed["same_delay"], followed["eight_requests"]
    return {
        "by report": followed,
        "reports at ideal times (same delay)": followed["ideal"],
        f"getMsg every {same['interval']:.1f} s (same delay)": same,
        f"getMsg every {eight['interval']:.1f} s (8 requests)": eight,
    }


def _following(followed: dict[str, Any], ways: Mapping[str, Mapping[str, float]]) -> Table:
    rows = tuple(
        (
            name,
            number(way["requests_per_message"]),
            number(way.get("requests_of_final", math.nan)),
            number(way["mean_delay"]),
            number(way.get("median_delay", math.nan)),
        )
        for name, way in ways.items()
    )
    made = followed["requests"]
    title = (
        f"Status requests for {followed['messages']:,} messages over a week; ours were {made['report']} of report and "
        f"{made['getMsg']} of getMsg (the design allows itself {BUDGET:g} a message)"
    )
    columns = ("way", "requests a message", "a message that ends", "mean delay, s", "median delay, s")
    return Table(title, columns, rows)


def _large(read: Sequence[Mapping[str, float]], rows: int) -> Table:
    cells = (
        number(median(each["before"] for each in read)),
        number(median(each["most"] for each in read)),
        number(max(each["most"] for each in read)),
        number(median(each["seconds"] for each in read)),
    )
    columns = ("process", "MiB before", "MiB at most", "the most of any round", "seconds")
    return Table(f"Resident memory while a report of {rows:,} rows is read", columns, (("one client", *cells),))


BENCHMARK = Benchmark("status", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
