"""What one message costs from enqueue to its final status: statements, row versions, WAL, CPU.

`python -m bench.cost`: one worker and a beat on PostgreSQL and Redis, and the simulator as the provider, so that status
checks are on and messages become final. Once at 50 a second, each committed alone, and once as a backlog. Statements
are counted by `pg_stat_statements`, with BEGIN and COMMIT; the producer's are not counted, nor is its CPU. WAL and row
versions hold everything from the INSERT on.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa

from bench import harness
from bench.harness import KEY, Benchmark, Place, Report, Table, median, number, percentile
from smsclick._database.engine import parse_url
from smsclick.simulator.client import SimulatorClient
from tests.processes import wait_until
from tests.servers import HOST, free_port

if TYPE_CHECKING:
    import argparse

_PATIENCE = 240.0
_WARM_UP = 1_000_000
"""The first number of the messages that are not counted; they make connections and import."""

_FLUSH_SECONDS = 11.0
"""An idle session of PostgreSQL keeps its counts for up to ten seconds."""

_FOLIO = re.compile(r"folio (\d+)")
_PRODUCER = "smsclick_producer"
"""The producer's role, whose statements are not counted."""

_COUNTS = """
SELECT
    (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
     WHERE r.rolname <> %(producer)s AND s.query NOT LIKE '%%pg_stat_statements%%'),
    (SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'smsclick_messages'),
    (SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'smsclick_messages'),
    (SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'smsclick_events'),
    (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'))
"""
_OPEN = "SELECT count(*) FROM smsclick_messages WHERE state NOT IN ('delivered', 'rejected', 'failed')"


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One load, for each message of it.

    Attributes:
        messages: how many.
        statements: of worker and beat.
        updates: of rows of messages.
        hot: the share of those that wrote no index.
        events: rows kept of it.
        wal: bytes.
        worker: CPU milliseconds of the worker.
        database: CPU milliseconds of PostgreSQL.
        milliseconds: from the producer's COMMIT to the provider, sorted; empty for a backlog.
    """

    messages: int
    statements: float
    updates: float
    hot: float
    events: float
    wal: float
    worker: float
    database: float
    milliseconds: tuple[float, ...] = ()

    def __str__(self) -> str:
        p50, p99 = (number(percentile(self.milliseconds, share)) for share in (0.5, 0.99))
        return (
            f"{number(self.statements)} statements, {self.updates:.2f} updates, {self.wal:.0f} B of WAL, "
            f"{number(self.worker)} + {number(self.database)} ms of CPU, p50 {p50} p99 {p99} ms"
        )


def _counts(url: str) -> tuple[float, ...]:
    plain = parse_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(_COUNTS, {"producer": _PRODUCER}).fetchone()
    return tuple(float(each) for each in row or ())


def _final(url: str, count: int) -> None:
    """Wait until all messages have their final status, and for the statistics."""
    engine = sa.create_engine(parse_url(url))

    def done() -> bool:
        with engine.connect() as connection:
            return not connection.exec_driver_sql(_OPEN).scalar()

    wait_until(done, _PATIENCE, what=f"the final status of {count} messages", every=1)
    engine.dispose()
    time.sleep(_FLUSH_SECONDS)


def _database(place: Place) -> tuple[str, str]:
    """A fresh database with counting switched on: the worker's URL, and the producer's."""
    server = place.postgres
    with psycopg.connect(host=HOST, port=server.port, user="postgres", autocommit=True) as connection:
        loaded = connection.execute("SHOW shared_preload_libraries").fetchone()
        if loaded != ("pg_stat_statements",):
            connection.execute("ALTER SYSTEM SET shared_preload_libraries = pg_stat_statements")
            server.restart()
    url = place.database()
    with psycopg.connect(
        host=HOST, port=server.port, user="postgres", dbname=parse_url(url).database, autocommit=True
    ) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (_PRODUCER,)).fetchone() is None:
            connection.execute(f"CREATE ROLE {_PRODUCER} SUPERUSER LOGIN")
    return url, url.replace("postgres@", f"{_PRODUCER}@")


def run(place: Place, options: argparse.Namespace, *, backlog: bool) -> Run:
    """One load on a fresh installation."""
    url, producers_url = _database(place)
    port = free_port()
    given = ("--key", KEY, "--balance", str(10**9), "--delivery-seconds", f"{options.delivery:g}")
    env = place.environment(url, place.broker())
    env.pop("SMSCLICK_TIMEZONE", None)  # the lean provider's; the simulator's dates are in the default zone
    env |= {"SMSCLICK_BASE_URL": f"http://{HOST}:{port}/sms-services"}
    with place.processes():
        simulator = place.run("smsclick", "simulate", "--port", str(port), *given, env=env, name="simulator")
        simulator.wait_for_line("SMSClick is simulated", 60)
        worker = place.worker(env)
        place.beat(env)
        producers = env | {"DATABASE_URL": producers_url}
        first = _produce(place, producers, "steady", "20", "2", str(_WARM_UP))
        _final(url, len(first))
        count = options.backlog if backlog else int(options.rate * options.seconds)
        before, cpu = _counts(url), _cpu(place, worker.pid)
        if backlog:
            command = (sys.executable, "-m", "bench.producer", "backlog", str(count))
            if place.run(*command, env=producers, name="producer").wait(300):
                raise AssertionError("the producer failed")
            written = dict[int, float]()
        else:
            written = _produce(place, producers, "steady", f"{options.rate:g}", f"{options.seconds:g}", "0")
            count = len(written)
        _final(url, count)
        after, cpu_after = _counts(url), _cpu(place, worker.pid)
        arrived = _arrivals(env["SMSCLICK_BASE_URL"])
    delta = [b - a for a, b in zip(before, after, strict=True)]
    statements, updates, hot, events, wal = (each / count for each in delta)
    used = [(b - a) * 1000 / count for a, b in zip(cpu, cpu_after, strict=True)]
    took = sorted((arrived[each] - at) * 1000 for each, at in written.items() if at)
    return Run(count, statements, updates, hot / updates if updates else 0, events, wal, used[0], used[1], tuple(took))


def _produce(place: Place, env: dict[str, str], *arguments: str) -> dict[int, float]:
    """Run the producer; returns when each message's COMMIT was sent, or 0 where that is not to be timed."""
    file = place.directory / f"cost-{time.monotonic_ns()}"
    process = place.run(sys.executable, "-m", "bench.producer", *arguments, str(file), env=env, name="producer")
    if process.wait(float(arguments[2]) + 120):
        raise AssertionError(process.tail())
    lines = (line.split() for line in file.read_text().splitlines())
    return {int(folio): float(begun) if kind == "timed" else 0.0 for folio, begun, _, kind in lines}


