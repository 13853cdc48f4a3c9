"""Find the messages to one phone, for support: newest first, by an index.

Final messages have an index by phone. Those in progress are looked through by the index of due rows, because each
change of theirs would cost an entry in one more index (docs/decisions/0062-forgotten-people.md).
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.phones import normalize_phone
from smsclick.contract import messages

MOST_FOUND: Final = 1000
_PREFIXES: Final = ("", "+52", "52", "+521", "521", "044", "045", "01", "+52 ", "+52 1 ")


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A message to the phone; its text is left to `message_history`.

    Attributes:
        id: of the message.
        key: of the message.
        state: as it is stored.
        created_at: when it was enqueued.
        sent_at: when the provider accepted it.
        final_at: when it became final.
        id_mensaje: the provider's id.
        reference: the producer's own text.
    """

    id: int
    key: str
    state: str
    created_at: dt.datetime
    sent_at: dt.datetime | None
    final_at: dt.datetime | None
    id_mensaje: int | None
    reference: str | None


_COLUMNS = [messages.c[field.name] for field in dataclasses.fields(Found)]


def by_phone(database: Database, phone: str, *, limit: int = 100, before: int | None = None) -> list[Found]:
    """Return the messages to a phone, newest first.

    Args:
        database: where to look.
        phone: in any usual form. A row that plain SQL stored is found if it holds ten digits, perhaps behind a usual
            prefix, or the phone as it is given here.
        limit: at most so many, up to `MOST_FOUND`.
        before: only messages with a lower id, for the next page.

    Raises:
        InvalidPhone: it is not a Mexican number.
    """
    forms = _forms(phone)
    found: list[Found] = []
    with database.read() as connection:
        for query in _queries(sa.select(*_COLUMNS), forms, min(limit, MOST_FOUND), before):
            found += [Found(*row) for row in connection.execute(query)]
    return sorted(found, key=lambda each: -each.id)[:limit]


def ids_by_phone(connection: sa.Connection, phone: str, *, limit: int, before: int | None = None) -> list[int]:
    """Return only the ids of what `by_phone` finds, newest first.

    Args:
        connection: in a transaction.
        phone: in any usual form.
        limit: at most so many.
        before: only lower ids.

    Raises:
        InvalidPhone: it is not a Mexican number.
    """
    found: list[int] = []
    for query in _queries(sa.select(messages.c.id), _forms(phone), limit, before):
        found += connection.scalars(query)
    return sorted(found, reverse=True)[:limit]


def _forms(phone: str) -> list[str]:
    digits = normalize_phone(phone)
    return sorted({f"{prefix}{digits}" for prefix in _PREFIXES} | {phone.strip()})


def _queries(select: sa.Select[Any], forms: Sequence[str], limit: int, before: int | None) -> Iterator[sa.Select[Any]]:
    """One query for final messages, one for those in progress: the conditions repeat those of the partial indexes."""
    for in_progress in (messages.c.due_at.is_(None), messages.c.due_at.is_not(None)):
        query = select.where(messages.c.phone.in_(forms), messages.c.phone != "", in_progress)
        if before is not None:
            query = query.where(messages.c.id < before)
        yield query.order_by(messages.c.id.desc()).limit(limit)
