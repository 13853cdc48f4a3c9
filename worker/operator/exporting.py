"""Export one record for each message, streamed in batches by id, so that memory does not grow with their number."""

import csv
import dataclasses
import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

import sqlalchemy as sa

from smsclick._database.engine import Database, Fault, fault_of
from smsclick._values import harmless
from smsclick._values.times import iso
from smsclick.contract import State, messages
from worker.lifecycle import message_rows
from worker.sql import readable

FIELDS = (
    "id",
    "key",
    "phone",
    "text",
    "state",
    "id_mensaje",
    "estatus_mensaje",
    "attempts",
    "credits_used",
    "last_code",
    "last_error",
    "created_at",
    "sent_at",
    "final_at",
    "reply",
    "replied_at",
    "reference",
)
"""The fields of a record, in the order of the contract."""

_ROWS_PER_STATEMENT = 4000
"""Rows that one statement reads, wanted or not, so that a filter on a rare state does not make a long statement."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are exported.

    Attributes:
        states: only messages in one of these states now; empty for all.
        since: only messages created at this time or later.
        until: only messages created at this time or earlier.
    """

    states: Collection[State] = ()
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class CsvForm:
    """How a CSV is written.

    Attributes:
        excel: for spreadsheets: a byte order mark, line ends of Windows, local times in `zone`.
        zone: of those times.
        keep_formulas: do not put an apostrophe before texts that a spreadsheet would read as a formula.
    """

    excel: bool = False
    zone: dt.tzinfo = dt.UTC
    keep_formulas: bool = False


ALL: Final = Wanted()
PLAIN: Final = CsvForm()


def export(database: Database, wanted: Wanted = ALL) -> Iterator[dict[str, Any]]:
    """Yield a record for each message, lowest id first, by the contract's field names; times are datetimes.

    Each batch has its own transaction, so that a long export keeps no lock and no old snapshot. A message that changes
    during the export has the values of the time at which its batch is read.
    """
    query = sa.select(*(messages.c[field] for field in FIELDS))
    if wanted.states:
        query = query.where(message_rows.in_state(*wanted.states))
    if wanted.since is not None:
        query = query.where(messages.c.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(messages.c.created_at <= wanted.until)
    last = 0
    while True:
        with database.read() as connection:
            following = sa.select(messages.c.id).where(messages.c.id > last).order_by(messages.c.id)
            end = connection.scalar(following.offset(_ROWS_PER_STATEMENT - 1).limit(1))
            window = query.where(messages.c.id > last).order_by(messages.c.id).limit(_ROWS_PER_STATEMENT)
            rows = _read(connection, window if end is None else window.where(messages.c.id <= end))
        for row in rows:
            yield {name: readable.shown(value) for name, value in zip(FIELDS, row, strict=True)}
        if end is None:
            return
        last = end


def _read(connection: sa.Connection, window: sa.Select[Any]) -> Sequence[Sequence[Any]]:
    """Return the rows of one statement; in an odd row, a word stands in place of each value that cannot be read."""
    try:
        with connection.begin_nested():
            return connection.execute(window).all()
    except Exception as error:
        if fault_of(error) is not Fault.ROW:
            raise
    ids = [row.id for row in connection.execute(window.with_only_columns(messages.c.id))]
    found = readable.read(connection, ids, [messages.c[field] for field in FIELDS])
    return [[found[each][field] for field in FIELDS] for each in ids if each in found]


def write_jsonl(records: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """Write one JSON object per line, times in UTC."""
    lines = (json.dumps(record, ensure_ascii=False, default=iso) for record in records)
    out.writelines(harmless.for_json(line) + "\n" for line in lines)


def write_csv(records: Iterable[Mapping[str, Any]], out: TextIO, form: CsvForm = PLAIN) -> None:
    """Write a header and one row for each message; a field without a value is empty."""
    if form.excel:
        out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n" if form.excel else "\n")
    writer.writerow(FIELDS)
    for record in records:
        writer.writerow([_cell(record[name], form) for name in FIELDS])


def _cell(value: object, form: CsvForm) -> object:
    if isinstance(value, dt.datetime):
        # Without a zone: Excel does not read a value with a zone as a time.
        return f"{value.astimezone(form.zone):%Y-%m-%d %H:%M:%S}" if form.excel else iso(value)
    if not isinstance(value, str):
        return value
    text = harmless.for_terminal(value)
    return text if form.keep_formulas else harmless.for_spreadsheet(text)
