"""Where a worker's time goes: py-spy watches one worker of ours while it sends, and the top functions are printed.

`python -m bench.profile [--delay 0] [--seconds 15]`. Samples are of threads that hold the interpreter's lock, so the
shares are of the CPU that limits one process. py-spy attaches to the running worker, for which most systems want root.
"""

from __future__ import annotations

import argparse
import collections
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from bench.harness import Place, Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LIBRARY = "site-packages/"


def top(lines: Iterable[str], many: int) -> tuple[Table, Table]:
    """The functions with most samples of their own, and those with most below them too.

    Args:
        lines: of py-spy's raw format: frames from the outermost in, joined by semicolons, a blank and a count.
        many: rows.
    """
    own: collections.Counter[str] = collections.Counter()
    below: collections.Counter[str] = collections.Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = [_frame(frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        below.update(dict.fromkeys(frames, int(count)))
    total = sum(own.values()) or 1
    return _table("Own time", own, total, many), _table("With all it calls", below, total, many)


def _frame(frame: str) -> str:
    """`function (worker/sending/attempts.py:12)` without the line."""
    name, _, place = frame.partition(" (")
    return f"{name} ({place.rpartition(':')[0].rpartition(_LIBRARY)[2]})"


def _table(title: str, counted: collections.Counter[str], total: int, many: int) -> Table:
    rows = tuple((name, f"{count / total:.1%}") for name, count in counted.most_common(many))
    return Table(f"{title}; {total} samples", ("function", "share"), rows)


def record(place: Place, seconds: float, delay: float, concurrency: int, rate: int) -> Path:
    """py-spy's file of one worker that sends for so long."""
    url, broker = place.database(), place.broker()
    env = place.environment(url, broker)
    place.provider.reset(delay)
    file = place.directory / "profile.raw"
    with place.processes():
        count = max(1000, int((seconds + 5) * rate))
        backlog = place.run(sys.executable, "-m", "bench.producer", "backlog", str(count), env=env, name="backlog")
        if backlog.wait(600):
            raise AssertionError(backlog.tail())
        worker = place.worker(env, "--concurrency", str(concurrency))
        place.beat(env)
        spy = ("py-spy", "record", "--gil", "--rate", "200", "--duration", f"{seconds:g}", "--pid", str(worker.pid))
        watcher = place.run(*spy, "--format", "raw", "-o", str(file), env=env)
        if watcher.wait(seconds + 60):
            raise AssertionError(watcher.tail())
    return file


def main() -> None:
    """Reads the options, runs, and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--delay", type=float, default=0, help="of the provider, in ms")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rate", type=int, default=2000, help="messages a second, only to have enough of them")
    parser.add_argument("--rows", type=int, default=15)
    given = parser.parse_args()
    printer = Console(width=140)
    with Place() as place:
        file = record(place, given.seconds, given.delay / 1000, given.concurrency, given.rate)
        for table in top(file.read_text().splitlines(), given.rows):
            printer.print(table.rich())


if __name__ == "__main__":
    main()
