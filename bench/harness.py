"""What every benchmark is made of: private servers, real processes, interleaved rounds, and a report.

A benchmark is a module of this package with a `BENCHMARK`; it then runs by `python -m bench NAME` and by
`python -m bench.NAME --its-options`, and ends by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import alembic.command
import alembic.config
import psutil
from rich.console import Console

from bench.provider import Provider
from bench.report import (
    RESULTS,
    Chart,
    Report,
    Table,
    fill,
    machine,
    median,
    number,
    percentile,
    plot,
    ratio,
    steady_rate,
    write_docs,
)
from tests.certificates import Authority
from tests.processes import ROOT, Process, reaper
from tests.servers import PostgresServer, RabbitServer, RedisServer, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

__all__ = [
    "Benchmark",
    "Chart",
    "Place",
    "Report",
    "Table",
    "fill",
    "machine",
    "median",
    "number",
    "percentile",
    "plot",
    "ratio",
    "steady_rate",
    "write_docs",
]
"""With what `bench.report` has, so that a benchmark imports one module."""

T = TypeVar("T")
S = TypeVar("S", bound=Server)

CHECKOUT = Path(os.environ.get("BENCH_CHECKOUT") or ROOT)
"""Whose workers, producer and tables are measured by the benchmarks of this checkout; `bench.before` sets it."""
KEY = "bench-key"
SETTINGS = {"SMSCLICK_API_KEY": KEY, "SMSCLICK_TIMEZONE": "UTC"}
"""The environment of our own processes, besides database, broker and provider. Status checks are on, as by default."""

console = Console(stderr=True)


# --- The place of a run


class Place:
    """Private servers and processes of one benchmark; all of it is gone afterwards.

    Args:
        durable: PostgreSQL and Redis wait for the disk, as in production.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        self.directory = reaper().directory / f"bench-{os.getpid()}-{time.monotonic_ns()}"
        self.servers: list[Server] = []
        self._processes: list[Process] = []
        self._count = 0
        self._provider: Provider | None = None
        self._migrated = ""

    def __enter__(self) -> Self:
        self.directory.mkdir()
        self.directory.chmod(0o711)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            if error is not None and process.tail(5):
                console.print(f"[{process.name}] {process.tail(15)}", markup=False)
            process.end()
        if self._provider is not None:
            self._provider.process.end()
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- Servers

    @property
    def postgres(self) -> PostgresServer:
        """PostgreSQL, started when first asked for."""
        return self._server(PostgresServer)

    @property
    def redis(self) -> RedisServer:
        """Redis, started when first asked for."""
        return self._server(RedisServer)

    @property
    def rabbitmq(self) -> RabbitServer:
        """RabbitMQ, started when first asked for."""
        return self._server(RabbitServer)

    @property
    def provider(self) -> Provider:
        """The lean provider, started when first asked for; it runs longer than `processes`."""
        if self._provider is None:
            authority = Authority(self.directory) if shutil.which("openssl") else None
            self._provider = Provider(lambda command: Process(command, log=self.directory / "provider.log"), authority)
        return self._provider

    def _server(self, kind: type[S]) -> S:
        for server in self.servers:
            if isinstance(server, kind):
                return server
        started = kind(self.directory / kind.__name__, durable=self.durable)
        self.servers.append(started)
        started.start()
        return started

    def database(self, *, tables: bool = True) -> str:
        """The URL of a fresh PostgreSQL database, with our tables by default."""
        self._count += 1
        if not tables:
            return self.postgres.create_database(f"bench{self._count}")
        if not self._migrated:
            migrate(self.postgres.create_database("bench_migrated"))
            self._migrated = "bench_migrated"
        return self.postgres.create_database(f"bench{self._count}", template=self._migrated)

    def sqlite(self) -> str:
        """The URL of a fresh SQLite file, with our tables."""
        self._count += 1
        return migrate(f"sqlite:///{self.directory / f'bench{self._count}.db'}")

    def broker(self, kind: str = "redis") -> str:
        """The URL of an empty broker, `redis` or `rabbitmq`."""
        if kind == "redis":
            self.redis.flush()
            return self.redis.url()
        self._count += 1
        name = f"bench{self._count}"
        self.rabbitmq.create_vhosts([name])
        return self.rabbitmq.url(name)

    def environment(self, database_url: str, broker_url: str = "", **more: str) -> dict[str, str]:
        """The environment of our own processes: what they send goes to `provider`."""
        broker = {"CELERY_BROKER_URL": broker_url} if broker_url else {}
        return {
            **SETTINGS,
            "DATABASE_URL": database_url,
            "SMSCLICK_BASE_URL": self.provider.base_url,
            **broker,
            **more,
        }

    # --- Processes

    def run(self, *command: str, env: Mapping[str, str], name: str = "") -> Process:
        """A program of the project, running; it ends with the innermost `processes`."""
        self._count += 1
        label = f"{name or Path(command[0]).name}-{self._count}"
        place, measured = _placed(command)
        process = Process(measured, env, log=self.directory / f"{label}.log", cwd=place)
        self._processes.append(process)
        return process

    def worker(self, env: Mapping[str, str], *options: str) -> Process:
        """A worker of ours, ready."""
        self._count += 1
        command = ("celery", "-A", "worker", "worker", "-l", "info", "-n", f"w{self._count}@%h")
        process = self.run(*command, *options, env=env, name="worker")
        process.wait_for_line(r" ready\.", 60)
        return process

    def beat(self, env: Mapping[str, str]) -> Process:
        """A beat of ours."""
        return self.run("celery", "-A", "worker", "beat", "-l", "warning", env=env, name="beat")

    @contextlib.contextmanager
    def processes(self) -> Iterator[list[Process]]:
        """What is started within ends with it; gives the list of them."""
        kept = list(self._processes)
        try:
            yield self._processes
        except BaseException:
            for process in self._processes[len(kept) :]:
                console.print(f"[{process.name}] {process.tail(25)}", markup=False)
            raise
        finally:
            for process in reversed(self._processes[len(kept) :]):
                process.end()
            del self._processes[len(kept) :]


