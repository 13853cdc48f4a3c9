"""A backend app as a process of its own: `enqueue()` in its own transactions, the wake-up after each commit.

`python -m bench.producer backlog COUNT` commits so many and ends; `… steady RATE SECONDS FIRST FILE` keeps to a
schedule whatever comes of it; `… flood SECONDS FIRST FILE` goes as fast as it can. FILE gets a line a message: its
number, the epoch seconds just before its COMMIT and just after, and `timed` or `first`. `steady` takes a priority by
name after FILE.
"""

import itertools
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bench.provider import phone, text
from smsclick import enqueue, enqueue_many
from smsclick._database.engine import parse_url
from smsclick._enqueue.message import NewMessage
from smsclick.contract import Priority
from smsclick.settings import get_settings

THREADS = 8


def _engine() -> sa.Engine:
    url = parse_url(get_settings().database_url)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_size=THREADS)
    engine = sa.create_engine(url, connect_args={"timeout": 30})
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))
    return engine


def backlog(count: int) -> None:
    """Commit so many messages, numbered from 0, a thousand a transaction."""
    engine = _engine()
    for start in range(0, count, 1000):
        with Session(engine) as session, session.begin():
            numbers = range(start, min(start + 1000, count))
            enqueue_many(session, [NewMessage.of(phone=phone(n), text=text(n), key=f"order-{n}") for n in numbers])


def one_by_one(
    first: int, file: Path, due: Callable[[int, float], float | None], priority: Priority = Priority.NORMAL
) -> None:
    """Commit messages one by one on several threads.

    Args:
        first: their number; the very first and that of each thread are not timed: they make connections and import.
        file: gets the lines.
        due: when the n-th is to begin if all began at that time; None ends it.
        priority: of each.
    """
    engine = _engine()
    numbers = itertools.count()
    lines: list[str] = []
    began = 0.0

    def begin() -> None:
        nonlocal began
        time.sleep(1)  # what the first ones set in motion
        began = time.time()

    together = threading.Barrier(THREADS, action=begin)

    def commit(number: int, kind: str) -> None:
        with Session(engine) as session:
            with session.begin():
                enqueue(session, phone=phone(number), text=text(number), key=f"order-{number}", priority=priority)
                before = time.time()
            after = time.time()
        lines.append(f"{number} {before!r} {after!r} {kind}\n")

    def work(thread: int) -> None:
        commit(first + 1 + thread, "first")
        together.wait(60)
        while (at := due(n := next(numbers), began)) is not None:
            time.sleep(max(0.0, at - time.time()))
            commit(first + 1 + THREADS + n, "timed")

    commit(first, "first")
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, thread) for thread in range(THREADS)]:
            done.result()
    file.write_text("".join(lines))


def main(command: str, *arguments: str) -> None:
    """Do what the command line says."""
    match command, arguments:
        case "backlog", (count,):
            backlog(int(count))
        case "steady", (rate, seconds, first, file, *priority):
            last = int(float(rate) * float(seconds))
            one_by_one(
                int(first),
                Path(file),
                lambda n, began: began + n / float(rate) if n < last else None,
                Priority[priority[0]] if priority else Priority.NORMAL,
            )
        case "flood", (seconds, first, file):
            long = float(seconds)
            one_by_one(int(first), Path(file), lambda _, began: began if time.time() < began + long else None)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
