"""`smsclick import`: many messages from a CSV file or JSON lines, whatever is wrong with some of the lines.

Lines are read one after the other and stored in chunks, so that a file may be larger than memory. A bad line costs only
itself: it is reported by its number and reason, without its phone or text.
"""

import csv
import dataclasses
import itertools
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, BinaryIO, Final

from smsclick import doorbell
from smsclick.database import Database
from smsclick.enqueue import CHUNK, store
from smsclick.errors import InvalidField, InvalidMessage, KeyConflict
from smsclick.message import COLUMNS, NewMessage, canonical

_JSON_SUFFIXES: Final = {".json", ".jsonl", ".ndjson"}
_DELIMITERS: Final = (",", ";", "\t")
_LONGEST_LINE: Final = 64 * 1024
"""Bytes; no message needs more, and a file without line ends must not fill the memory."""
_MOST_LINES: Final = 100
"""Of one CSV record. Beyond it a quote was never closed, and what follows are records of their own."""

_NOT_UTF8: Final = "not UTF-8: save the file in that encoding"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,29}")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A good line; `keyed` tells whether it brought its key."""

    line: int
    message: NewMessage
    keyed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A bad line and why; the reason holds neither its phone nor its text."""

    line: int
    reason: str


@dataclasses.dataclass(slots=True)
class Summary:
    """What became of a file so far.

    Attributes:
        stored: messages that are new.
        known: lines whose message was there already, by its key.
        refused: bad lines.
        unkeyed: good lines that came without a key.
    """

    stored: int = 0
    known: int = 0
    refused: int = 0
    unkeyed: int = 0


def read_rows(stream: BinaryIO, *, name: str = "") -> Iterator[Row | Problem]:
    """Read a file line by line, in order.

    Args:
        stream: the file's bytes: UTF-8, with or without a byte order mark.
        name: of the file; its suffix helps to tell JSON lines from CSV where the first line does not.

    Raises:
        InvalidField: the file as a whole is none of ours: it is empty, or its header is wrong.
    """
    lines = _Lines(stream)
    first = lines.peek_content()
    if first is None:
        raise InvalidField("the file is empty: a CSV needs a header line like phone,text,key")
    if first.lstrip().startswith("["):
        raise InvalidField("the file is one JSON array: write one JSON object a line instead")
    if first.lstrip().startswith("{") or PurePath(name).suffix.lower() in _JSON_SUFFIXES:
        return _json_rows(lines)
    return _csv_rows(lines)


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
    rings = doorbell.MOST if doorbell.configured() else 0
    each = iter(rows)
    while chunk := list(itertools.islice(each, CHUNK)):
        good = [row for row in chunk if isinstance(row, Row)]
        fresh: list[int] = []
        conflicts: dict[int, Problem] = {}
        if good:
            with database.begin() as connection:
                stored = store(connection, [row.message for row in good])
            for row, result in zip(good, stored, strict=True):
                if result.conflict:
                    conflicts[row.line] = Problem(row.line, str(KeyConflict(row.message.key, result.id)))
                    continue
                summary.stored += result.new
                summary.known += not result.new
                summary.unkeyed += not row.keyed
                if result.new and row.message.send_at is None:
                    fresh.append(result.id)
        for row_or_problem in chunk:
            problem = conflicts.get(row_or_problem.line) if isinstance(row_or_problem, Row) else row_or_problem
            if problem is not None:
                summary.refused += 1
                report(problem)
        if rings and fresh:
            doorbell.ring(fresh[:rings])
            rings -= len(fresh[:rings])
        progress(summary)


class _Lines:
    """Numbered lines that can be pushed back. Bytes that are not UTF-8 become surrogates, which nothing else makes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: deque[tuple[int, str | None]] = deque()
        self._number = 0

    def next(self) -> tuple[int, str | None] | None:
        """The next line with its number; None in the place of one that is too long, and None at the end."""
        if self._waiting:
            return self._waiting.popleft()
        raw = self._stream.readline(_LONGEST_LINE)
        if not raw:
            return None
        self._number += 1
        if len(raw) >= _LONGEST_LINE and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = self._stream.readline(_LONGEST_LINE)
            return self._number, None
        line = raw.decode("utf-8", errors="surrogateescape")
        return self._number, line.removeprefix("\ufeff") if self._number == 1 else line

    def push_back(self, lines: Sequence[tuple[int, str | None]]) -> None:
        """Read these again."""
        self._waiting.extendleft(reversed(lines))

    def peek_content(self) -> str | None:
        """The first line that is not blank; those before it are dropped. None where there is none."""
        while (line := self.next()) is not None:
            if line[1] is None or line[1].strip():
                self.push_back([line])
                return line[1] or ""
        return None


