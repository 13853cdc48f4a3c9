"""How long a message takes from the producer's commit to its arrival at the provider.

A producer of its own keeps to a schedule whatever comes of it (open loop), with one transaction for each message: at
50 a second; at 50 a second while 20,000 earlier messages are followed, all of which become final meanwhile; and at 80 %
of what producer and workers together reach at most. Both ends read the same clock. The time begins just before the
COMMIT is sent, so it holds the commit too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import sys
from typing import TYPE_CHECKING

import sqlalchemy as sa

from bench import harness
from bench.harness import Benchmark, Chart, Place, Report, Table, median, number, percentile
from bench.provider import FIRST_FOLLOWED, phone, text
from smsclick._database.engine import Database
from smsclick.contract import State, messages
from tests.processes import wait_until

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence


STACKS = {
    "redis": "PostgreSQL, Redis",
    "rabbitmq": "PostgreSQL, RabbitMQ",
    "embedded": "smsclick up: SQLite, one process",
}
_PATIENCE = 120.0
_LATE_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One load on one installation.

    Attributes:
        rate: messages a second that the producer was to commit.
        milliseconds: from commit to arrival, of each message, sorted.
        late: the share of transactions that the producer began more than 50 ms after their time.
    """

    rate: float
    milliseconds: tuple[float, ...]
    late: float

    def __str__(self) -> str:
        shares = ", ".join(f"p{share:g} {number(self.at(share / 100))}" for share in (50, 99))
        return f"{number(self.rate)}/s: {shares} ms of {len(self.milliseconds)}"

    def at(self, share: float) -> float:
        """A percentile."""
        return percentile(self.milliseconds, share)

    def summary(self) -> dict[str, object]:
        """What is kept of it."""
        shares = (1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)
        kept = {f"p{share:g}": self.at(share / 100) for share in shares}
        return {"rate": self.rate, "messages": len(self.milliseconds), "late": self.late, "milliseconds": kept}


@dataclasses.dataclass(frozen=True, slots=True)
class Produced:
    """What the producer wrote of one message: epoch seconds just before its COMMIT and just after."""

    number: int
    before: float
    after: float


@dataclasses.dataclass
class Installation:
    """A running one; messages are numbered on from load to load."""

    place: Place
    env: dict[str, str]
    first: int = 0

    def produce(self, seconds: float, *arguments: str) -> list[Produced]:
        """Runs the producer to its end, waits until all it made has arrived, and returns what was timed."""
        file = self.place.directory / f"produced-{self.first}"
        command = (sys.executable, "-m", "bench.producer", *arguments, str(self.first), str(file))
        before = self.place.provider.count()
        process = self.place.run(*command, env=self.env, name="producer")
        if process.wait(seconds + 120):
            raise AssertionError(process.tail())
        lines = [line.split() for line in file.read_text().splitlines()]
        self.first = max((int(line[0]) for line in lines), default=self.first) + 1
        expected = before + len(lines)
        wait_until(lambda: self.place.provider.count() >= expected, _PATIENCE, what="every message", every=0.2)
        return [
            Produced(int(number), float(begun), float(ended)) for number, begun, ended, kind in lines if kind == "timed"
        ]

    def most(self, seconds: float) -> float:
        """Messages a second that arrive while the producer commits as fast as it can."""
        produced = self.produce(seconds, "flood", f"{seconds:g}")
        begun, ended = min(each.before for each in produced), max(each.after for each in produced)
        middle = begun + (ended - begun) * 0.2
        arrived = sum(middle <= arrival.at <= ended for arrival in self.place.provider.arrivals())
        return arrived / (ended - middle)

    def steady(self, rate: float, seconds: float) -> Run:
        """One load of so many a second."""
        produced = self.produce(seconds, "steady", f"{rate:g}", f"{seconds:g}")
        arrived = {arrival.number: arrival.at for arrival in self.place.provider.arrivals()}
        began = min(each.before for each in produced)
        first = min(each.number for each in produced)
        late = sum(each.before - began > (each.number - first) / rate + _LATE_SECONDS for each in produced)
        milliseconds = sorted((arrived[each.number] - each.before) * 1000 for each in produced)
        return Run(rate, tuple(milliseconds), late / len(produced))

    def followed(self, rate: float, seconds: float, count: int) -> Run:
        """The same while so many earlier messages are followed, which become final meanwhile."""
        self.place.provider.follow(count, seconds)
        database = Database(self.env["DATABASE_URL"], threads=1)
        now = dt.datetime.now(dt.UTC)
        common = {"state": State.SENT, "attempts": 1, "attempted_at": now, "sent_at": now}
        due = now + dt.timedelta(seconds=15)
        for start in range(FIRST_FOLLOWED, FIRST_FOLLOWED + count, 1000):
            numbers = range(start, min(start + 1000, FIRST_FOLLOWED + count))
            with database.begin() as connection:
                connection.execute(
                    sa.insert(messages),
                    [
                        {
                            "key": f"sent-{n}",
                            "phone": phone(n),
                            "text": text(n),
                            "id_mensaje": n,
                            "due_at": due,
                            **common,
                        }
                        for n in numbers
                    ],
                )
        run = self.steady(rate, seconds)
        with database.read() as connection:
            followed = sa.select(sa.func.count()).where(messages.c.id_mensaje >= FIRST_FOLLOWED)
            final = connection.scalar(followed.where(messages.c.state == State.DELIVERED)) or 0
        database.dispose()
        if final < count / 2:
            raise AssertionError(f"only {final} of {count} messages became final meanwhile")
        return run


