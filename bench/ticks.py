"""What each tick costs the database at ten thousand, a million and ten million messages, side by side."""

from __future__ import annotations

import collections
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from bench.harness import Benchmark, Place, Report, Table, console, main, median, number
from smsclick._database.engine import Database
from smsclick.simulator import Simulator
from tests.factories import KEY
from tests.large_database import fill
from tests.ticks import TICKS, arguments, as_worker, make_due
from worker.app import app
from worker.sending import attempts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

BACKLOG = 1000
"""Messages that wait in each state; the same at every size, so that only the past grows."""

_ENDS_EARLY = {"smsclick.send", "smsclick.retention"}
"""What goes on for as long as there is work is measured for one batch: as by a worker that is asked to stop."""

_TOUCHED = (
    "due_at <= statement_timestamp()"
    " OR (erased_at IS NULL AND final_at < statement_timestamp() - interval '30 days')"
    " OR expires_at <= statement_timestamp()"
)
"""What ticks change."""


CLAIMED = 100
"""Messages of one claim of the pump."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which sizes."""
    parser.add_argument("--rows", default="10000,1000000", help="sizes, the one to compare with first")


def measure(place: Place, given: argparse.Namespace) -> Report:
    """Fills a database of each size, then runs every tick on each in turn, after one run that is not counted."""
    sizes = [10_000, 20_000] if given.quick else [int(size) for size in given.rows.split(",")]
    urls = {size: _filled(place, size) for size in sizes}
    logging.getLogger("worker").setLevel(logging.ERROR)  # of what the ticks find there
    samples: dict[str, dict[int, list[float]]] = {tick: collections.defaultdict(list) for tick in TICKS}
    with Simulator(api_key=KEY) as provider:
        for _ in range(given.rounds):
            for size, url in urls.items():
                for tick, seconds in _round(url, provider.base_url).items():
                    samples[tick][size].append(seconds * 1000)
    return Report("ticks", (_table(samples, sizes),), samples={tick: dict(by) for tick, by in samples.items()})


def _filled(place: Place, size: int) -> str:
    began = time.monotonic()
    url = place.database()
    database = Database(url, threads=1, silence_seconds=None)  # its rows take minutes
    fill(database, size, backlog=BACKLOG)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE touched AS SELECT * FROM smsclick_messages WHERE {_TOUCHED}")  # noqa: S608
        connection.exec_driver_sql("CREATE UNIQUE INDEX ON touched (id)")
    database.dispose()
    console.print(f"{size} messages ({time.monotonic() - began:.0f} s)", markup=False)
    return url


def _round(url: str, base_url: str) -> dict[str, float]:
    """Seconds that the database worked for each tick."""
    spent: dict[str, float] = {}
    with as_worker(url, base_url, SMSCLICK_RETENTION_DAYS="30") as held:
        for tick in TICKS:
            for _ in range(2):
                _again(held.database)
                called = arguments(held.database, tick)
                (held.stopping.set if tick in _ENDS_EARLY else held.stopping.clear)()
                with _clocked(held.database.engine) as clocked:
                    if tick == "smsclick.send":
                        attempts.claim(held, None, CLAIMED)  # the task itself only wakes the pump
                    else:
                        app.tasks[tick].run(**called)
                spent[tick] = sum(clocked)
    return spent


def _again(database: Database) -> None:
    """What ticks have changed is as it was."""
    make_due(database)
    columns = [
        column["name"] for column in sa.inspect(database.engine).get_columns("touched") if column["name"] != "id"
    ]
    values = ", ".join(f"{name} = touched.{name}" for name in columns)
    with database.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE smsclick_messages SET {values} FROM touched WHERE touched.id = smsclick_messages.id"  # noqa: S608
            " AND smsclick_messages IS DISTINCT FROM touched"
        )


@contextlib.contextmanager
def _clocked(engine: sa.Engine) -> Iterator[list[float]]:
    """Collect how long each statement takes, commits left out: they cost the same at every size."""
    clocked: list[float] = []

    def before(*given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        given[4].began = time.perf_counter()

    def after(*given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        clocked.append(time.perf_counter() - given[4].began)

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        yield clocked
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)


def _table(samples: dict[str, dict[int, list[float]]], sizes: list[int]) -> Table:
    first, *others = sizes
    rows = []
    for tick, by_size in sorted(samples.items()):
        cells = [number(median(by_size[size])) for size in sizes]
        cells += [f"{median(by_size[size]) / median(by_size[first]):.2f}" for size in others]
        rows.append((tick.removeprefix("smsclick."), *cells))
    columns = (
        "tick",
        *(f"ms at {size:,}" for size in sizes),
        *(f"{size:,} / {first:,}" for size in others),
    )
    return Table("What a tick costs the database, by the number of messages (medians)", columns, tuple(rows))


BENCHMARK = Benchmark("ticks", measure, options)

if __name__ == "__main__":
    main(BENCHMARK)
