"""What operators ask of a large table; `--rows 10000000` is a table as after years.

`smsclick retry` by a filter and what claims wait for meanwhile, then `find`, filtered lists, and `smsclick forget`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from bench.harness import Benchmark, Place, Report, Table, main, median, number, percentile
from smsclick._database.engine import Database
from smsclick.contract import State, messages
from tests.factories import POLICY
from tests.large_database import fill
from worker.operator import finding, message_list
from worker.operator.message_list import Filters
from worker.queue import claims

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_CODE = -999
_REFERENCE = "a wrong campaign"
_CLAIMED = 100
_PAUSE_SECONDS = 0.05
_PHONE = "5551402211"
_MESSAGES_OF_PERSON = 50
_LISTED = 50
_LOOKS = 5


def options(parser: argparse.ArgumentParser) -> None:
    """How many messages there are, and how many of them failed."""
    parser.add_argument("--rows", type=int, default=300_000, help="messages in the table")
    parser.add_argument("--failed", type=int, default=10_000, help="messages to retry")


def measure(place: Place, given: argparse.Namespace) -> Report:
    """Claim as a worker does, first alone and then beside the command."""
    rows, failed = (40_000, 1000) if given.quick else (given.rows, given.failed)
    url = place.database()
    database = Database(url, threads=2)
    fill(database, rows, backlog=2000)
    with database.begin() as connection:
        newest = sa.select(messages.c.id).order_by(messages.c.id.desc()).limit(failed).subquery()
        connection.execute(
            sa.update(messages)
            .where(messages.c.id.in_(sa.select(newest.c.id)))
            .values(
                state=State.FAILED, due_at=None, last_code=_CODE, reference=_REFERENCE, erased_at=None, expires_at=None,
                wire_key=None, token=None, lease_until=None, unknown_since=None,
            )
        )  # fmt: skip
        connection.execute(  # what the claims find: enough for the whole run
            sa.insert(messages).from_select(
                ["key", "phone", "text", "priority"],
                sa.select(
                    sa.func.concat("waits-", messages.c.id), messages.c.phone, sa.func.concat("waits ", messages.c.id),
                    sa.literal(0),
                ).where(messages.c.id <= min(rows, 60_000)),
            )
        )  # fmt: skip
    alone: list[float] = []
    _claim_until(database, alone, threading.Event(), seconds=2 if given.quick else 8)
    beside: list[float] = []
    done = threading.Event()
    claiming = threading.Thread(target=_claim_until, args=(database, beside, done, 300))
    claiming.start()
    began = time.monotonic()
    command = [str(Path(sys.executable).with_name("smsclick")), "retry", "--code", str(_CODE), "--yes"]
    ended = subprocess.run(command, env=place.environment(url), capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    done.set()
    claiming.join()
    if ended.stdout != f"{failed} queued\n":
        raise AssertionError(f"{ended.stdout}{ended.stderr}")
    asked = _person_and_lists(database, place, url)
    database.dispose()
    table = Table(
        f"`smsclick retry --code {_CODE} --yes`: {failed:,} failed messages among {rows:,}",
        ("", "alone", "beside the command"),
        (
            ("the command, s", "-", number(seconds)),
            ("a claim of 100, median ms", number(median(alone)), number(median(beside))),
            ("a claim of 100, p99 ms", number(percentile(alone, 0.99)), number(percentile(beside, 0.99))),
        ),
    )
    of_person = Table(
        f"a person's {_MESSAGES_OF_PERSON} messages and filtered lists among {rows:,} messages",
        ("", "ms"),
        tuple((name, number(took)) for name, took in asked.items()),
    )
    return Report("acts", (table, of_person), samples={"seconds": seconds, "alone": alone, "beside": beside, **asked})


def _person_and_lists(database: Database, place: Place, url: str) -> dict[str, float]:
    """How many milliseconds each look takes, the median of some; `forget` runs once, last, because it changes rows."""
    with database.begin() as connection:
        kept = sa.select(messages.c.id).where(messages.c.state == State.DELIVERED, messages.c.erased_at.is_(None))
        oldest = list(connection.scalars(kept.order_by(messages.c.id).limit(_MESSAGES_OF_PERSON)))
        connection.execute(sa.update(messages).where(messages.c.id.in_(oldest)).values(phone=_PHONE))
    newest = Filters()
    looks: dict[str, Callable[[], object]] = {
        "`smsclick find PHONE`": lambda: finding.by_phone(database, _PHONE),
        "a list, no filter": lambda: message_list.read(database, newest, limit=_LISTED),
        "a list, by phone": lambda: message_list.read(database, Filters(phone=_PHONE), limit=_LISTED),
        "a list, by a state that many have": lambda: message_list.read(
            database, Filters(states=[State.DELIVERED]), limit=_LISTED
        ),
        "a list, by a state that none has": lambda: message_list.read(
            database, Filters(states=[State.CANCELLED]), limit=_LISTED
        ),
        "a list, by a reference that none has": lambda: message_list.read(
            database, Filters(reference="nobody's"), limit=_LISTED
        ),
    }
    found = {name: median([_milliseconds(look) for _ in range(_LOOKS)]) for name, look in looks.items()}
    command = [str(Path(sys.executable).with_name("smsclick")), "forget", _PHONE, "--yes"]

    def forget() -> None:
        ended = subprocess.run(command, env=place.environment(url), capture_output=True, text=True, check=False)
        if ended.returncode or finding.by_phone(database, _PHONE):
            raise AssertionError(f"{ended.stdout}{ended.stderr}")

    found["`smsclick forget PHONE`, as a process"] = _milliseconds(forget)
    return found


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return (time.monotonic() - began) * 1000


def _claim_until(database: Database, took_ms: list[float], done: threading.Event, seconds: float) -> None:
    """Claim as the pump does, and note how long each claim takes."""
    end = time.monotonic() + seconds
    while not done.is_set() and time.monotonic() < end:
        began = time.monotonic()
        claimed = database.transact(lambda connection: claims.claim(connection, None, _CLAIMED, POLICY))
        if claimed:
            took_ms.append((time.monotonic() - began) * 1000)
        done.wait(_PAUSE_SECONDS)


BENCHMARK = Benchmark("acts", measure, options)

if __name__ == "__main__":
    main(BENCHMARK)
