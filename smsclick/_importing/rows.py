"""Read the messages of a file line by line: each line becomes a `Row` or a `Problem`."""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

from smsclick._enqueue.message import COLUMNS, SPANISH, NewMessage
from smsclick._importing import files
from smsclick._importing.records import Problem, Record, Schema, read_records
from smsclick.errors import InvalidMessage

MESSAGES: Final = Schema(
    columns=COLUMNS,
    required=("phone", "text"),
    synonyms=SPANISH,
    numbers=frozenset({"phone", "rule_id"}),
    others="refused",
    alone=None,
    example="phone,text,key",
)
"""The columns that a file of messages may have."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A good line.

    Attributes:
        line: The number of the line.
        message: The message of the line.
        keyed: Whether the line had a key.
        values: The columns of the line as they were.
    """

    line: int
    message: NewMessage
    keyed: bool
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Defaults:
    """Values for lines that do not have them.

    Attributes:
        ttl: seconds, for lines without `ttl` and `expires_at`.
        zone: the zone of times that name none.
    """

    ttl: float | None = None
    zone: dt.tzinfo | None = None


_NOTHING: Final = Defaults()


def read_rows(stream: BinaryIO, *, name: str = "", defaults: Defaults = _NOTHING) -> Iterator[Row | Problem]:
    """Read a file line by line, in order.

    Args:
        stream: The file's bytes.
        name: The name of the file; its suffix decides between JSON lines and CSV if the first line does not.
        defaults: Values for lines that do not have them.

    Raises:
        InvalidField: The whole file is refused, because it is empty, or its encoding or its header is wrong.
    """
    with files.opened(stream) as lines:
        yield from as_rows(read_records(lines, MESSAGES, name=name).rows, defaults)


def as_rows(records: Iterable[Record | Problem], defaults: Defaults = _NOTHING) -> Iterator[Row | Problem]:
    """Yield a row, with its message, for each record; a problem if the record cannot be a message."""
    for each in records:
        yield each if isinstance(each, Problem) else _row(each, defaults)


def _row(record: Record, defaults: Defaults) -> Row | Problem:
    values = dict(record.values)
    if defaults.ttl is not None and not any(str(values.get(name) or "").strip() for name in ("ttl", "expires_at")):
        values["ttl"] = defaults.ttl
    try:
        message = NewMessage.from_mapping(values, zone=defaults.zone)
    except InvalidMessage as error:
        return Problem(record.line, error.refusal, values=record.values)
    return Row(record.line, message, bool(str(record.values.get("key") or "").strip()), record.values)