@contextlib.contextmanager
def installation(place: Place, kind: str, options: argparse.Namespace) -> Iterator[Installation]:
    """Workers, beat and all, of one kind."""
    if kind == "embedded":
        env = place.environment(place.sqlite())
    else:
        env = place.environment(place.database(), place.broker(kind))
    place.provider.reset(0)
    with place.processes():
        if kind == "embedded":
            up = place.run("smsclick", "up", env=env, name="up")
            up.wait_for_line("smsclick is up", 60)
        else:
            for _ in range(options.processes):
                place.worker(env, *(("--concurrency", str(options.concurrency)) if options.concurrency else ()))
            place.beat(env)
        made = Installation(place, env)
        made.steady(20, 2)  # connections, imports, and the first plans
        yield made


def run(place: Place, kind: str, options: argparse.Namespace) -> list[Run]:
    """All loads on one kind of installation."""
    seconds = 3.0 if options.quick else options.seconds
    with installation(place, kind, options) as made:
        quiet = made.steady(options.rate, seconds)
        beside = made.followed(options.rate, seconds, options.followed)
        if options.share == 0:
            return [quiet, beside]
        most = made.most(seconds / 2)
        return [quiet, beside, made.steady(max(1.0, options.share * most), seconds)]


# --- The benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=STACKS, default=list(STACKS), help="only these installations")
    parser.add_argument("--rate", type=float, default=50, help="messages a second of the first load (default 50)")
    parser.add_argument("--followed", type=int, default=20_000, help="messages of the second load that are followed")
    parser.add_argument("--share", type=float, default=0.8, help="of the most that is possible, for the third; 0: none")
    parser.add_argument("--seconds", type=float, default=20, help="of each load (default 20)")
    parser.add_argument("--processes", type=int, default=2, help="workers (default 2)")
    parser.add_argument("--concurrency", type=int, help="calls at once of each worker at the most (default: its own)")


def measure(place: Place, options: argparse.Namespace) -> Report:
    """All loads on all installations."""
    rounds = harness.interleaved(
        {kind: functools.partial(run, place, kind, options) for kind in options.only}, options.rounds
    )
    rows, curves = [], {}
    for kind, of in rounds.items():
        for load, runs in zip(
            (
                f"{options.rate:g}/s",
                f"{options.rate:g}/s, {options.followed:,} followed",
                f"{options.share:.0%} of the most",
            ),
            zip(*of, strict=True),
            strict=False,
        ):
            rows.append(_row(STACKS[kind], load, runs))
            middle = sorted(runs, key=lambda each: each.at(0.5))[len(runs) // 2]
            curves[f"{STACKS[kind]}, {load}"] = [[share, middle.at(share / 100)] for share in range(1, 100)]
    columns = ("installation", "load", "messages/s", "p50 ms", "p99 ms", "worst ms", "begun late")
    title = f"From the producer's commit to the arrival at the provider; medians of {options.rounds} rounds in turn"
    samples = {kind: [[each.summary() for each in runs] for runs in of] for kind, of in rounds.items()}
    chart = Chart("From commit to arrival", "lines", "% of messages", "ms, at most", curves)
    return Report("latency", (Table(title, columns, tuple(rows)),), (chart,), samples)


def _row(name: str, load: str, runs: Sequence[Run]) -> tuple[str, ...]:
    return (
        name,
        load,
        number(median(each.rate for each in runs)),
        number(median(each.at(0.5) for each in runs)),
        number(median(each.at(0.99) for each in runs)),
        number(max(each.at(1) for each in runs)),
        f"{median(each.late for each in runs):.1%}",
    )


BENCHMARK = Benchmark("latency", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
