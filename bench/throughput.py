"""How many messages a second: ours beside the usual worker, the same tuned, two job queues, and the limit.

All send the same requests to the same provider, one after the other in turns. Messages wait before a run begins; what
counts is their arrival at the provider, and each must arrive once and have its result on record.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from bench import harness
from bench.harness import Benchmark, Chart, Place, Report, Table, cpu_seconds, median, number, ratio
from bench.peers import table as peers
from smsclick.contract import State, messages
from tests.processes import ROOT, wait_until

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from bench.provider import Arrival
    from tests.processes import Process

_STALL_SECONDS = 60.0

NAMES = {
    "ours": "smsclick",
    "usual": "one task per message, ORM, requests.post; prefork",
    "tuned": "the same tuned; gevent",
    "procrastinate": "procrastinate, aiohttp",
    "pgqueuer": "pgqueuer, aiohttp",
    "bare": "bare requests, no queue, no database",
    "bare_aiohttp": "bare aiohttp, no queue, no database",
    "same_aiohttp": "bare aiohttp with as many calls as ours had",
}

_EXPECTED = {
    0.0: {
        "ours": 3000,
        "usual": 300,
        "tuned": 500,
        "procrastinate": 450,
        "pgqueuer": 1500,
        "bare": 3000,
        "bare_aiohttp": 9000,
        "same_aiohttp": 6000,
    },
    0.2: {
        "ours": 1800,
        "usual": 9,
        "tuned": 500,
        "procrastinate": 500,
        "pgqueuer": 1200,
        "bare": 1200,
        "bare_aiohttp": 2400,
        "same_aiohttp": 2400,
    },
    1.0: {
        "ours": 1600,
        "usual": 2,
        "tuned": 190,
        "procrastinate": 400,
        "pgqueuer": 900,
        "bare": 400,
        "bare_aiohttp": 1800,
        "same_aiohttp": 1800,
    },
}
"""Messages a second by the provider's delay, only to choose how many make a run of the wished length."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One measured run.

    Attributes:
        rate: messages a second from the first arrival to the last.
        steady: the same in the middle 60 % of the arrivals.
        cpu: milliseconds of CPU of the sending processes for each message, after the first fifth of them.
        provider_cpu: of the provider.
        servers_cpu: of PostgreSQL and Redis.
        most: connections that sent at once, at the most: so many calls were in flight.
    """

    count: int
    rate: float
    steady: float
    cpu: float
    servers_cpu: float
    provider_cpu: float
    most: int = 0

    def __str__(self) -> str:
        return f"{number(self.steady)}/s ({number(self.rate)}/s over all, {self.cpu:.2f} ms CPU each)"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do.

    Attributes:
        delay: seconds that the provider takes to answer.
        processes: of each variant.
        threads: how many calls at once in each process; 0 for ours: its default, under which it finds its own number.
        tls: whether the provider is called over TLS.
    """

    delay: float
    count: int
    processes: int
    threads: int
    tls: bool = False

    def provider(self, place: Place) -> dict[str, str]:
        """The environment that leads ours and the others to the provider."""
        if not self.tls:
            return {"BENCH_PROVIDER_URL": place.provider.base_url}
        url, bundle = place.provider.tls_base_url, str(place.provider.ca_bundle)
        ours = {"SMSCLICK_BASE_URL": url, "SMSCLICK_CA_BUNDLE": bundle}
        return ours | {"BENCH_PROVIDER_URL": url, "REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle}


def measured(
    place: Place, plan: Plan, start: Callable[[], Sequence[Process]], recorded: Callable[[], int] | None
) -> Run:
    """Starts the senders, waits until all has arrived and is on record, and ends them.

    Args:
        place: where.
        plan: what.
        start: the senders' processes; they begin by themselves.
        recorded: how many results are on record by now; None where there is no record.

    Raises:
        AssertionError: something arrived twice, or not at all, or is not on record.
    """
    provider = place.provider
    provider.reset(plan.delay)
    servers = [server.pid for server in place.servers]
    with place.processes():
        started = start()
        senders = [sender.pid for sender in started]
        # The CPU of their start is not counted, nor are the messages of that time.
        already = _until_arrived(place, plan.count // 5, started)
        before = [sum(map(cpu_seconds, pids)) for pids in (senders, servers, [provider.process.pid])]
        _until_arrived(place, plan.count, started)
        if recorded is not None:
            wait_until(lambda: recorded() == plan.count, _STALL_SECONDS, what="every result", every=0.2)
        after = [sum(map(cpu_seconds, pids)) for pids in (senders, servers, [provider.process.pid])]
    times = each_once(provider.arrivals(), plan.count)
    cpu, servers_cpu, provider_cpu = (
        1000 * (late - early) / max(1, plan.count - already) for early, late in zip(before, after, strict=True)
    )
    rate = (plan.count - 1) / (max(times) - min(times))
    return Run(plan.count, rate, harness.steady_rate(times), cpu, servers_cpu, provider_cpu, provider.most())


def each_once(arrivals: Sequence[Arrival], count: int) -> list[float]:
    """The times of the arrivals.

    Raises:
        AssertionError: not each of the messages 0 to `count` - 1 arrived once.
    """
    distinct = {arrival.number for arrival in arrivals}
    if (len(arrivals), distinct) != (count, set(range(count))):
        raise AssertionError(f"{len(arrivals)} requests for {len(distinct)} of {count} messages")
    return [arrival.at for arrival in arrivals]


def _until_arrived(place: Place, count: int, senders: Sequence[Process]) -> int:
    seen, since = 0, time.monotonic()
    while (now := place.provider.count()) < count:
        if now > seen:
            seen, since = now, time.monotonic()
        ended = not any(sender.running for sender in senders)
        if ended or time.monotonic() - since > _STALL_SECONDS:
            if place.provider.count() >= count:
                break
            raise AssertionError(f"only {now} of {count} messages arrived")
        time.sleep(0.2)
    return place.provider.count()


# --- The variants


def ours(place: Place, plan: Plan) -> Run:
    """Workers and a beat of this project, PostgreSQL and Redis."""
    url, broker = place.database(), place.broker()
    env = place.environment(url, broker) | plan.provider(place)
    with place.processes():
        backlog = place.run(sys.executable, "-m", "bench.producer", "backlog", str(plan.count), env=env, name="backlog")
        if backlog.wait(300):
            raise AssertionError(backlog.tail())
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    query = sa.select(sa.func.count()).where(
        messages.c.state.in_([State.SENT, State.DELIVERED]),
        messages.c.id_mensaje.is_not(None),
        messages.c.attempts == 1,
    )

    def start() -> list[Process]:
        options = ("--concurrency", str(plan.threads)) if plan.threads else ()
        command = ("celery", "-A", "worker", "worker", "-l", "warning", *options)
        workers = [place.run(*command, "-n", f"w{n}@bench", env=env, name="worker") for n in range(plan.processes)]
        return [*workers, place.beat(env)]

    def recorded() -> int:
        with engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    return measured(place, plan, start, recorded)


def peer(place: Place, plan: Plan, module: str, command: Sequence[str], processes: int) -> Run:
    """One of `bench.peers` with the small table, after its module has made the jobs."""
    url, broker = place.database(tables=False), place.broker()
    env = {"BENCH_DATABASE_URL": url, "BENCH_BROKER_URL": broker, **plan.provider(place)}
    env["PYTHONPATH"] = str(ROOT)  # procrastinate's command does not look where it is started
    peers.create(url, plan.count)
    with place.processes():
        filler = place.run(sys.executable, "-m", module, str(plan.count), env=env, name="filler")
        if filler.wait(300):
            raise AssertionError(filler.tail())

    def start() -> list[Process]:
        return [place.run(*(part.format(n=n) for part in command), env=env, name="peer") for n in range(processes)]

    return measured(place, plan, start, lambda: peers.sent(url))


def usual(place: Place, plan: Plan) -> Run:
    """One prefork worker with a child for each process of the others, Celery's default on so many cores."""
    module = "bench.peers.usual"
    command = ("celery", "-A", module, "worker", "-l", "warning", "-P", "prefork", "-c", str(plan.processes))
    return peer(place, plan, module, command, 1)


def tuned(place: Place, plan: Plan) -> Run:
    """Gevent workers."""
    module = "bench.peers.tuned"
    options = ("-P", "gevent", "-c", str(plan.threads), "-n", "w{n}@bench")
    return peer(place, plan, module, ("celery", "-A", module, "worker", "-l", "warning", *options), plan.processes)


def procrastinate(place: Place, plan: Plan) -> Run:
    """Procrastinate's workers."""
    module = "bench.peers.procrastinate_"
    command = ("procrastinate", f"--app={module}.app", "worker", "-c", str(plan.threads))
    return peer(place, plan, module, command, plan.processes)


def pgqueuer(place: Place, plan: Plan) -> Run:
    """Pgqueuer's workers."""
    module = "bench.peers.pgqueuer_"
    command = (sys.executable, "-m", module, "work", str(plan.threads))
    return peer(place, plan, module, command, plan.processes)


def bare(place: Place, plan: Plan, module: str = "bench.peers.bare") -> Run:
    """Processes that only send."""
    env = plan.provider(place)
    share = -(-plan.count // plan.processes)

    def start() -> list[Process]:
        parts = [(first, min(share, plan.count - first)) for first in range(0, plan.count, share)]
        return [
            place.run(sys.executable, "-m", module, str(first), str(size), str(plan.threads), env=env)
            for first, size in parts
        ]

    return measured(place, plan, start, None)


VARIANTS: Mapping[str, Callable[[Place, Plan], Run]] = {
    "ours": ours,
    "usual": usual,
    "tuned": tuned,
    "procrastinate": procrastinate,
    "pgqueuer": pgqueuer,
    "bare": bare,
    "bare_aiohttp": functools.partial(bare, module="bench.peers.bare_aiohttp"),
    "same_aiohttp": functools.partial(bare, module="bench.peers.bare_aiohttp"),
}

THREADS = {
    0.0: {"usual": 1, "tuned": 100, "procrastinate": 50, "pgqueuer": 50, "bare": 8, "bare_aiohttp": 50},
    0.2: {"usual": 1, "tuned": 100, "procrastinate": 200, "pgqueuer": 100, "bare": 128, "bare_aiohttp": 256},
    1.0: {"usual": 1, "tuned": 200, "procrastinate": 500, "pgqueuer": 500, "bare": 256, "bare_aiohttp": 1000},
}
"""Calls at once in each process unless `--tune` or `--concurrency` says otherwise; ours: 0, its default."""

_CANDIDATES = {0.0: (8, 25, 50, 100, 200), 0.2: (64, 128, 256, 512), 1.0: (250, 500, 1000, 2000)}
"""What `--tune` tries: pgqueuer's batch, the concurrency of procrastinate and Celery, threads or coroutines alone."""

CASES = {
    "0": tuple(VARIANTS),
    "200": tuple(VARIANTS),
    "1000": ("ours", "usual", "procrastinate", "pgqueuer", "bare_aiohttp", "same_aiohttp"),
    "0 tls": ("ours", "usual", "pgqueuer", "bare_aiohttp", "same_aiohttp"),
}
"""The variants of each case: those that a fast provider has left far behind need not be measured at a slow one."""


def _class(delay: float) -> float:
    """The delay whose numbers are to be used."""
    return max(each for each in THREADS if each <= max(delay, 0.0))


# --- The benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=2, help="of each variant (default 2)")
    parser.add_argument("--concurrency", type=int, help="calls at once in each process, for all variants alike")
    parser.add_argument("--tune", action="store_true", help="first try how many calls at once serve each variant best")
    parser.add_argument("--seconds", type=float, default=15, help="about how long a run sends (default 15)")
    parser.add_argument("--delays", type=float, nargs="*", default=[0, 200, 1000], help="of the provider, in ms")
    parser.add_argument("--tls", type=float, nargs="*", default=[0], help="delays at which it is called over TLS too")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="only these variants")


def _plan(options: argparse.Namespace, delay: float, name: str, *, tls: bool) -> Plan:
    expected = _EXPECTED[_class(delay)][name]
    # A slow provider takes longer to show what is possible: the last calls alone last as long as it does.
    seconds = 2.0 if options.quick else options.seconds + 2 * delay
    threads = options.concurrency or THREADS[_class(delay)].get(name, 0)
    return Plan(delay, max(24, int(seconds * expected)), options.processes, threads, tls)


def _best(place: Place, name: str, plan: Plan) -> Plan:
    """The plan with as many calls at once as serve the variant best in a short trial of each."""
    if name in {"usual", "ours", "same_aiohttp"}:
        return plan  # as many children as the others have processes make the usual one; ours finds its own
    trial = dataclasses.replace(plan, count=max(100, plan.count // 3))
    rates = {}
    for threads in _CANDIDATES[_class(plan.delay)]:
        rates[threads] = VARIANTS[name](place, dataclasses.replace(trial, threads=threads)).steady
        harness.console.print(f"trial of {name} with {threads}: {number(rates[threads])}/s", markup=False)
    return dataclasses.replace(plan, threads=max(rates, key=lambda threads: rates[threads]))


class Case:
    """One provider, called by all variants in turn.

    Args:
        place: where.
        plans: by variant.
    """

    def __init__(self, place: Place, plans: Mapping[str, Plan]) -> None:
        self._place = place
        self.plans = dict(plans)

    def run(self, name: str) -> Run:
        """One run of one variant; `same_aiohttp` has as many calls at once as ours had at the most, in all rounds."""
        plan = self.plans[name]
        if not plan.threads and name != "ours":
            raise RuntimeError("ours has to run before it")
        done = VARIANTS[name](self._place, plan)
        if name == "ours" and (same := self.plans.get("same_aiohttp")) is not None:
            most = max(same.threads, -(-done.most // same.processes), 1)
            self.plans["same_aiohttp"] = dataclasses.replace(same, threads=most)
        return done


def measure(place: Place, options: argparse.Namespace) -> Report:
    """All variants at all delays."""
    tables, charts, samples = [], [], {}
    cases = [(each, False) for each in options.delays] + [(each, True) for each in options.tls]
    if cases and not place.provider.tls_base_url:
        cases = [case for case in cases if not case[1]]
    for milliseconds, tls in cases:
        names = options.only or CASES.get(f"{milliseconds:g}{' tls' if tls else ''}", tuple(VARIANTS))
        plans = {name: _plan(options, milliseconds / 1000, name, tls=tls) for name in names}
        if options.tune:
            plans = {name: _best(place, name, plan) for name, plan in plans.items()}
        case = Case(place, plans)
        runs = harness.interleaved({name: functools.partial(case.run, name) for name in plans}, options.rounds)
        title = f"Provider at {milliseconds:g} ms{' over TLS' if tls else ''}"
        tables.append(_table(title, case.plans, runs))
        steady = {
            NAMES[name].partition(",")[0].partition(";")[0]: [run.steady for run in of] for name, of in runs.items()
        }
        charts.append(Chart(title, "bars", "messages/s", "", steady))
        samples[title] = {name: [dataclasses.asdict(run) for run in of] for name, of in runs.items()}
    return Report("throughput", tuple(tables), tuple(charts), samples)


def _table(title: str, plans: Mapping[str, Plan], runs: Mapping[str, Sequence[Run]]) -> Table:
    """Medians, and the quotients to the usual worker and to the limit."""
    steady = {name: [run.steady for run in of] for name, of in runs.items()}
    columns = (
        "what",
        "allowed",
        "at once",
        "messages/s",
        "over all",
        "to usual",
        "to limit",
        "CPU ms",
        "servers",
        "provider",
    )
    rows = tuple(
        (
            NAMES[name],
            f"{plans[name].processes} x {plans[name].threads or 'default'}",
            str(max(run.most for run in of)),
            number(median(steady[name])),
            number(median(run.rate for run in of)),
            number(ratio(steady[name], steady.get("usual", []))),
            number(ratio(steady[name], steady.get("bare", []))),
            f"{median(run.cpu for run in of):.2f}",
            f"{median(run.servers_cpu for run in of):.2f}",
            f"{median(run.provider_cpu for run in of):.2f}",
        )
        for name, of in runs.items()
    )
    rounds = max((len(of) for of in runs.values()), default=0)
    return Table(f"{title}; medians of {rounds} rounds in turn", columns, rows)


BENCHMARK = Benchmark("throughput", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
