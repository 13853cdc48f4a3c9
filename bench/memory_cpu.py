"""Memory of each worker process while 100,000 messages go through it, and the CPU that a message costs.

Once with a provider that answers at once, and once with one that takes a second, so that 2,000 calls are in flight.
Resident memory is sampled twice a second, of the process that sends and of its children, which do the ticks. A leak
shows as growth between the tenth part of the messages, when everything has been loaded and connected, and the last.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from bench import harness
from bench.harness import Benchmark, Chart, Place, Report, Table, children_bytes, cpu_seconds, median, rss_bytes
from smsclick.contract import State, messages

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from tests.processes import Process

_STALL_SECONDS = 60.0
_MIB = 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One look: how many messages had arrived, and the memory of each worker and of its children in MiB."""

    arrived: int
    mebibytes: tuple[float, ...]
    children: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What became of one worker's memory, in MiB: after the first tenth, at the end, at most, and by a straight line.

    Attributes:
        per_message: bytes a message that the least-squares line over the samples after the first tenth rises.
    """

    warm: float
    last: float
    most: float
    per_message: float


def memory(samples: Sequence[tuple[int, float]], count: int) -> Memory:
    """Judge one worker's samples.

    Args:
        samples: arrived messages and MiB.
        count: of all messages.
    """
    warm = [each for each in samples if each[0] >= count / 10] or list(samples)
    middle_x = sum(x for x, _ in warm) / len(warm)
    middle_y = sum(y for _, y in warm) / len(warm)
    spread = sum((x - middle_x) ** 2 for x, _ in warm)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in warm) / spread if spread else 0.0
    # The middle of a few samples: one look may fall into a short-lived allocation.
    few = max(1, len(warm) // 20)
    return Memory(
        median(y for _, y in warm[:few]),
        median(y for _, y in warm[-few:]),
        max(y for _, y in samples),
        slope * _MIB,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """All of it."""

    count: int
    seconds: float
    samples: tuple[Sample, ...]
    cpu: Mapping[str, float]
    most: int = 0

    def __str__(self) -> str:
        return f"{self.count} in {self.seconds:.0f} s, {self.most} at once"

    def series(self, worker: int) -> list[tuple[int, float]]:
        """One worker's samples."""
        return [(sample.arrived, sample.mebibytes[worker]) for sample in self.samples]

    def of_children(self, worker: int) -> float:
        """The most that one worker's children had together, in MiB."""
        return max(sample.children[worker] for sample in self.samples)


def run(place: Place, count: int, processes: int, concurrency: int | None, delay: float) -> Run:
    """Send so many and look on."""
    url, broker = place.database(), place.broker()
    env = place.environment(url, broker)
    provider = place.provider
    provider.reset(delay)
    with place.processes():
        backlog = place.run(sys.executable, "-m", "bench.producer", "backlog", str(count), env=env, name="backlog")
        if backlog.wait(600):
            raise AssertionError(backlog.tail())
        observed = {"PostgreSQL": [place.postgres.pid], "Redis": [place.redis.pid], "provider": [provider.process.pid]}
        before = _cpu(observed)
        began = time.monotonic()
        at_once = ("--concurrency", str(concurrency)) if concurrency else ()
        workers = [
            place.run(
                *("celery", "-A", "worker", "worker", "-l", "warning", *at_once, "-n", f"w{n}@bench"),
                env=env,
                name="worker",
            )
            for n in range(processes)
        ]
        beat = place.beat(env)
        observed |= {"workers": [each.pid for each in workers], "beat": [beat.pid]}
        samples = _look_on(place, workers, count)
        seconds = time.monotonic() - began
        cpu = {name: used - before.get(name, 0.0) for name, used in _cpu(observed).items()}
        _all_sent(url, count)
    cpu = {name: 1000 * used / count for name, used in cpu.items()}
    return Run(count, seconds, tuple(samples), cpu, provider.most())


def _cpu(observed: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, pids)) for name, pids in observed.items()}


def _look_on(place: Place, workers: Sequence[Process], count: int) -> list[Sample]:
    samples: list[Sample] = []
    since = time.monotonic()
    while not samples or samples[-1].arrived < count:
        arrived = place.provider.count()
        if not samples or arrived > samples[-1].arrived:
            since = time.monotonic()
        own = tuple(rss_bytes(worker.pid) / _MIB for worker in workers)
        samples.append(Sample(arrived, own, tuple(children_bytes(worker.pid) / _MIB for worker in workers)))
        if time.monotonic() - since > _STALL_SECONDS:
            raise AssertionError(f"only {arrived} of {count} messages arrived")
        time.sleep(0.5)
    return samples


def _all_sent(url: str, count: int) -> None:
    """Raises AssertionError unless every message is `sent` by its first attempt, soon."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    query = sa.select(sa.func.count()).where(
        messages.c.state.in_([State.SENT, State.DELIVERED]), messages.c.attempts == 1
    )
    deadline = time.monotonic() + _STALL_SECONDS
    while True:
        with engine.connect() as connection:
            sent = connection.scalar(query)
        if sent == count:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{sent} of {count} messages are sent by one attempt")
        time.sleep(0.5)


# --- The benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2, help="workers (default 2)")
    parser.add_argument("--concurrency", type=int, help="calls at once of each worker at the most (default: its own)")
    parser.add_argument("--delays", type=float, nargs="+", default=[0, 1000], help="of the provider, in ms")


def measure(place: Place, options: argparse.Namespace) -> Report:
    """One long run for each delay: `rounds` does not apply."""
    count = 1000 if options.quick else options.messages
    tables, charts, samples = [], [], {}
    cases = {
        f"the provider takes {delay:g} ms": functools.partial(
            run, place, count, options.processes, options.concurrency, delay / 1000
        )
        for delay in options.delays
    }
    for title, [done] in harness.interleaved(cases, 1).items():
        rows = []
        for worker in range(options.processes):
            found = memory(done.series(worker), count)
            cells = (found.warm, found.last, found.last - found.warm, found.most, done.of_children(worker))
            rows.append((f"worker {worker + 1}", *(f"{each:.1f}" for each in cells), f"{found.per_message:.1f}"))
        tables += [
            Table(
                f"Resident memory over {count:,} messages, MiB; {title}, {done.most:,} calls were in flight at most",
                ("process", "after 10 %", "at the end", "growth", "at most", "its children at most", "bytes a message"),
                tuple(rows),
            ),
            Table(
                f"CPU for each of {count:,} messages, starts included ({done.count / done.seconds:,.0f} messages/s)",
                ("process", "milliseconds"),
                tuple((name, f"{used:.3f}") for name, used in sorted(done.cpu.items(), key=lambda each: -each[1])),
            ),
        ]
        lines = {f"worker {n + 1}": [list(point) for point in done.series(n)] for n in range(options.processes)}
        charts.append(Chart(f"Memory; {title}", "lines", "messages sent", "MiB", lines))
        samples[title] = dataclasses.asdict(done)
    return Report("memory_cpu", tuple(tables), tuple(charts), samples)


BENCHMARK = Benchmark("memory_cpu", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
