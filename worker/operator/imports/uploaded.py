"""Preview and store a file of messages whose bytes are in memory, bounded in bytes and lines."""

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from smsclick._database.engine import Database
from smsclick._importing import files
from smsclick._importing.known_balance import known_balance
from smsclick._importing.records import Problem, Record, read_records
from smsclick._importing.rejected_file import RejectedLines
from smsclick._importing.rows import MESSAGES, Defaults, Row, as_rows
from smsclick._importing.store_rows import Summary, import_rows, try_rows
from smsclick._values.refusals import Refusal, RefusalCode
from smsclick.errors import InvalidField
from worker.sql import audit
from worker.sql.audit import Act

MOST_BYTES: Final = 3_000_000
"""Of a file; larger ones are for `smsclick import`, which reads files of any size."""

MOST_LINES: Final = 10_000
"""Good and bad ones together: so many are stored in a few seconds, within one request."""

MOST_SHOWN: Final = 100
"""Bad lines that a preview names; the others are only counted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was uploaded, and how it is read.

    Attributes:
        content: its bytes.
        name: its name, whose suffix may decide between CSV and JSON lines.
        defaults: for lines without a validity or a zone.
        keys: the beginning of the keys of lines that have none. It is new for each preview, so that the same preview
            can be stored only once.
    """

    content: bytes = dataclasses.field(repr=False)
    name: str
    defaults: Defaults
    keys: str


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a file would do, or has done.

    Attributes:
        summary: its lines by what became of them, and the predicted credits.
        problems: the first bad lines, at most `MOST_SHOWN`.
        balance: the credits that a worker read last; None if none has.
    """

    summary: Summary
    problems: list[Problem]
    balance: int | None


def preview(database: Database, upload: Upload) -> Found:
    """Say what storing the file would do now; stores nothing.

    Raises:
        InvalidField: the file is refused as a whole.
    """
    summary, problems = Summary(), list[Problem]()
    with _rows(upload) as rows:
        try_rows(database, rows, report=_first(problems), summary=summary)
    balance = known_balance(database)
    return Found(summary, problems, None if balance is None else balance[0])


def store(database: Database, upload: Upload, *, actor: str) -> Found:
    """Store the good lines of the file.

    Args:
        database: where they are stored.
        upload: the file; one that was stored before adds nothing.
        actor: who does it, for the audit record.

    Raises:
        InvalidField: the file is refused as a whole, and nothing is stored.
        DatabaseUnavailable: some chunks may be stored; the same upload may be stored again.
    """
    preview(database, upload)  # refuses the whole file before anything of it is stored
    summary, problems = Summary(), list[Problem]()
    record = audit.begin(database, Act.IMPORT, actor, f"{len(upload.content)} bytes")
    counted = 0

    def note(so_far: Summary) -> None:
        nonlocal counted
        added, counted = so_far.stored - counted, so_far.stored
        database.transact(lambda connection: audit.add(connection, record, added))

    with _rows(upload) as rows:
        import_rows(database, rows, report=_first(problems), summary=summary, progress=note)
    return Found(summary, problems, None)


def rejected(database: Database, upload: Upload) -> tuple[str, str]:
    """Return the bad lines with their reasons as a file, and its suffix: `csv` or `jsonl`.

    In a CSV no cell begins like a formula.

    Raises:
        InvalidField: the file is refused as a whole.
    """
    stream = io.StringIO()
    with files.opened(io.BytesIO(upload.content)) as lines:
        records = read_records(lines, MESSAGES, name=upload.name)
        written = RejectedLines(stream, records, safe=True)
        rows = _keyed(as_rows(_bounded(records.rows), upload.defaults), upload.keys)
        try_rows(database, rows, report=written.write, summary=Summary())
    return stream.getvalue(), "csv" if records.form == "csv" else "jsonl"


@contextlib.contextmanager
def _rows(upload: Upload) -> Iterator[Iterator[Row | Problem]]:
    with files.opened(io.BytesIO(upload.content)) as lines:
        records = read_records(lines, MESSAGES, name=upload.name)
        yield _keyed(as_rows(_bounded(records.rows), upload.defaults), upload.keys)


def _bounded(records: Iterable[Record | Problem]) -> Iterator[Record | Problem]:
    for number, each in enumerate(records, 1):
        if number > MOST_LINES:
            raise InvalidField(Refusal.of(RefusalCode.FILE_TOO_MANY_LINES, most=MOST_LINES))
        yield each


def _keyed(rows: Iterable[Row | Problem], keys: str) -> Iterator[Row | Problem]:
    for row in rows:
        if isinstance(row, Row) and not row.keyed:
            yield dataclasses.replace(row, message=dataclasses.replace(row.message, key=f"{keys}-{row.line}"))
        else:
            yield row


def _first(problems: list[Problem]) -> Callable[[Problem], None]:
    def report(problem: Problem) -> None:
        if len(problems) < MOST_SHOWN:
            problems.append(problem)

    return report