def _json_rows(lines: _Lines) -> Iterator[Row | Problem]:
    while (line := lines.next()) is not None:
        number, text = line
        if text is None:
            yield Problem(number, _too_long())
        elif text.strip():
            yield _json_row(number, text)


def _json_row(number: int, text: str) -> Row | Problem:
    if _SURROGATE.search(text):
        return Problem(number, _NOT_UTF8)
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        return Problem(number, f"not JSON from character {error.colno} on")
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        return Problem(number, "not a JSON object of a message")
    if not isinstance(record, dict):
        return Problem(number, "not a JSON object: write one like {…phone…, …text…, …key…} a line")
    names = [canonical(name) for name in record]
    if wrong := _wrong_names(names):
        return Problem(number, wrong)
    return _row(number, dict(zip(names, record.values(), strict=True)))


def _csv_rows(lines: _Lines) -> Iterator[Row | Problem]:
    names, delimiter = _header(lines)

    def rows() -> Iterator[Row | Problem]:
        while (record := _record(lines, delimiter)) is not None:
            number, fields = record
            if isinstance(fields, str):
                yield Problem(number, fields)
            elif any(_SURROGATE.search(field) for field in fields):
                yield Problem(number, _NOT_UTF8)
            elif len(fields) != len(names):
                hint = "" if len(fields) < len(names) else "; put a text that holds a separator in quotes"
                yield Problem(number, f"{len(fields)} fields where the header has {len(names)}{hint}")
            else:
                yield _row(number, dict(zip(names, fields, strict=True)))

    return rows()


def _header(lines: _Lines) -> tuple[list[str], str]:
    """The columns' names and the delimiter; a wrong header makes every line wrong, so it is refused at once."""
    line = lines.next()
    text = line[1] if line is not None else None
    if text is None or _SURROGATE.search(text) or "\0" in text:
        raise InvalidField(f"the header is {_NOT_UTF8}")
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        names = [canonical(name) for name in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except csv.Error:
        raise InvalidField("the header cannot be read: write one like phone,text,key") from None
    if not set(names) & set(COLUMNS):
        raise InvalidField(f"the first line is no header: it must name columns of {', '.join(COLUMNS)}")
    if wrong := _wrong_names(names):
        raise InvalidField(wrong)
    if missing := [name for name in ("phone", "text") if name not in names]:
        raise InvalidField(f"the header lacks {' and '.join(missing)}: every message needs a phone and a text")
    return names, delimiter


def _record(lines: _Lines, delimiter: str) -> tuple[int, list[str] | str] | None:
    """The next CSV record, which may go over several lines, or the reason why there is none; None at the end.

    After an error only its first line is given up: those that an unclosed quote has swallowed are read again.
    """
    taken: list[tuple[int, str | None]] = []

    def feed() -> Iterator[str]:
        while len(taken) < _MOST_LINES and (line := lines.next()) is not None:
            if line[1] is None and taken:
                lines.push_back([line])
                return
            if line[1] is None or line[1].strip() or taken:
                taken.append(line)
                yield line[1] or ""

    try:
        fields = next(csv.reader(feed(), delimiter=delimiter, strict=True), None)
    except csv.Error as error:
        lines.push_back(taken[1:])
        return taken[0][0], _csv_problem(error)
    if fields is None:
        return None
    return taken[0][0], _too_long() if taken[0][1] is None else fields


def _csv_problem(error: csv.Error) -> str:
    if "new-line" in str(error):
        return "a carriage return outside of quotes"
    return "a quote is not closed, or a quoted field goes on after its end (write quotes inside one twice)"


def _row(number: int, values: Mapping[str, Any]) -> Row | Problem:
    try:
        message = NewMessage.from_mapping(values)
    except InvalidMessage as error:
        return Problem(number, str(error))
    return Row(number, message, keyed=bool(str(values.get("key") or "").strip()))


def _wrong_names(names: Sequence[str]) -> str | None:
    """What is wrong with columns' names. One that may be a phone or a text in the wrong place is not shown."""
    for position, name in enumerate(names, start=1):
        if name not in COLUMNS:
            which = repr(name) if _NAME.fullmatch(name) else f"at position {position}"
            return f"unknown column {which}; there are {', '.join(COLUMNS)}"
        if name in names[: position - 1]:
            return f"the column {name} comes twice"
    return None


def _too_long() -> str:
    return f"longer than {_LONGEST_LINE // 1024} KiB"
