"""What a benchmark found: numbers as people read them, tables, pictures, and their place in the docs."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from rich.table import Table as RichTable

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.servers import Server

RESULTS = ROOT / "bench" / "results"
IMAGES = ROOT / "docs" / "img"
DOCUMENT = ROOT / "docs" / "performance.md"

_PACKAGES = ("celery", "kombu", "sqlalchemy", "requests", "urllib3", "psycopg", "redis")


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
        void: runs that count for nothing, each with its reason; filled in by the harness.
    """

    name: str
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...] = ()
    samples: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    machine: Mapping[str, str] = dataclasses.field(default_factory=dict)
    void: Sequence[str] = ()

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
        return cls(data["name"], tables, charts, data["samples"], data["machine"], tuple(data.get("void", ())))

    def markdown(self) -> str:
        """For a page of docs: tables, picture, machine."""
        parts = [table.markdown() for table in self.tables]
        if self.charts:
            parts.append(f"![{self.name}](img/{self.name}.png)")
        machine = "; ".join(f"{name} {value}" for name, value in self.machine.items() if name != "command")
        if self.void:
            parts.append(f"{len(self.void)} runs are void and not counted: {'; '.join(self.void)}.")
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
        with contextlib.suppress(ValueError):  # not of every benchmark
            page = fill(page, Report.read(path.read_text()))
            written.append(path.stem)
    DOCUMENT.write_text(page)
    return written
