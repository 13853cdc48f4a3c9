"""Phones that are never written to: the list, its file, and the question that every claim asks."""

import base64
import csv
import dataclasses
import datetime as dt
import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import BinaryIO, TextIO

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._importing import files
from smsclick._importing.records import Problem, Record, Schema, read_records
from smsclick._values import harmless
from smsclick._values.phones import normalize_phone
from smsclick._values.refusals import Refusal, RefusalCode
from smsclick._values.times import iso
from smsclick.contract import optouts
from smsclick.errors import InvalidField, InvalidPhone
from worker.sql import audit, bulk
from worker.sql.audit import Act
from worker.sql.insert_once import insert_once

_FORGOTTEN = re.compile(r"~[A-Za-z0-9_-]{9}")
PHONE = optouts.c.phone
"""The column with the phones of the list, for a claim that asks for more in the same statement."""

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
    """One phone of the list; that of a forgotten person is a hash, see `forgotten`."""

    phone: str = dataclasses.field(repr=False)
    created_at: dt.datetime
    reason: str | None


@dataclasses.dataclass(slots=True)
class Summary:
    """What became of a file so far: phones that are new, that were there already, and lines that hold none."""

    added: int = 0
    known: int = 0
    refused: int = 0


def forgotten(phone: str) -> str:
    """Return what stands in place of a phone whose person is forgotten: `~` and 54 bits of a hash.

    It keeps the phone from being read, not from being tried: whoever has the list can hash all ten billion numbers.
    See docs/decisions/0062-forgotten-people.md.
    """
    digest = hashlib.blake2b(phone.encode(), digest_size=7, person=b"smsclick-optout").digest()
    return "~" + base64.urlsafe_b64encode(digest).decode("ascii")[:9]


def among(connection: sa.Connection, phones: Collection[str]) -> set[str]:
    """Which of these phones, as ten digits, are never written to; one query."""
    if not phones:
        return set()
    stored_as = forms(phones)
    found = connection.scalars(sa.select(PHONE).where(bulk.among(connection, PHONE, stored_as)))
    # PostgreSQL cuts values to the column: what is no phone may be found under its first ten characters.
    return {stored_as[each] for each in found if each in stored_as}


def forms(phones: Collection[str]) -> dict[str, str]:
    """Each form in which one of these phones may be on the list, and the phone."""
    return {forgotten(phone): phone for phone in phones} | {phone: phone for phone in phones}


def of_phone(database: Database, phone: str) -> OptOut | None:
    """Return the opt-out of a phone, given as ten digits; None if it has none."""
    query = sa.select(optouts).where(optouts.c.phone.in_([phone, forgotten(phone)]))
    with database.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else OptOut(row.phone, row.created_at, row.reason)


def forget(database: Database, phone: str, *, remove: bool) -> str:
    """Keep a phone's opt-out as a hash without its reason, or remove it.

    Args:
        database: where the list is.
        phone: as ten digits.
        remove: whether to remove it.

    Returns:
        `none` if there is none, `hashed` or `removed`.
    """

    def work(connection: sa.Connection) -> str:
        rows = connection.execute(sa.select(optouts).where(optouts.c.phone.in_([phone, forgotten(phone)]))).all()
        if not rows:
            return "none"
        connection.execute(sa.delete(optouts).where(optouts.c.phone.in_([row.phone for row in rows])))
        if remove:
            return "removed"
        created_at = min(row.created_at for row in rows)
        insert_once(connection, optouts, {"phone": forgotten(phone), "created_at": created_at})
        return "hashed"

    return database.transact(work)


def add(database: Database, phones: Iterable[str], reason: str | None = None, *, actor: str) -> int:
    """Put phones on the list. Messages that are claimed from now on fail.

    Args:
        database: where the list is.
        phones: in any usual form.
        reason: in words, for the list.
        actor: who does it, for the audit record.

    Returns:
        How many were not there yet.

    Raises:
        InvalidPhone: one of them is not a Mexican number; nothing is stored.
        InvalidField: the reason is too long or cannot be printed.
    """
    wanted = {normalize_phone(phone): _reason(reason) for phone in phones}
    return _add(database, wanted, audit.begin(database, Act.OPTOUT_ADD, actor, f"{len(wanted)} named"))


