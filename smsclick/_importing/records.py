"""Read the records of a file, CSV or JSON lines, in the forms that common programs write. All commands read files here.

A bad line costs only itself: it is reported with its number and a reason, without its content.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal

from smsclick._enqueue.message import canonical
from smsclick._importing.files import LONGEST_LINE, Lines
from smsclick._values.refusals import Names, Refusal, RefusalCode
from smsclick.errors import InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REJECTED_LINE: Final = "rejected_line"
REJECTED_REASON: Final = "rejected_reason"
"""Columns that `import --rejected` adds; the reader skips them, so that the file may be corrected and imported."""

_JSON_SUFFIXES: Final = {".json", ".jsonl", ".ndjson"}
_DELIMITERS: Final = (",", ";", "\t", "|")
_MOST_LINES: Final = 100
"""Of one CSV record. In a longer one a quote was never closed, and the lines after it are records of their own."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,29}")
_SEPARATOR_LINE: Final = re.compile(r"\"?sep=(?P<delimiter>[^\"\r\n])\"?\s*", re.IGNORECASE)
_AS_FORMULA: Final = re.compile(r'="(?P<value>[^"]*)"')
_APOSTROPHE: Final = re.compile(r"['\u2019](?=[+(0-9])")


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """The columns that a file may have.

    Attributes:
        columns: The names of the contract.
        required: The columns that every file must have.
        synonyms: Other names of columns.
        numbers: Columns whose values spreadsheets mark as text, with an apostrophe or as a formula.
        others: What to do with unknown columns.
        alone: The only column of a file without a header; None if there must be a header.
        example: An example of a header, for error lines.
    """

    columns: tuple[str, ...]
    required: tuple[str, ...]
    synonyms: Mapping[str, str]
    numbers: frozenset[str]
    others: Literal["refused", "ignored"]
    alone: str | None
    example: str


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A line that could be read: its values by the contract's names of columns."""

    line: int
    values: dict[str, Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A bad line and why.

    Attributes:
        line: The number of the line.
        refusal: What is wrong, without a phone or text.
        values: The values of a line that could be read.
        raw: The line itself, if it could not be read.
    """

    line: int
    refusal: Refusal
    values: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False, compare=False)
    raw: str | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def reason(self) -> str:
        """What is wrong as an English sentence."""
        return str(self.refusal)


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of a file, in order.

    Attributes:
        form: The format of the file.
        columns: The columns of a CSV, in their order.
        rows: The lines; they can be read once.
    """

    form: Literal["csv", "json"]
    columns: tuple[str, ...]
    rows: Iterator[Record | Problem]


def read_records(lines: Lines, schema: Schema, *, name: str = "") -> Records:
    """Read a file.

    Args:
        lines: The lines, from `smsclick._importing.files.opened`.
        schema: The columns that the file may have.
        name: The name of the file; its suffix decides between JSON lines and CSV if the first line does not.

    Raises:
        InvalidField: The whole file is refused, because it is empty or its header is wrong.
    """
    first = lines.peek_content()
    if first is None:
        raise InvalidField(Refusal.of(RefusalCode.FILE_EMPTY, example=schema.example))
    if first.lstrip().startswith("["):
        raise InvalidField(Refusal.of(RefusalCode.FILE_JSON_ARRAY))
    if first.lstrip().startswith("{") or PurePath(name).suffix.lower() in _JSON_SUFFIXES:
        return Records("json", (), _json_rows(lines, schema))
    names, delimiter = _header(lines, schema)
    shown = tuple(each for each in names if each and not each.startswith("rejected_"))
    return Records("csv", shown, _csv_rows(lines, names, delimiter, schema))


def _json_rows(lines: Lines, schema: Schema) -> Iterator[Record | Problem]:
    while (line := lines.next()) is not None:
        number, text = line
        if text is None:
            yield Problem(number, _too_long())
        elif text.strip():
            yield _json_row(number, text, schema)


def _json_row(number: int, text: str, schema: Schema) -> Record | Problem:
    raw = text.rstrip("\r\n")
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        return Problem(number, Refusal.of(RefusalCode.LINE_NO_JSON, position=error.colno), raw=raw)
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        return Problem(number, Refusal.of(RefusalCode.LINE_UNREADABLE_JSON), raw=raw)
    if not isinstance(record, dict):
        return Problem(number, Refusal.of(RefusalCode.LINE_NO_JSON_OBJECT), raw=raw)
    names = [canonical(each, schema.synonyms) for each in record]
    if wrong := _wrong_names(names, schema):
        return Problem(number, wrong, raw=raw)
    return Record(number, _wanted(zip(names, record.values(), strict=True), schema))


def _header(lines: Lines, schema: Schema) -> tuple[list[str], str]:
    """Return the names of the columns and the delimiter. A wrong header makes every line wrong, so it is refused."""
    line = lines.next()
    text = line[1] if line is not None else None
    delimiter = None
    if text is not None and (said := _SEPARATOR_LINE.fullmatch(text)):
        delimiter = said["delimiter"]  # Excel writes this line for itself
        line = lines.next()
        text = line[1] if line is not None else None
    if line is None or text is None or "\0" in text:
        raise InvalidField(Refusal.of(RefusalCode.FILE_HEADER_UNREADABLE, example=schema.example))
    delimiter = delimiter or max(_DELIMITERS, key=text.count)
    try:
        given = next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        raise InvalidField(Refusal.of(RefusalCode.FILE_HEADER_UNREADABLE, example=schema.example)) from None
    names = [canonical(each, schema.synonyms) for each in given]
    if not set(names) & set(schema.columns):
        if schema.alone is None:
            raise InvalidField(Refusal.of(RefusalCode.FILE_NO_HEADER, names=Names(schema.columns)))
        lines.read_again([line])
        return [schema.alone, *[""] * (len(names) - 1)], delimiter
    filled = len(names)
    while filled > 1 and not names[filled - 1]:
        filled -= 1  # empty columns that a spreadsheet adds
    if wrong := _wrong_names(names[:filled], schema):
        raise InvalidField(wrong)
    if missing := [each for each in schema.required if each not in names]:
        lacks = Refusal.of(RefusalCode.FILE_HEADER_LACKS, names=Names(missing), example=schema.example)
        raise InvalidField(lacks)
    return names, delimiter


def _csv_rows(lines: Lines, names: Sequence[str], delimiter: str, schema: Schema) -> Iterator[Record | Problem]:
    while (record := _record(lines, delimiter)) is not None:
        number, fields, raw = record
        if isinstance(fields, Refusal):
            yield Problem(number, fields, raw=raw)
        elif any(field.strip() for field in fields):
            yield _csv_row(number, fields, names, schema, raw)


def _csv_row(number: int, fields: list[str], names: Sequence[str], schema: Schema, raw: str) -> Record | Problem:
    # One field too many is refused even if it is empty: it may come from a comma in a text without quotes.
    if len(fields) != len(names) and not (schema.alone and len(fields) < len(names)):
        code = RefusalCode.LINE_FEW_FIELDS if len(fields) < len(names) else RefusalCode.LINE_MANY_FIELDS
        return Problem(number, Refusal.of(code, count=len(fields), most=len(names)), raw=raw)
    if any(field.strip() for name, field in zip(names, fields, strict=False) if not name and not schema.alone):
        return Problem(number, Refusal.of(RefusalCode.LINE_NAMELESS_FIELD), raw=raw)
    values = _wanted(zip(names, fields, strict=False), schema)
    for each in schema.numbers & values.keys():
        values[each] = _unmarked(values[each])
    return Record(number, values)


def _unmarked(value: str) -> str:
    """Return the number without the marks of a spreadsheet: '5551402211 or ="5551402211"."""
    value = value.strip()
    if match := _AS_FORMULA.fullmatch(value):
        return match["value"]
    return value[1:] if _APOSTROPHE.match(value) else value


def _record(lines: Lines, delimiter: str) -> tuple[int, list[str] | Refusal, str] | None:
    """Return the next CSV record, which may have several lines, or the reason why it is bad; None at the end.

    After an error only the first line is dropped: the lines that an unclosed quote included are read again.
    """
    read_lines: list[tuple[int, str | None]] = []

    def feed() -> Iterator[str]:
        while len(read_lines) < _MOST_LINES and (line := lines.next()) is not None:
            if line[1] is None and read_lines:
                lines.read_again([line])
                return
            if line[1] is None or line[1].strip() or read_lines:
                read_lines.append(line)
                yield line[1] or ""

    try:
        fields = next(csv.reader(feed(), delimiter=delimiter, strict=True), None)
    except csv.Error as error:
        lines.read_again(read_lines[1:])
        return read_lines[0][0], _csv_problem(error), _raw(read_lines[:1])
    if fields is None:
        return None
    return read_lines[0][0], _too_long() if read_lines[0][1] is None else fields, _raw(read_lines)


def _raw(read_lines: Sequence[tuple[int, str | None]]) -> str:
    return "".join(text or "" for _, text in read_lines).rstrip("\r\n")


def _csv_problem(error: csv.Error) -> Refusal:
    # Python's `csv` has one class for all errors, so only its words tell them apart.
    is_line_end = "new-line" in str(error)
    return Refusal.of(RefusalCode.LINE_CARRIAGE_RETURN if is_line_end else RefusalCode.LINE_QUOTES)


def _wanted(pairs: Iterator[tuple[str, Any]] | zip[tuple[str, Any]], schema: Schema) -> dict[str, Any]:
    return {name: value for name, value in pairs if name in schema.columns}


def _wrong_names(names: Sequence[str], schema: Schema) -> Refusal | None:
    """Return what is wrong with the names of columns. A name that may be a phone or a text is not shown."""
    for position, name in enumerate(names, start=1):
        if name in {REJECTED_LINE, REJECTED_REASON}:
            continue
        if name not in schema.columns:
            if schema.others == "ignored":
                continue
            known = Names(schema.columns)
            if _NAME.fullmatch(name):
                return Refusal.of(RefusalCode.COLUMN_UNKNOWN, name=repr(name), names=known)
            return Refusal.of(RefusalCode.COLUMN_UNKNOWN_HIDDEN, position=position, names=known)
        if name in names[: position - 1]:
            return Refusal.of(RefusalCode.COLUMN_TWICE, name=name)
    return None


def _too_long() -> Refusal:
    return Refusal.of(RefusalCode.LINE_TOO_LONG, most=LONGEST_LINE // 1024)