def _cpu(place: Place, worker: int) -> tuple[float, float]:
    return harness.cpu_seconds(worker), harness.cpu_seconds(place.postgres.pid)


def _arrivals(base_url: str) -> dict[int, float]:
    found = ((_FOLIO.search(entry.text), entry.accepted_at) for entry in SimulatorClient(base_url).ledger())
    return {int(match[1]): at for match, at in found if match}


# --- The benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=("steady", "backlog"), default=["steady", "backlog"])
    parser.add_argument("--rate", type=float, default=50, help="messages a second of the first load (default 50)")
    parser.add_argument("--seconds", type=float, default=20, help="of the first load (default 20)")
    parser.add_argument("--backlog", type=int, default=5000, help="messages of the second load (default 5000)")
    parser.add_argument("--delivery", type=float, default=5, help="median seconds until the final status (default 5)")


def measure(place: Place, options: argparse.Namespace) -> Report:
    """Both loads."""
    if options.quick:
        options.seconds, options.backlog, options.delivery = 3.0, 200, 1.0
    loads = {
        "steady": (f"{options.rate:g}/s", functools.partial(run, place, options, backlog=False)),
        "backlog": (f"a backlog of {options.backlog:,}", functools.partial(run, place, options, backlog=True)),
    }
    rounds = harness.interleaved({name: loads[name][1] for name in options.only}, options.rounds)
    columns = (
        "load",
        "statements",
        "updates",
        "without an index",
        "WAL bytes",
        "worker ms",
        "PostgreSQL ms",
        "p50 ms",
        "p99 ms",
    )
    rows = tuple(_row(loads[name][0], runs) for name, runs in rounds.items())
    title = f"What a message costs from enqueue to its final status; medians of {options.rounds} rounds"
    samples: dict[str, Any] = {name: [dataclasses.asdict(each) for each in runs] for name, runs in rounds.items()}
    return Report("cost", (Table(title, columns, rows),), (), samples)


def _row(name: str, runs: list[Run]) -> tuple[str, ...]:
    return (
        name,
        number(median(each.statements for each in runs)),
        f"{median(each.updates for each in runs):.2f}",
        f"{median(each.hot for each in runs):.0%}",
        number(median(each.wal for each in runs)),
        number(median(each.worker for each in runs)),
        number(median(each.database for each in runs)),
        number(median(percentile(each.milliseconds, 0.5) for each in runs)),
        number(median(percentile(each.milliseconds, 0.99) for each in runs)),
    )


BENCHMARK = Benchmark("cost", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
