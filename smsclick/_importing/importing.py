"""`smsclick import`: many messages from a CSV file or JSON lines, whatever is wrong with some of the lines.

Lines are read one after the other (`smsclick._importing.records`) and stored in chunks, so that a file may be larger
than memory. A bad line costs only itself: it is reported by its number and reason, without its phone or text.
"""

import contextlib
import csv
import dataclasses
import datetime as dt
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

import sqlalchemy as sa

from smsclick._database.database import Database
from smsclick._enqueue.enqueue import CHUNK, Stored, look_up, store
from smsclick._enqueue.message import COLUMNS, SPANISH, NewMessage
from smsclick._importing import files
from smsclick._importing.records import REJECTED_LINE, REJECTED_REASON, Problem, Record, Records, Schema, read_records
from smsclick._values.texts import predict_credits
from smsclick._wakeups import wakeups
from smsclick.contract import ACCOUNT, accounts
from smsclick.errors import InvalidMessage, KeyConflict, SmsclickError

MESSAGES: Final = Schema(
    columns=COLUMNS,
    required=("phone", "text"),
    synonyms=SPANISH,
    numbers=frozenset({"phone", "rule_id"}),
    others="refused",
    alone=None,
    example="phone,text,key",
)
"""What a file of messages may hold."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A good line.

    Attributes:
        line: Its number.
        message: What it says.
        keyed: Whether it brought its key.
        values: Its columns as they were.
    """

    line: int
    message: NewMessage
    keyed: bool
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)


