"""What every benchmark is made of: private servers, real processes, interleaved rounds, and a report.

A benchmark is a module of this package with a `BENCHMARK`; it then runs by `python -m bench NAME` and by
`python -m bench.NAME --its-options`, and ends by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import alembic.command
import alembic.config
import psutil
from rich.console import Console
from rich.table import Table as RichTable

from bench.provider import Provider
from tests.processes import ROOT, Process, reaper
from tests.servers import PostgresServer, RabbitServer, RedisServer, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

T = TypeVar("T")
S = TypeVar("S", bound=Server)

RESULTS = ROOT / "bench" / "results"
IMAGES = ROOT / "docs" / "img"
DOCUMENT = ROOT / "docs" / "performance.md"

KEY = "bench-key"
SETTINGS = {
    "SMSCLICK_API_KEY": KEY,
    # Status checks begin after the run: what is measured is sending.
    "SMSCLICK_POLL_SECONDS": "3600",
}
"""The environment of our own processes, besides database, broker and provider."""

_PACKAGES = ("celery", "kombu", "sqlalchemy", "requests", "urllib3", "psycopg", "redis")

console = Console(stderr=True)


# --- Numbers


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` (0 to 1) of all are not above; nan where there are none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Iterable[float]) -> float:
    """The middle one; nan where there are none."""
    given = list(values)
    return statistics.median(given) if given else float("nan")


def ratio(one: Iterable[float], other: Iterable[float]) -> float:
    """The median of the quotients round by round, so that a slow minute of the machine counts for both."""
    return median(a / b for a, b in zip(one, other, strict=False) if b)


def number(value: float) -> str:
    """With as many digits as a measurement deserves: `1,240`, `52.1`, `0.84`."""
    if value != value:  # noqa: PLR0124 - nan
        return "-"
    if abs(value) >= 1000:
        return f"{round(value, -1):,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def steady_rate(times: Sequence[float]) -> float:
    """Arrivals a second in the middle 60 % of them: neither the start nor the last stragglers; nan for a handful."""
    ordered = sorted(times)
    first, last = int(len(ordered) * 0.2), int(len(ordered) * 0.8)
    seconds = ordered[last] - ordered[first] if last > first + 10 else 0.0
    return (last - first) / seconds if seconds else float("nan")


# --- Reports


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells that are text already."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """For a page of docs."""
        lines = [self.columns, ("---",) + ("---:",) * (len(self.columns) - 1), *self.rows]
        return f"**{self.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def rich(self) -> RichTable:
        """For a terminal."""
        table = RichTable(title=self.title)
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*row)
        return table


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """One picture.

    Attributes:
        kind: `bars` (each series is a bar of its median, with the range of its values) or `lines` (each value is x, y).
        series: by name.
    """

    title: str
    kind: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found.

    Attributes:
        name: of the benchmark.
        tables: for people.
        charts: side by side in one picture.
        samples: every single measurement, as JSON can hold it.
        machine: filled in by the harness.
    """

    name: str
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...] = ()
    samples: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    machine: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def json(self) -> str:
        """For `bench/results`."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, content: str) -> Report:
        """What `json` wrote."""
        data = json.loads(content)
        tables = tuple(
            Table(each["title"], tuple(each["columns"]), tuple(tuple(row) for row in each["rows"]))
            for each in data["tables"]
        )
        charts = tuple(Chart(**each) for each in data["charts"])
        return cls(data["name"], tables, charts, data["samples"], data["machine"])

    def markdown(self) -> str:
        """For a page of docs: tables, picture, machine."""
        parts = [table.markdown() for table in self.tables]
        if self.charts:
            parts.append(f"![{self.name}](img/{self.name}.png)")
        machine = "; ".join(f"{name} {value}" for name, value in self.machine.items() if name != "command")
        parts.append(f"`{self.machine.get('command', '')}` on {machine}.")
        return "\n\n".join(parts)


def fill(page: str, report: Report) -> str:
    """The page with the report in its place, between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.

    Raises:
        ValueError: the page has no such place.
    """
    begin, end = f"<!-- bench:{report.name} -->", f"<!-- /bench:{report.name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no place for {report.name}: {begin} … {end}")
    return f"{before}{begin}\n{report.markdown()}\n{end}{after}"


def machine(servers: Iterable[Server]) -> dict[str, str]:
    """What a figure depends on: the hardware, the versions, the command."""
    described = {
        "cores": str(os.cpu_count()),
        "CPU": _cpu_model(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
    for package in _PACKAGES:
        described[package] = importlib.metadata.version(package)
    for server in servers:
        described[server.program.title] = server.version + (", waits for the disk" if server.durable else "")
    described["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    started_as = [part for part in sys.argv[1:] if part]
    module = Path(sys.argv[0])
    name = "bench" if module.stem == "__main__" else f"bench.{module.stem}"
    described["command"] = " ".join(["python -m", name, *started_as])
    return described


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
            self._provider = Provider(lambda command: Process(command, log=self.directory / "provider.log"))
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
        url = self.postgres.create_database(f"bench{self._count}")
        return migrate(url) if tables else url

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
        process = Process(command, env, log=self.directory / f"{label}.log")
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


def migrate(url: str) -> str:
    """Our tables into the database of a URL, which is returned."""
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


def interleaved(variants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Runs A B C A B C …, so that what the machine does meanwhile meets all alike; results by name, in order."""
    results: dict[str, list[T]] = {name: [] for name in variants}
    for round_number in range(rounds):
        for name, run in variants.items():
            began = time.monotonic()
            result = run()
            results[name].append(result)
            shown = "; ".join(map(str, result)) if isinstance(result, list) else result
            took = time.monotonic() - began
            console.print(f"round {round_number + 1}/{rounds} {name}: {shown} ({took:.0f} s)", markup=False)
    return results


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
        found = benchmark.measure(place, options)
        report = dataclasses.replace(found, machine=machine(place.servers))
    printer = Console() if sys.stdout.isatty() else Console(width=140)
    for table in report.tables:
        printer.print(table.rich())
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{report.name}.json").write_text(report.json())
        plot(report)
    return report


