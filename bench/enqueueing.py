"""The producer that the benchmarks of enqueueing run as a process of its own: `python -m bench.enqueueing KIND COUNT`.

It reads `DATABASE_URL` and `CELERY_BROKER_URL` as any producer does, and prints what it measured as one line of JSON.
"""

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsclick import enqueue, enqueue_many

_WARM_UP = 50
_SETTLE_SECONDS = 2.0
"""For what happens once in a process: the notifier's thread imports the broker's client and connects."""


def content(count: int, prefix: str) -> Iterator[dict[str, Any]]:
    """Messages as a shop has them, each with a phone, a text and a key of its own."""
    for number in range(count):
        yield {
            "phone": f"55{51_400_000 + number % 1_000_000:08d}",
            "text": f"Tu pedido {number} va en camino y llega hoy entre 9 y 12. Gracias por tu compra",
            "key": f"{prefix}-{number}",
        }


def _mebibytes() -> float:
    """The most memory so far, by Linux; `getrusage` would begin with what the parent process had."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return float("nan")


def one_by_one(engine: sa.Engine, count: int) -> dict[str, Any]:
    """A transaction for each: what a web request does. Seconds in all, and of each commit alone."""
    for each in content(_WARM_UP, "warm-up"):
        with Session(engine) as session, session.begin():
            enqueue(session, **each)
    time.sleep(_SETTLE_SECONDS)
    commits = []
    gc.collect()
    began = time.perf_counter()
    for each in content(count, "one"):
        with Session(engine) as session:
            enqueue(session, **each)
            before = time.perf_counter()
            session.commit()
            commits.append(time.perf_counter() - before)
    return {"seconds": time.perf_counter() - began, "commits": commits}


def many(engine: sa.Engine, count: int) -> dict[str, Any]:
    """All in one transaction, from a generator. Seconds with the commit, and by how many MiB the memory's peak rose."""
    with Session(engine) as session, session.begin():
        enqueue_many(session, content(_WARM_UP, "warm-up"))
    before = _mebibytes()
    began = time.perf_counter()
    with Session(engine) as session, session.begin():
        enqueue_many(session, content(count, "many"))
    return {"seconds": time.perf_counter() - began, "mebibytes": _mebibytes() - before}


def main() -> None:
    """Reads the arguments and measures."""
    kind, count = sys.argv[1], int(sys.argv[2])
    engine = sa.create_engine(os.environ["DATABASE_URL"])
    print(json.dumps({"one": one_by_one, "many": many}[kind](engine, count)))
    engine.dispose()


if __name__ == "__main__":
    main()