@dataclasses.dataclass(slots=True)
class Summary:
    """What became of a file so far.

    Attributes:
        stored: messages that are new; in a trial: that would be.
        known: lines whose message was there already, by its key.
        refused: bad lines.
        unkeyed: good lines that came without a key.
        credits: of the new ones, as they will probably be charged.
    """

    stored: int = 0
    known: int = 0
    refused: int = 0
    unkeyed: int = 0
    credits: int = dataclasses.field(default=0, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Defaults:
    """What lines that do not say it themselves get.

    Attributes:
        ttl: seconds, for lines without `ttl` and `expires_at`.
        zone: of times that say none.
    """

    ttl: float | None = None
    zone: dt.tzinfo | None = None


_NOTHING: Final = Defaults()


def read_rows(stream: BinaryIO, *, name: str = "", defaults: Defaults = _NOTHING) -> Iterator[Row | Problem]:
    """Read a file line by line, in order.

    Args:
        stream: The file's bytes.
        name: Of the file; its suffix helps to tell JSON lines from CSV where the first line does not.
        defaults: For lines that do not say it themselves.

    Raises:
        InvalidField: The file as a whole is none of ours: it is empty, its encoding or its header is wrong.
    """
    with files.opened(stream) as lines:
        yield from as_rows(read_records(lines, MESSAGES, name=name).rows, defaults)


def as_rows(records: Iterable[Record | Problem], defaults: Defaults = _NOTHING) -> Iterator[Row | Problem]:
    """Make messages of records, in order."""
    for each in records:
        yield each if isinstance(each, Problem) else _row(each, defaults)


def _row(record: Record, defaults: Defaults) -> Row | Problem:
    values = dict(record.values)
    if defaults.ttl is not None and not any(str(values.get(name) or "").strip() for name in ("ttl", "expires_at")):
        values["ttl"] = defaults.ttl
    try:
        message = NewMessage.from_mapping(values, zone=defaults.zone)
    except InvalidMessage as error:
        return Problem(record.line, str(error), values=record.values)
    return Row(record.line, message, bool(str(record.values.get("key") or "").strip()), record.values)


def import_rows(
    database: Database,
    rows: Iterable[Row | Problem],
    *,
    report: Callable[[Problem], None],
    summary: Summary,
    progress: Callable[[Summary], None] = lambda _: None,
) -> None:
    """Store the good lines, each chunk in a transaction of its own, and ring for them.

    Args:
        database: where the messages go.
        rows: of `read_rows`.
        report: hears of each bad line.
        summary: is kept up to date, so that it also tells how far this came when it raises.
        progress: hears of each chunk.

    Raises:
        DatabaseUnavailable: the chunks before are stored; the same file may be imported again.
        DatabaseNotMigrated: nothing is stored.
    """
    rings = wakeups.MOST if wakeups.configured() else 0
    for chunk, good in _chunks(rows):
        stored: list[Stored] = []
        with _uninterrupted():
            if good:
                with database.begin() as connection:
                    stored = store(connection, [row.message for row in good])
            _count(chunk, good, stored, report, summary)
        fresh = [
            result.id
            for row, result in zip(good, stored, strict=True)
            if result.new and not result.conflict and row.message.send_at is None
        ]
        if rings and fresh:
            wakeups.wake(fresh[:rings])
            rings -= len(fresh[:rings])
        progress(summary)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block: what is stored is counted too. A second one does not wait."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # no person's terminal, or a program with a handler of its own
        return
    pressed = False

    def press(_number: int, _frame: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    try:
        signal.signal(signal.SIGINT, press)
    except ValueError:  # not the main thread, which alone is interrupted
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def try_rows(
    database: Database,
    rows: Iterable[Row | Problem],
    *,
    report: Callable[[Problem], None],
    summary: Summary,
    progress: Callable[[Summary], None] = lambda _: None,
) -> None:
    """Do everything that `import_rows` does but store: what it says is what an import would say now."""
    first: dict[int, int] = {}
    for chunk, good in _chunks(rows):
        found: list[Stored] = []
        if good:
            with database.read() as connection:
                known = look_up(connection, [row.message for row in good])
            for row, stored in zip(good, known, strict=True):
                message = row.message
                content = hash((message.phone, message.text))
                new = stored is None and hash(message.key) not in first
                conflict = stored.conflict if stored else first.setdefault(hash(message.key), content) != content
                found.append(Stored(stored.id if stored else 0, new=new, conflict=conflict))
        _count(chunk, good, found, report, summary)
        progress(summary)


def balance(database: Database) -> tuple[int, dt.datetime] | None:
    """The credits that the account had when a worker last asked, and when that was; None where none has."""
    with database.read() as connection:
        row = connection.execute(
            sa.select(accounts.c.balance, accounts.c.balance_at).where(accounts.c.account == ACCOUNT)
        ).first()
    return None if row is None or row.balance is None or row.balance_at is None else (row.balance, row.balance_at)


def _chunks(rows: Iterable[Row | Problem]) -> Iterator[tuple[list[Row | Problem], list[Row]]]:
    each = iter(rows)
    while chunk := list(itertools.islice(each, CHUNK)):
        yield chunk, [row for row in chunk if isinstance(row, Row)]


def _count(
    chunk: Sequence[Row | Problem],
    good: Sequence[Row],
    stored: Sequence[Stored],
    report: Callable[[Problem], None],
    summary: Summary,
) -> None:
    """Add a chunk to the summary and report its bad lines in their order."""
    conflicts: dict[int, Problem] = {}
    for row, result in zip(good, stored, strict=True):
        if result.conflict:
            conflicts[row.line] = Problem(row.line, _conflict(row, result), values=row.values)
            continue
        summary.stored += result.new
        summary.known += not result.new
        summary.unkeyed += not row.keyed
        summary.credits += predict_credits(row.message.text) if result.new else 0
    for row_or_problem in chunk:
        problem = conflicts.get(row_or_problem.line) if isinstance(row_or_problem, Row) else row_or_problem
        if problem is not None:
            summary.refused += 1
            report(problem)


def _conflict(row: Row, result: Stored) -> str:
    if result.id:
        return str(KeyConflict(row.message.key, result.id))
    return f"the key {row.message.key!r} comes twice in this file, with another phone or text"


class Rejected:
    """Writes bad lines with their reasons into a file of the same form, which may be corrected and imported.

    Only its owner may read it: it holds phones and texts.

    Args:
        path: Of the file; one that is there is replaced.
        records: Of the file that is imported.

    Raises:
        SmsclickError: It cannot be written to.
    """

    def __init__(self, path: Path, records: Records) -> None:
        self._form = records.form
        self._columns = records.columns
        try:
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise SmsclickError(f"{path} cannot be written ({error.strerror})") from None
        # With a mark, so that spreadsheets read accents right.
        encoding = "utf-8-sig" if self._form == "csv" else "utf-8"
        self._file: TextIO = os.fdopen(descriptor, "w", encoding=encoding, errors="backslashreplace", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if self._form == "csv":
            self._writer.writerow([REJECTED_LINE, REJECTED_REASON, *self._columns])

    def write(self, problem: Problem) -> None:
        """Add a line."""
        said = {REJECTED_LINE: problem.line, REJECTED_REASON: problem.reason}
        if self._form == "json":
            values = problem.values if problem.values is not None else {"raw": problem.raw}
            self._file.write(json.dumps(said | dict(values), ensure_ascii=False) + "\n")
        elif problem.values is not None:
            values = problem.values
            self._writer.writerow([*said.values(), *(values.get(each, "") for each in self._columns)])
        else:
            # It could not be taken apart: it stands whole in the first column.
            self._writer.writerow([*said.values(), problem.raw or ""])

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
