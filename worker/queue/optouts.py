"""Phones that are never written to: the list, its file, and the question that every claim asks."""

import csv
import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import BinaryIO, TextIO

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._importing import files
from smsclick._importing.records import Problem, Record, Schema, read_records
from smsclick._values.phones import normalize_phone
from smsclick._values.times import iso
from smsclick.contract import optouts
from smsclick.errors import InvalidField, InvalidPhone
from worker.sql import bulk
from worker.sql.insert_once import insert_once

REASON = "the recipient opted out"
"""Why such a message failed, as its producer reads it; the list's own reason is the operator's."""

_CHUNK = 500
_LONGEST = 200
_SCHEMA = Schema(
    columns=("phone", "reason"),
    required=("phone",),
    synonyms={"telefono": "phone", "motivo": "reason"},
    numbers=frozenset({"phone"}),
    others="ignored",
    alone="phone",
    example="phone,reason",
)


@dataclasses.dataclass(frozen=True, slots=True)
class OptOut:
    """One phone of the list."""

    phone: str = dataclasses.field(repr=False)
    created_at: dt.datetime
    reason: str | None


@dataclasses.dataclass(slots=True)
class Summary:
    """What became of a file so far: phones that are new, that were there already, and lines that hold none."""

    added: int = 0
    known: int = 0
    refused: int = 0


def among(connection: sa.Connection, phones: Collection[str]) -> set[str]:
    """Which of these phones, as ten digits, are never written to; one query."""
    if not phones:
        return set()
    return set(connection.scalars(sa.select(optouts.c.phone).where(bulk.among(connection, optouts.c.phone, phones))))


def add(database: Database, phones: Iterable[str], reason: str | None = None) -> int:
    """Put phones on the list; returns how many were not there yet. Messages that are claimed from now on fail.

    Raises:
        InvalidPhone: one of them is not a Mexican number; nothing is stored.
        InvalidField: the reason is too long or cannot be printed.
    """
    return _add(database, {normalize_phone(phone): _reason(reason) for phone in phones})


def remove(database: Database, phones: Iterable[str]) -> int:
    """Take phones off the list; returns how many were on it. What has failed meanwhile stays failed until retried.

    Raises:
        InvalidPhone: one of them is not a Mexican number; nothing changes.
    """
    wanted = [normalize_phone(phone) for phone in phones]
    with database.begin() as connection:
        return connection.execute(sa.delete(optouts).where(optouts.c.phone.in_(wanted))).rowcount


def listed(database: Database) -> Iterator[OptOut]:
    """The whole list by phone, read in chunks."""
    last = ""
    while True:
        query = sa.select(optouts).where(optouts.c.phone > last).order_by(optouts.c.phone).limit(_CHUNK)
        with database.read() as connection:
            found = [OptOut(row.phone, row.created_at, row.reason) for row in connection.execute(query)]
        yield from found
        if len(found) < _CHUNK:
            return
        last = found[-1].phone


def import_file(
    database: Database, stream: BinaryIO, *, name: str, report: Callable[[int, str], None], summary: Summary
) -> None:
    """Put the phones of a file on the list, each chunk in a transaction of its own.

    Args:
        database: where the list is.
        stream: CSV or JSON lines with `phone` (or `telefono`) and perhaps `reason` (`motivo`), other columns are passed
            over; or a CSV without a header and the phones in the first column.
        name: of the file.
        report: hears of each bad line by its number and why, without its phone.
        summary: is kept up to date, so that it also says how far this came when it raises.

    Raises:
        InvalidField: it is no such file.
    """
    with files.opened(stream) as lines:
        rows = read_records(lines, _SCHEMA, name=name).rows
        while chunk := list(itertools.islice(rows, _CHUNK)):
            _import_chunk(database, chunk, report, summary)


def _import_chunk(
    database: Database, chunk: Iterable[Record | Problem], report: Callable[[int, str], None], summary: Summary
) -> None:
    good: dict[str, str | None] = {}
    for row in chunk:
        if isinstance(row, Problem):
            summary.refused += 1
            report(row.line, row.reason)
            continue
        try:
            phone, why = row.values.get("phone") or "", row.values.get("reason")
            normal, reason = normalize_phone(phone), _reason(None if why is None else str(why))
        except (InvalidPhone, InvalidField) as error:
            summary.refused += 1
            report(row.line, str(error))
        else:
            summary.known += normal in good
            good[normal] = reason
    added = _add(database, good)
    summary.added += added
    summary.known += len(good) - added


def write_csv(found: Iterable[OptOut], lines: TextIO) -> None:
    """Write phones with when and why they came, as `import_file` takes them."""
    writer = csv.writer(lines)
    writer.writerow(("phone", "reason", "created_at"))
    writer.writerows((each.phone, each.reason or "", iso(each.created_at)) for each in found)


def _add(database: Database, reasons: Mapping[str, str | None]) -> int:
    if not reasons:
        return 0

    def work(connection: sa.Connection) -> int:
        known = among(connection, reasons)
        new = [{"phone": phone, "reason": why} for phone, why in reasons.items() if phone not in known]
        if not new:
            return 0
        if insert_once(connection, optouts, *new):
            return len(new)
        # Another process has just added some of them: insert the others one by one.
        return sum(insert_once(connection, optouts, row) for row in new)

    return database.transact(work)


def _reason(text: str | None) -> str | None:
    text = (text or "").strip()
    if len(text) > _LONGEST:
        raise InvalidField(f"reason: has {len(text)} characters, at most {_LONGEST} fit")
    if not text.isprintable():
        raise InvalidField("reason: holds a character that cannot be printed; remove it")
    return text or None
