"""List messages, the newest first, page by page; the cost of a page does not grow with the table."""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import State, messages
from worker.operator import finding
from worker.operator.exporting import FIELDS
from worker.sql import readable
from worker.sql.readable import Values

_ROWS_PER_STATEMENT: Final = 900
"""MariaDB reads more than a thousand ids through a table that it makes for them."""

MOST_ROWS_LOOKED_AT: Final = 20_000
"""Rows of the table that one page looks at. With a rare filter a page can be empty and the list still goes on."""

_LONGEST_TRANSACTION: Final = dt.timedelta(days=1)
"""Ids follow the time of storing but for transactions that took this long, so older rows end a list by time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """Which messages are listed; a filter that is None or empty lets all pass.

    Attributes:
        key: the message with this key.
        phone: messages to this phone, in any usual form.
        states: messages in one of these states now.
        reference: messages with exactly this reference.
        since: messages stored at this time or later.
        until: messages stored at this time or earlier.
    """

    key: str | None = None
    phone: str | None = dataclasses.field(default=None, repr=False)
    states: Collection[State] = ()
    reference: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def any_filter(self) -> bool:
        """Whether rows must be looked at to know if they are listed; a key and a phone are found by an index."""
        return bool(self.states) or any(each is not None for each in (self.reference, self.since, self.until))


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One part of a list.

    Attributes:
        records: the messages by the contract's field names; an odd value is replaced by a word.
        before: give this as `before` for the next page; None after the last one.
    """

    records: list[dict[str, Any]] = dataclasses.field(repr=False)
    before: int | None


def read(
    database: Database,
    filters: Filters,
    *,
    limit: int,
    before: int | None = None,
    most_rows: int = MOST_ROWS_LOOKED_AT,
) -> Page:
    """Return up to `limit` messages with ids below `before`, the newest first.

    Args:
        database: where the messages are.
        filters: which messages.
        limit: at least 1.
        before: only ids below it; None starts with the newest message.
        most_rows: rows of the table that this page looks at, about.
    """
    found: list[int] = []
    # Without a filter the next rows are the page, and one more says that the list goes on.
    window = _ROWS_PER_STATEMENT if filters.any_filter else min(limit + 1, _ROWS_PER_STATEMENT)
    with database.read() as connection:
        looked_at = 0
        while looked_at < most_rows:
            ids = _window(connection, filters, before, window)
            looked_at += len(ids)
            looked_for = _candidates(connection, ids, filters)
            rows = readable.read(connection, looked_for, _LOOKED_AT) if looked_for else {}
            wanted = [each for each in looked_for if each in rows and _passes(rows[each], filters)]
            room = limit - len(found)
            found += wanted[:room]
            if len(wanted) > room:
                before = found[-1]
                break
            if len(ids) < window or _ends(rows.values(), filters):
                before = None
                break
            before = ids[-1]
            if len(found) == limit:
                break
        return Page(records_of(connection, found), before)


def records_of(connection: sa.Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return messages by the contract's field names, in the order of their ids here; those that are gone are left out.

    Args:
        connection: in a transaction.
        ids: of a page of messages.
    """
    columns = [messages.c[field] for field in FIELDS]
    values = readable.read(connection, ids, columns) if ids else {}
    return [{name: readable.shown(value) for name, value in values[each].items()} for each in ids if each in values]


_LOOKED_AT: Final = (messages.c.key, messages.c.state, messages.c.reference, messages.c.created_at)


def _window(connection: sa.Connection, filters: Filters, before: int | None, limit: int) -> list[int]:
    """Return the next ids; by key and by phone there are indexes."""
    if filters.phone is not None:
        return finding.ids_by_phone(connection, filters.phone, limit=limit, before=before)
    query = sa.select(messages.c.id)
    if filters.key is not None:
        query = query.where(messages.c.key == filters.key)
    if before is not None:
        query = query.where(messages.c.id < before)
    return list(connection.scalars(query.order_by(messages.c.id.desc()).limit(limit)))


def _candidates(connection: sa.Connection, ids: list[int], filters: Filters) -> list[int]:
    """Return the ids that may pass: the database compares state and reference, so that few rows are read.

    With `since`, all rows are read, because the list ends at the first part that is too old.
    """
    if not ids or filters.since is not None or not (filters.states or filters.reference is not None):
        return ids
    query = sa.select(messages.c.id).where(messages.c.id.in_(ids))
    if filters.states:
        query = query.where(messages.c.state.in_([str(each) for each in filters.states]))
    if filters.reference is not None:
        query = query.where(messages.c.reference == filters.reference)
    return sorted(connection.scalars(query), reverse=True)


def _passes(row: Values, filters: Filters) -> bool:
    stored = row["created_at"]
    if not isinstance(stored, dt.datetime):
        # Nobody can read when it was stored, so only a list of all times has it.
        in_time = filters.since is None and filters.until is None
    else:
        in_time = (filters.since is None or stored >= filters.since) and (
            filters.until is None or stored <= filters.until
        )
    return (
        in_time
        and (filters.key is None or row["key"] == filters.key)
        and (not filters.states or row["state"] in filters.states)
        and (filters.reference is None or row["reference"] == filters.reference)
    )


def _ends(rows: Iterable[Values], filters: Filters) -> bool:
    """Whether everything further is surely too old."""
    if filters.since is None:
        return False
    oldest = filters.since - _LONGEST_TRANSACTION
    return all(isinstance(row["created_at"], dt.datetime) and row["created_at"] < oldest for row in rows)
