"""Store the rows of a file in chunks, or only find out what storing them would do."""

import contextlib
import dataclasses
import itertools
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence

from smsclick._database.engine import Database
from smsclick._enqueue.store import CHUNK, Stored, look_up, store
from smsclick._importing.records import Problem
from smsclick._importing.rows import Row
from smsclick._values.refusals import Refusal, RefusalCode
from smsclick._values.texts import predict_credits
from smsclick._wakeups import publisher
from smsclick.errors import KeyConflict


@dataclasses.dataclass(slots=True)
class Summary:
    """What became of the lines of a file so far.

    Attributes:
        stored: new messages; in a dry run: messages that would be new.
        known: lines whose message was stored before, by its key.
        refused: bad lines.
        unkeyed: good lines without a key.
        credits: the credits that the new messages will probably cost.
    """

    stored: int = 0
    known: int = 0
    refused: int = 0
    unkeyed: int = 0
    credits: int = dataclasses.field(default=0, compare=False)


def import_rows(
    database: Database,
    rows: Iterable[Row | Problem],
    *,
    report: Callable[[Problem], None],
    summary: Summary,
    progress: Callable[[Summary], None] = lambda _: None,
) -> None:
    """Store the good lines, each chunk in a transaction of its own, and wake the workers up for them.

    Args:
        database: the database that stores the messages.
        rows: the rows, from `read_rows`.
        report: called with each bad line.
        summary: updated after each chunk, so that it also shows how far the import came before an error.
        progress: called after each chunk.

    Raises:
        DatabaseUnavailable: the chunks before the error are stored; the same file may be imported again.
        DatabaseNotMigrated: nothing is stored.
    """
    wakeups_left = publisher.MOST if publisher.configured() else 0
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
        if wakeups_left and fresh:
            publisher.wake(fresh[:wakeups_left])
            wakeups_left -= len(fresh[:wakeups_left])
        progress(summary)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block, so that stored lines are counted; a second Ctrl-C does not wait."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # not a person's terminal, or a program with a handler of its own
        return
    pressed = False

    def press(_number: int, _frame: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    try:
        signal.signal(signal.SIGINT, press)
    except ValueError:  # only the main thread can be interrupted
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
    """Do what `import_rows` does, but store nothing: the summary is the one that an import would have now."""
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
    """Add a chunk to the summary, and report its bad lines in order."""
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


def _conflict(row: Row, result: Stored) -> Refusal:
    if result.id:
        return KeyConflict(row.message.key, result.id).refusal
    return Refusal.of(RefusalCode.KEY_TWICE, key=repr(row.message.key))
