"""How long a message of high priority waits behind 100,000 low ones, and whether those still move.

`python -m bench.priority`: real workers and a beat on a private PostgreSQL and Redis; the simulator is the provider and
takes `--latency` to answer. Three cases: behind the bulk; the same under SMSCLICK_MAX_PER_SECOND; and what low ones get
while more high ones wait than can be sent. Prints a table and writes bench/results/priority.json.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import alembic.command
import alembic.config
import sqlalchemy as sa
from redis import Redis
from rich.console import Console
from rich.table import Table

from smsclick import enqueue
from smsclick.contract import Priority, messages
from smsclick.database import Database
from smsclick.simulator import Fault, FaultKind, Simulator
from tests.processes import ROOT, Process, reaper
from tests.servers import PostgresServer, RedisServer

RESULTS: Final = Path(__file__).resolve().parent / "results" / "priority.json"
KEY: Final = "bench-key"
LIMIT: Final = 50


@dataclasses.dataclass(frozen=True)
class Case:
    """What was measured: seconds from a high message's commit to the provider, and what was accepted meanwhile."""

    name: str
    highs: int
    p50: float
    p95: float
    longest: float
    low_per_second: float
    all_per_second: float


def main() -> None:
    """Run the cases, print and write them."""
    parser = argparse.ArgumentParser(prog="python -m bench.priority", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--bulk", type=int, default=100_000, help="low messages that wait")
    parser.add_argument("--highs", type=int, default=60, help="high messages that come one by one")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between them")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that the provider takes to answer")
    given = parser.parse_args()
    with servers() as postgres:
        cases = [
            measure("behind the bulk", given, postgres, {}),
            measure(f"… at most {LIMIT}/s", given, postgres, {"SMSCLICK_MAX_PER_SECOND": str(LIMIT)}),
            measure("… and a flood of high ones", given, postgres, {}, flood=given.bulk // 5),
        ]
    table = Table("case", "high: p50", "p95", "longest", "low/s meanwhile", "all/s", title="Priority")
    for case in cases:
        table.add_row(
            case.name,
            *(f"{1000 * each:.0f} ms" for each in (case.p50, case.p95, case.longest)),
            f"{case.low_per_second:.1f}",
            f"{case.all_per_second:.0f}",
        )
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    record = {"options": vars(given), "cpus": os.cpu_count(), "cases": [dataclasses.asdict(case) for case in cases]}
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measure(
    name: str, given: argparse.Namespace, postgres: PostgresServer, settings: dict[str, str], *, flood: int = 0
) -> Case:
    """One case on a database and with processes of its own."""
    with installation(given, settings, postgres) as (database, provider):
        put(database, "low", given.bulk, Priority.LOW)
        put(database, "flood", flood, Priority.HIGH)
        deadline = time.monotonic() + 60
        while provider.stats().accepted < given.workers * given.concurrency and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        began = time.time()
        committed = {}
        for number in range(given.highs):
            with database.begin() as connection:
                enqueue(connection, phone=f"554{number:07d}", text=f"high {number}", priority=Priority.HIGH)
            committed[f"high {number}"] = time.time()
            time.sleep(given.every)
        ended = time.time()
        if not flood:
            while sum(entry.text in committed for entry in provider.ledger()) < len(committed):
                if time.time() > ended + 30:
                    raise SystemExit(f"{name}: not all high messages were sent within 30 s")
                time.sleep(0.1)
        ledger = provider.ledger()
    waits = [entry.accepted_at - committed[entry.text] for entry in ledger if entry.text in committed]
    window = [entry for entry in ledger if began <= entry.accepted_at < ended]
    lows = [entry for entry in window if entry.text.startswith("low ")]
    quantiles = statistics.quantiles(waits, n=20) if len(waits) > 1 else [float("nan")] * 19
    return Case(
        name=name,
        highs=len(waits),
        p50=quantiles[9],
        p95=quantiles[18],
        longest=max(waits, default=float("nan")),
        low_per_second=len(lows) / (ended - began),
        all_per_second=len(window) / (ended - began),
    )


def put(database: Database, word: str, count: int, priority: Priority) -> None:
    """Messages that wait, set-wise and without a doorbell."""
    with database.begin() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO {messages.name} (key, phone, text, priority) SELECT :word || n, "  # noqa: S608
                "'55' || lpad((n + :shift)::text, 8, '0'), :word || n, :priority FROM generate_series(1, :count) n"
            ),
            {"word": f"{word} ", "priority": int(priority), "count": count, "shift": 20_000_000},
        )


@contextlib.contextmanager
def servers() -> Iterator[PostgresServer]:
    """Private ones, gone in the end."""
    directory = reaper().directory / "priority"
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        postgres, redis = PostgresServer(directory / "postgres"), RedisServer(directory / "redis")
        for server in (postgres, redis):
            server.start()
            stack.callback(server.kill)
        os.environ["CELERY_BROKER_URL"] = redis.url()
        yield postgres


@contextlib.contextmanager
def installation(
    given: argparse.Namespace, settings: dict[str, str], postgres: PostgresServer
) -> Iterator[tuple[Database, Simulator]]:
    """A database, a provider, workers and a beat; all of it gone in the end."""
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(tempfile.TemporaryDirectory())
        provider = stack.enter_context(Simulator(api_key=KEY, balance=10**7, delivery_seconds=3600))
        provider.faults([Fault(FaultKind.LATENCY, seconds=given.latency)])
        env = {
            "DATABASE_URL": postgres.create_database(f"priority_{time.monotonic_ns()}"),
            "CELERY_BROKER_URL": os.environ["CELERY_BROKER_URL"],
            "SMSCLICK_BASE_URL": provider.base_url,
            "SMSCLICK_API_KEY": KEY,
            "SMSCLICK_POLL_SECONDS": "3600",
        }
        with Redis.from_url(env["CELERY_BROKER_URL"]) as broker:
            broker.flushall()
        config = alembic.config.Config(str(ROOT / "alembic.ini"))
        config.attributes["database_url"] = env["DATABASE_URL"]
        alembic.command.upgrade(config, "head")
        database = Database(env["DATABASE_URL"])
        stack.callback(database.dispose)
        workers = ["celery", "-A", "worker", "worker", "-l", "warning", "--concurrency", str(given.concurrency)]
        commands = [[*workers, "-n", f"w{n}@%h"] for n in range(given.workers)]
        for number, command in enumerate([*commands, ["celery", "-A", "worker", "beat", "-l", "warning"]]):
            process = Process(command, env | settings, log=Path(logs) / f"{number}.log")
            stack.callback(process.end)
        yield database, provider


if __name__ == "__main__":
    main()