def plot(report: Report) -> None:
    """The report's charts as `docs/img/NAME.png`; needs matplotlib."""
    if not report.charts:
        return
    import matplotlib as mpl  # noqa: PLC0415 - only for pictures

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, places = plt.subplots(1, len(report.charts), figsize=(5.5 * len(report.charts), 4), squeeze=False)
    for axes, chart in zip(places[0], report.charts, strict=True):
        if chart.kind == "bars":
            names = list(chart.series)
            middles = [median(chart.series[name]) for name in names]
            low = [middle - min(chart.series[name]) for name, middle in zip(names, middles, strict=True)]
            high = [max(chart.series[name]) - middle for name, middle in zip(names, middles, strict=True)]
            bars = axes.barh(names, middles, xerr=[low, high], color="#3b6ea5", ecolor="#888888", capsize=3)
            axes.bar_label(bars, [number(middle) for middle in middles], padding=6)
            axes.margins(x=0.18)
            axes.invert_yaxis()
        else:
            for name, points in chart.series.items():
                axes.plot([x for x, _ in points], [y for _, y in points], label=name, linewidth=1.3)
            axes.legend(frameon=False, fontsize=8)
            axes.set_ylim(bottom=0)
        axes.set_title(chart.title, fontsize=10)
        axes.set_xlabel(chart.x_label)
        axes.set_ylabel(chart.y_label)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / f"{report.name}.png", dpi=110)
    plt.close(figure)


def write_docs() -> list[str]:
    """Every kept result into its place in docs/performance.md; returns the names."""
    page = DOCUMENT.read_text()
    written = []
    for path in sorted(RESULTS.glob("*.json")):
        page = fill(page, Report.read(path.read_text()))
        written.append(path.stem)
    DOCUMENT.write_text(page)
    return written
