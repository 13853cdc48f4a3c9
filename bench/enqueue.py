"""How fast messages are stored: one by one, many at once, from a file; on PostgreSQL and SQLite."""

from __future__ import annotations

import functools
import json
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench import harness
from bench.enqueueing import content
from bench.harness import Benchmark, Chart, Place, Report, Table, interleaved, median, number
from smsclick.contract import messages

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_WAYS = {"one": "enqueue, a commit each", "many": "enqueue_many", "import": "smsclick import"}


def _file(place: Place, count: int) -> Path:
    file = place.directory / "messages.csv"
    with file.open("w", encoding="utf-8") as lines:
        lines.write("phone,text,key\n")
        lines.writelines(f"{each['phone']},{each['text']},{each['key']}\n" for each in content(count, "file"))
    return file


def _produce(place: Place, url: str, kind: str, count: int) -> dict[str, Any]:
    command = ("python", "-m", "bench.enqueueing", kind, str(count))
    process = place.run(*command, env=place.environment(url), name=kind)
    if process.wait(900):
        raise RuntimeError(process.tail())
    found: dict[str, Any] = json.loads(process.tail(1))
    return found


def _import(place: Place, url: str, file: Path) -> dict[str, Any]:
    began = time.perf_counter()
    process = place.run("smsclick", "import", str(file), env=place.environment(url), name="import")
    if process.wait(900):
        raise RuntimeError(process.tail())
    return {"seconds": time.perf_counter() - began}


def _run(place: Place, database: str, kind: str, count: int, file: Path) -> dict[str, float]:
    url = place.sqlite() if database == "SQLite" else place.database()
    with place.processes():
        found = _import(place, url, file) if kind == "import" else _produce(place, url, kind, count)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        stored = connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one()
    engine.dispose()
    if stored < count:
        raise RuntimeError(f"{count} were enqueued and {stored} are there")
    return {"rate": count / found["seconds"], "mebibytes": found.get("mebibytes", float("nan"))}


def measure(place: Place, options: argparse.Namespace) -> Report:
    """Each way on each database, in turn, each time on an empty one."""
    single, bulk = (500, 3000) if options.quick else (5000, options.count)
    file = _file(place, bulk)
    variants = {
        f"{database}: {name}": functools.partial(_run, place, database, kind, single if kind == "one" else bulk, file)
        for database in ("PostgreSQL", "SQLite")
        for kind, name in _WAYS.items()
    }
    found = interleaved(variants, options.rounds)
    rates = {name: [each["rate"] for each in results] for name, results in found.items()}
    rows = tuple(
        (name, number(median(values)), number(min(values)), number(median(each["mebibytes"] for each in found[name])))
        for name, values in rates.items()
    )
    return Report(
        name="enqueue",
        tables=(Table(f"Messages enqueued a second ({bulk:,} at once)", ("way", "median", "least", "MiB more"), rows),),
        charts=(Chart("Enqueueing", "bars", "messages a second", "", rates),),
        samples=found,
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=100_000, help="messages of enqueue_many and of the file")


BENCHMARK = Benchmark("enqueue", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
