"""How long the first byte of each view of the page takes, on PostgreSQL, by the number of messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench.harness import Benchmark, Place, Report, Table, console, main, median, number
from smsclick._database.engine import Database
from smsclick.contract import State, messages
from tests.api_server import serving
from tests.factories import PHONE, insert
from tests.large_database import fill
from tests.page import Visitor, signed_in
from worker.operator.access.users import Role

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import requests

BACKLOG = 1000
"""Messages that wait in each state; the same at every size, so that only the past grows."""

VIEWS_OF_EACH = 15
"""For each view in a round."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which sizes."""
    parser.add_argument("--rows", default="1000000,10000000", help="numbers of messages")


def measure(place: Place, given: argparse.Namespace) -> Report:
    """Fills a database of each size, then asks for each view in turn; the first answer of each is not counted."""
    sizes = [20_000] if given.quick else [int(size) for size in given.rows.split(",")]
    samples: dict[str, list[float]] = {}
    for size in sizes:
        database = _filled(place, size)
        with serving(database) as site:
            visitor = signed_in(site.url, database, Role.OPERATOR)
            views = _views(database, visitor)
            for view in views.values():
                view()
            for _ in range(given.rounds * VIEWS_OF_EACH):
                for name, view in views.items():
                    samples.setdefault(f"{size:,} {name}", []).append(_first_byte(view))
            for _ in range(given.rounds * VIEWS_OF_EACH):
                for name in (each for each in views if "a set" in each):
                    samples.setdefault(f"{size:,} {name}, with its number", []).append(_last_byte(views[name]))
        database.dispose()
    rows = tuple(
        (name, number(median(found)), number(sorted(found)[int(len(found) * 0.95)]), number(max(found)))
        for name, found in samples.items()
    )
    columns = ("messages, view", "median ms", "95 % ms", "longest ms")
    return Report("page", (Table("First byte of a view", columns, rows),), samples=samples)


def _views(database: Database, visitor: Visitor) -> dict[str, Callable[[], requests.Response]]:
    token = visitor.csrf
    with database.read() as connection:
        last = connection.scalar(sa.select(sa.func.max(messages.c.id))) or 1
        query = sa.select(messages.c.id).where(messages.c.state == State.QUEUED).limit(1)
        queued = connection.scalar(query) or last

    def search(word: str) -> Callable[[], requests.Response]:
        return lambda: visitor.post("/mensajes", {"q": word}, csrf=token, stream=True)

    def get(path: str, **parameters: Any) -> Callable[[], requests.Response]:  # noqa: ANN401 - of any name
        return lambda: visitor.get(path, params=parameters, stream=True)

    return {
        "Ahora": get("/"),
        "Mensajes": get("/mensajes"),
        "an old part": get("/mensajes", before=last // 2),
        "failed": get("/mensajes", state="failed"),
        "a rare reference": get("/mensajes", reference="none has it"),
        "search by phone": search(PHONE),
        "search by a word": search("none has it"),
        "a final message": get(f"/mensajes/{last}"),
        "a queued message": get(f"/mensajes/{queued}"),
        "Operar": get("/operar"),
        "Operar, a set by code": get("/operar/conjunto", act="retry", code="-102"),
        "Operar, a set by reference": get("/operar/conjunto", act="cancel", reference="none has it"),
        "Operar, a set by time": get("/operar/conjunto", act="cancel", since="2020-01-01", until="2020-01-02"),
        "Operar, opt-outs": get("/operar/bajas"),
        "Operar, opt-outs of a phone": get("/operar/bajas", phone=PHONE),
        "Operar, callbacks": get("/operar/avisos"),
        "Operar, refused calls": get("/operar/llamadas"),
        "Operar, users and tokens": get("/operar/accesos"),
        "Operar, import": get("/operar/importar"),
    }


def _first_byte(view: Callable[[], requests.Response]) -> float:
    """Milliseconds from the request to the first byte of its body."""
    return _timed(view, lambda answer: next(answer.iter_content(1), b""))


def _last_byte(view: Callable[[], requests.Response]) -> float:
    """Milliseconds from the request to the last byte of its body."""
    return _timed(view, lambda answer: answer.content)


def _timed(view: Callable[[], requests.Response], read: Callable[[requests.Response], bytes]) -> float:
    began = time.monotonic()
    answer = view()
    read(answer)
    elapsed = (time.monotonic() - began) * 1000
    if answer.status_code not in {200, 303}:
        raise SystemExit(f"a view answered {answer.status_code}")
    answer.close()
    return elapsed


def _filled(place: Place, size: int) -> Database:
    began = time.monotonic()
    database = Database(place.database(), threads=8, silence_seconds=None)  # its rows take minutes
    fill(database, size, backlog=BACKLOG)
    insert(database, key="found by its phone", state=State.FAILED, due_at=None)
    console.print(f"{size} messages ({time.monotonic() - began:.0f} s)", markup=False)
    return database


BENCHMARK = Benchmark("page", measure, options)

if __name__ == "__main__":
    main(BENCHMARK)