def _placed(command: Sequence[str]) -> tuple[Path, list[str]]:
    """Where a program runs, and by which file: what is measured runs from `CHECKOUT`, all else from here."""
    of_ours = command[0] in {"celery", "smsclick"} and not any(part.startswith("bench.peers") for part in command)
    if CHECKOUT == ROOT or not (of_ours or "bench.producer" in command):
        return ROOT, list(command)
    program = "python" if command[0] == sys.executable else command[0]
    return CHECKOUT, [str(CHECKOUT / ".venv" / "bin" / program), *command[1:]]


def migrate(url: str) -> str:
    """Our tables into the database of a URL, which is returned."""
    if CHECKOUT != ROOT:
        env = {**os.environ, "DATABASE_URL": url}
        subprocess.run([CHECKOUT / ".venv/bin/alembic", "upgrade", "head"], cwd=CHECKOUT, env=env, check=True)
        return url
    config = alembic.config.Config(str(ROOT / "alembic.ini"))
    config.attributes["database_url"] = url
    alembic.command.upgrade(config, "head")
    return url


def cpu_seconds(pid: int) -> float:
    """CPU of a process, its ended children and those that run, so far."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_bytes(pid: int) -> int:
    """Resident memory of one process; 0 when it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def children_bytes(pid: int) -> int:
    """Resident memory of all that a process has started; memory that they share counts for each."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return sum(rss_bytes(each.pid) for each in psutil.Process(pid).children(recursive=True))
    return 0


def interleaved(variants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Runs A B C A B C …, so that what the machine does meanwhile meets all alike; results by name, in order.

    A run that lost, doubled or did not finish something is void: it is said (`VOID`), has no result, and ends nothing
    else. A variant without any result is left out.
    """
    results: dict[str, list[T]] = {name: [] for name in variants}
    for round_number in range(rounds):
        for name, run in variants.items():
            began = time.monotonic()
            try:
                result = run()
            except (AssertionError, RuntimeError) as error:
                reason = why_void(error)
                VOID.append(f"{name}: {reason}")
                console.print(f"round {round_number + 1}/{rounds} {name}: VOID: {reason}", markup=False)
                continue
            results[name].append(result)
            shown = "; ".join(map(str, result)) if isinstance(result, list) else result
            took = time.monotonic() - began
            console.print(f"round {round_number + 1}/{rounds} {name}: {shown} ({took:.0f} s)", markup=False)
    return {name: of for name, of in results.items() if of}


def why_void(error: Exception) -> str:
    """One line: the first, or where it holds a program's traceback, the last, which is the error itself."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1 if any(line.startswith("Traceback") for line in lines) else 0]


VOID: list[str] = []
"""Runs of this benchmark that count for nothing, each with its reason."""


# --- Running


def _no_options(parser: argparse.ArgumentParser) -> None:
    """A benchmark without options of its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class Benchmark:
    """A module's benchmark.

    Attributes:
        name: of the module.
        measure: does it. Besides the module's own options there are `quick` (as small as shows that it works) and
            `rounds`.
        options: declares the module's own.
    """

    name: str
    measure: Callable[[Place, argparse.Namespace], Report]
    options: Callable[[argparse.ArgumentParser], None] = _no_options


def main(benchmark: Benchmark, arguments: Sequence[str] | None = None) -> Report:
    """Reads the options, runs it, shows the tables, and keeps the result and the picture."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{benchmark.name}")
    parser.add_argument("--quick", action="store_true", help="as small as shows that it works; keeps no result")
    parser.add_argument("--durable", action="store_true", help="PostgreSQL and Redis wait for the disk")
    parser.add_argument("--rounds", type=int, help="how often each variant runs (default 5; 1 with --quick)")
    benchmark.options(parser)
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 5)
    with Place(durable=options.durable) as place:
        VOID.clear()
        found = benchmark.measure(place, options)
        report = dataclasses.replace(found, machine=machine(place.servers), void=tuple(VOID))
    printer = Console() if sys.stdout.isatty() else Console(width=140)
    for table in report.tables:
        printer.print(table.rich())
    for reason in report.void:
        printer.print(f"VOID: {reason}", markup=False)
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{report.name}.json").write_text(report.json())
        plot(report)
    return report
