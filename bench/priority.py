"""How long a message of high priority waits behind 100,000 low ones, and whether those still move.

`python -m bench.priority`: real workers and a beat on a private PostgreSQL and Redis; the provider takes `--latency` to
answer. Three cases: behind the bulk; the same under SMSCLICK_MAX_PER_SECOND; and what low ones get while more high ones
wait than can be sent. A wait is from just before a high message's COMMIT until its request has arrived; the low ones a
second are those that arrived between the first of these commits and the last.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench import harness
from bench.harness import Benchmark, Chart, Place, Report, Table, interleaved, median, number
from bench.provider import text
from smsclick.contract import Priority, messages
from tests.processes import wait_until

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

LIMIT = 50
_FLOOD, _HIGH = 1_000_000, 2_000_000
"""The first number of each kind; low ones begin at 0."""

_PATIENCE, _FLOODED_PATIENCE = 30.0, 5.0
"""Seconds after the last commit in which a high message may still arrive; behind a flood it need not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One case.

    Attributes:
        milliseconds: from commit to arrival, of each high message that arrived, sorted.
        unsent: high messages that had not arrived in the end.
        low: low messages that arrived a second, meanwhile.
        every: all that arrived a second, meanwhile.
    """

    milliseconds: tuple[float, ...]
    unsent: int
    low: float
    every: float

    def __str__(self) -> str:
        middle, most = number(self.at(0.5)), number(self.at(1))
        return f"high p50 {middle}, longest {most} ms, {self.unsent} unsent; low {number(self.low)}/s"

    def at(self, share: float) -> float:
        """A percentile of all; nan where that one did not arrive."""
        count = len(self.milliseconds) + self.unsent
        index = min(count - 1, int(share * count))
        return self.milliseconds[index] if index < len(self.milliseconds) else float("nan")


def run(place: Place, size: argparse.Namespace, *, flood: int = 0, **settings: str) -> Run:
    """One case on a database and with processes of its own."""
    url = place.database()
    env = place.environment(url, place.broker(), **settings)
    provider = place.provider
    provider.reset(size.latency)
    put(url, 0, size.bulk, Priority.LOW)
    put(url, _FLOOD, flood, Priority.HIGH)
    file = place.directory / "high"
    file.unlink(missing_ok=True)
    with place.processes():
        for _ in range(size.workers):
            place.worker(env)
        place.beat(env)
        wait_until(lambda: provider.count() >= LIMIT, 60, what="the first messages", every=0.1)
        time.sleep(size.warm)
        command = (sys.executable, "-m", "bench.producer", "steady", f"{size.rate:g}", f"{size.seconds:g}")
        producer = place.run(*command, str(_HIGH), str(file), "HIGH", env=env, name="producer")
        if producer.wait(size.seconds + 120):
            raise RuntimeError(producer.tail())
        lines = [line.split() for line in file.read_text().splitlines()]
        committed = {int(nth): float(before) for nth, before, _, kind in lines if kind == "timed"}
        return _judge(place, committed, size.bulk, flood)


def _judge(place: Place, committed: Mapping[int, float], bulk: int, flood: int) -> Run:
    """Wait for the high ones and look at what arrived.

    Raises:
        RuntimeError: a high message did not arrive, or there was less to send than the case needs.
    """
    deadline = time.monotonic() + (_FLOODED_PATIENCE if flood else _PATIENCE)
    while True:
        arrivals = place.provider.arrivals()
        waits = [(each.at - committed[each.number]) * 1000 for each in arrivals if each.number in committed]
        if len(waits) >= len(committed) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    unsent = len(committed) - len(waits)
    if unsent and not flood:
        raise RuntimeError(f"{unsent} of {len(committed)} high messages were not sent within {_PATIENCE:g} s")
    began, ended = min(committed.values()), max(committed.values())
    before = [each.number for each in arrivals if each.at < ended]
    for name, first, count in (("low", 0, bulk), ("flood", _FLOOD, flood)):
        if count and sum(first <= nth < first + count for nth in before) >= count:
            raise RuntimeError(f"all {count} {name} messages were sent before the end: it takes a larger --bulk")
    window = [each.number for each in arrivals if began <= each.at < ended]
    low = sum(0 <= nth < bulk for nth in window)
    seconds = ended - began
    return Run(tuple(sorted(waits)), unsent, low / seconds, len(window) / seconds)


def put(url: str, first: int, count: int, priority: Priority) -> None:
    """Messages that wait, stored set-wise and without a wake-up."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO {messages.name} (key, phone, text, priority) SELECT 'order-' || n, "  # noqa: S608
                "'55514' || lpad((n % 100000)::text, 5, '0'), :words || n, :priority "
                "FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) n"
            ),
            {
                "words": text(0).removesuffix("0"),
                "priority": int(priority),
                "first": first,
                "last": first + count - 1,
            },
        )


# --- The benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--bulk", type=int, default=100_000, help="low messages that wait; as many high ones flood")
    parser.add_argument("--rate", type=float, default=10, help="high messages a second, one by one (default 10)")
    parser.add_argument("--seconds", type=float, default=20, help="for how long they come (default 20)")
    parser.add_argument("--warm", type=float, default=5, help="seconds of low ones alone before them (default 5)")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that the provider takes to answer")


def measure(place: Place, options: argparse.Namespace) -> Report:
    """All cases, in turn."""
    if options.quick:
        options.bulk, options.rate, options.seconds, options.warm = 30_000, 5, 3, 1
    case = functools.partial(run, place, options)
    limited, flooded = f"at most {LIMIT} a second", "behind a flood of high ones"
    found = interleaved(
        {
            "behind the bulk": case,
            limited: functools.partial(case, SMSCLICK_MAX_PER_SECOND=str(LIMIT)),
            flooded: functools.partial(case, flood=options.bulk),
        },
        options.rounds,
    )
    title = (
        f"High messages, {options.rate:g} a second, while {options.bulk:,} low ones wait; the provider answers after "
        f"{options.latency * 1000:g} ms (medians of {options.rounds} rounds in turn)"
    )
    columns = ("case", "median, ms", "p95, ms", "p99, ms", "longest, ms", "not sent", "low/s meanwhile", "all/s")
    rows = tuple((name, *_cells(runs)) for name, runs in found.items())
    curves = {
        name: [(share, median(each.at(share / 100) for each in runs)) for share in range(1, 100)]
        for name, runs in found.items()
        if name != flooded
    }
    moving = {name: [each.low for each in runs] for name, runs in found.items()}
    samples: dict[str, Any] = {name: [dataclasses.asdict(each) for each in runs] for name, runs in found.items()}
    return Report(
        name="priority",
        tables=(Table(title, columns, rows),),
        charts=(
            Chart("How long a high message waits", "lines", "% of messages", "ms, at most", curves),
            Chart("Low ones meanwhile", "bars", "messages a second", "", moving),
        ),
        samples=samples,
    )


def _cells(runs: Sequence[Run]) -> tuple[str, ...]:
    return (
        number(median(each.at(0.5) for each in runs)),
        number(median(each.at(0.95) for each in runs)),
        number(median(each.at(0.99) for each in runs)),
        number(max(each.at(1) for each in runs)),
        str(sum(each.unsent for each in runs)),
        number(median(each.low for each in runs)),
        number(median(each.every for each in runs)),
    )


BENCHMARK = Benchmark("priority", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
