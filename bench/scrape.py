"""What a scrape of `smsclick metrics` takes at ten thousand, a million and ten million messages, side by side."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest

from bench.harness import Benchmark, Place, Report, Table, console, main, median, number
from smsclick._database.engine import Database
from smsclick.contract import tallies
from tests.large_database import fill
from worker.metrics import histograms, worker_gauges
from worker.operator.metrics.collector import Collector
from worker.sql import heartbeat

if TYPE_CHECKING:
    import argparse

BACKLOG = 1000
"""Messages that wait in each state; the same at every size, so that only the past grows."""

SCRAPES = 30
"""For each size in a round."""

WORKERS = 20
UNMERGED_ROWS = 3000
"""Rows of tallies between two merges at full speed."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which sizes."""
    parser.add_argument("--rows", default="10000,1000000,10000000", help="sizes, the one to compare with first")


def measure(place: Place, given: argparse.Namespace) -> Report:
    """Fills a database of each size, then scrapes each in turn; the first scrape of each is not counted."""
    sizes = [10_000, 20_000] if given.quick else [int(size) for size in given.rows.split(",")]
    databases = {size: _filled(place, size) for size in sizes}
    samples: dict[int, list[float]] = {size: [] for size in sizes}
    for database in databases.values():
        _scrape(database)
    for _ in range(given.rounds * SCRAPES):
        for size, database in databases.items():
            samples[size].append(_scrape(database) * 1000)
    for database in databases.values():
        database.dispose()
    rows = tuple(
        (f"{size:,}", number(median(found)), number(sorted(found)[int(len(found) * 0.95)]), number(max(found)))
        for size, found in samples.items()
    )
    columns = ("messages", "median ms", "95 % ms", "longest ms")
    table = Table("A scrape of all metrics, from the database to the text", columns, rows)
    return Report("scrape", (table,), samples={str(size): found for size, found in samples.items()})


def _scrape(database: Database) -> float:
    """Seconds; a collector of its own each time, because one shares a reading for a second."""
    registry = CollectorRegistry()
    registry.register(Collector(database))
    began = time.monotonic()
    text = generate_latest(registry)
    if b"smsclick_up 1.0" not in text:
        raise SystemExit("the database could not be read")
    return time.monotonic() - began


def _filled(place: Place, size: int) -> Database:
    began = time.monotonic()
    database = Database(place.database(), threads=2, silence_seconds=None)  # its rows take minutes
    fill(database, size, backlog=BACKLOG)
    labels = [str(limit) for limit in histograms.FAST_SECONDS]
    with database.begin() as connection:
        rows = [
            {"name": "call_seconds", "label": labels[n % len(labels)], "amount": n}
            if n % 2
            else {"name": "events", "label": "sending sent answered", "amount": n}
            for n in range(UNMERGED_ROWS)
        ]
        connection.execute(sa.insert(tallies), rows)
        for n in range(WORKERS):
            worker_gauges.write(connection, f"worker:host:{n}", {"calls_in_flight": 1})
    for n in range(WORKERS):
        heartbeat.beat(database, f"worker:host:{n}", n)
    console.print(f"{size} messages ({time.monotonic() - began:.0f} s)", markup=False)
    return database


BENCHMARK = Benchmark("scrape", measure, options)

if __name__ == "__main__":
    main(BENCHMARK)