def remove(database: Database, phones: Iterable[str], *, actor: str) -> int:
    """Take phones off the list. What has failed meanwhile stays failed until retried.

    Args:
        database: where the list is.
        phones: in any usual form.
        actor: who does it, for the audit record.

    Returns:
        How many were on it.

    Raises:
        InvalidPhone: one of them is not a Mexican number; nothing changes.
    """
    wanted = [normalize_phone(phone) for phone in phones]
    stored = [*wanted, *map(forgotten, wanted)]
    with database.begin() as connection:
        removed = connection.execute(sa.delete(optouts).where(optouts.c.phone.in_(stored))).rowcount
        audit.record(connection, Act.OPTOUT_REMOVE, actor, count=removed, detail=f"{len(wanted)} named")
        return removed


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


def page(database: Database, *, after: str = "", limit: int = 100) -> list[OptOut]:
    """Return the next part of the list by phone.

    Args:
        database: where the list is.
        after: the last phone of the part before; empty for the first part.
        limit: at most so many.
    """
    query = sa.select(optouts).where(optouts.c.phone > after).order_by(optouts.c.phone).limit(limit)
    with database.read() as connection:
        return [OptOut(row.phone, row.created_at, row.reason) for row in connection.execute(query)]


def import_file(
    database: Database,
    stream: BinaryIO,
    *,
    name: str,
    report: Callable[[int, Refusal], None],
    summary: Summary,
    actor: str,
) -> None:
    """Put the phones of a file on the list, each chunk in a transaction of its own.

    Args:
        database: where the list is.
        stream: CSV or JSON lines with `phone` (or `telefono`) and perhaps `reason` (`motivo`), other columns are passed
            over; or a CSV without a header and the phones in the first column.
        name: of the file.
        report: hears of each bad line by its number and why, without its phone.
        summary: is kept up to date, so that it also says how far this came when it raises.
        actor: who does it, for the audit record.

    Raises:
        InvalidField: it is no such file.
    """
    with files.opened(stream) as lines:
        rows = read_records(lines, _SCHEMA, name=name).rows
        record = audit.begin(database, Act.OPTOUT_IMPORT, actor)
        while chunk := list(itertools.islice(rows, _CHUNK)):
            _import_chunk(database, chunk, report, summary, record)


def _import_chunk(
    database: Database,
    chunk: Iterable[Record | Problem],
    report: Callable[[int, Refusal], None],
    summary: Summary,
    record: int,
) -> None:
    good: dict[str, str | None] = {}
    for row in chunk:
        if isinstance(row, Problem):
            summary.refused += 1
            report(row.line, row.refusal)
            continue
        try:
            phone, why = row.values.get("phone") or "", row.values.get("reason")
            hashed = _FORGOTTEN.fullmatch(str(phone)) is not None  # as this list writes it
            normal = str(phone) if hashed else normalize_phone(phone)
            reason = _reason(None if why is None else str(why))
        except (InvalidPhone, InvalidField) as error:
            summary.refused += 1
            report(row.line, error.refusal)
        else:
            summary.known += normal in good
            good[normal] = reason
    added = _add(database, good, record)
    summary.added += added
    summary.known += len(good) - added


def write_csv(found: Iterable[OptOut], lines: TextIO) -> None:
    """Write phones with when and why they came, as `import_file` takes them."""
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("phone", "reason", "created_at"))
    writer.writerows((each.phone, _cell(each.reason or ""), iso(each.created_at)) for each in found)


def _cell(reason: str) -> str:
    return harmless.for_spreadsheet(harmless.for_terminal(reason))


def _add(database: Database, reasons: Mapping[str, str | None], record: int) -> int:
    if not reasons:
        return 0

    def work(connection: sa.Connection) -> int:
        known = among(connection, reasons)
        new = [{"phone": phone, "reason": why} for phone, why in reasons.items() if phone not in known]
        if not new:
            return 0
        added = len(new)
        if not insert_once(connection, optouts, *new):
            # Another process has just added some of them: insert the others one by one.
            added = sum(insert_once(connection, optouts, row) for row in new)
        audit.add(connection, record, added)
        return added

    return database.transact(work)


def _reason(text: str | None) -> str | None:
    text = (text or "").strip()
    if len(text) > _LONGEST:
        raise InvalidField(Refusal.of(RefusalCode.FIELD_TOO_LONG, "reason", count=len(text), most=_LONGEST))
    if not text.isprintable():
        raise InvalidField(Refusal.of(RefusalCode.FIELD_CHARACTER, "reason"))
    return text or None
