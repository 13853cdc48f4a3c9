"""Store messages set-wise, on any of the databases, and report what became of each.

Nothing is raised for a key that belongs to another message, and nobody is woken up: both are for the caller.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from smsclick._database.columns import db_now
from smsclick._enqueue.message import NewMessage
from smsclick.contract import messages
from smsclick.errors import SmsclickError

CHUNK = 1000
"""Messages of one INSERT."""

_KEY_INDEX = "uq_smsclick_messages_key"


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """What became of one message.

    Attributes:
        id: the id of the row; of the older message if there was one with this key.
        new: whether this call stored the message.
        conflict: whether the older message has another phone or text.
    """

    id: int
    new: bool
    conflict: bool


def store(
    connection: sa.Connection, new: Sequence[NewMessage], traceparents: Mapping[str, str] | None = None
) -> list[Stored]:
    """Store messages and return what became of each. Conflicts are returned, not raised. Wakes nobody up.

    Args:
        connection: in a transaction of the caller.
        new: any number that fits in memory; a key that comes twice is one message.
        traceparents: by key, what the column `traceparent` is to hold; None where nothing is traced.

    Raises:
        SmsclickError: a message was not stored, although no other message had its key.
    """
    first = {message.key: message for message in reversed(new)}
    # In the order of keys: two transactions that store the same keys wait in one order, so they cannot deadlock.
    ordered = [first[key] for key in sorted(first)]
    mine: dict[str, int] = {}
    known: dict[str, Any] = {}
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        inserted, found = _store_chunk(connection, chunk, traceparents)
        mine |= inserted
        known |= found
    stored: list[Stored] = []
    for message in new:
        row = known.get(message.key)
        if row is not None:
            stored.append(Stored(row.id, new=False, conflict=_is_conflict(row, message)))
            continue
        if message.key not in mine:
            raise SmsclickError(f"the message with the key {message.key!r} was not stored; try again")
        stores = first[message.key]
        conflict = stores is not message and (stores.phone, stores.text) != (message.phone, message.text)
        stored.append(Stored(mine[message.key], new=stores is message, conflict=conflict))
    return stored


def look_up(connection: sa.Connection, new: Sequence[NewMessage]) -> list[Stored | None]:
    """Return, for each message, what `store` would find under its key: the older message, or None if it is new."""
    known = _by_key(connection, new)
    return [
        None
        if (row := known.get(message.key)) is None
        else Stored(row.id, new=False, conflict=_is_conflict(row, message))
        for message in new
    ]


def _is_conflict(row: Any, message: NewMessage) -> bool:  # noqa: ANN401 - a Row, whose columns no type can name
    # An erased message has no content left to compare; its key still belongs to it.
    return row.erased_at is None and (row.phone, row.text) != (message.phone, message.text)


def _store_chunk(
    connection: sa.Connection, new: Sequence[NewMessage], traceparents: Mapping[str, str] | None
) -> tuple[dict[str, int], dict[str, Any]]:
    """Store the messages whose keys are free.

    Args:
        connection: as in `store`.
        new: messages with different keys.
        traceparents: as in `store`.

    Returns:
        The ids of the messages that this call stored, by key, and the rows of the others, by key.
    """
    new = _from_now(connection, new)
    if connection.dialect.name == "postgresql":
        insert = _insert_arrays(traced=traceparents is not None)
        mine = {row.key: row.id for row in connection.execute(insert, _arrays(new, traceparents))}
        return mine, _by_key(connection, [message for message in new if message.key not in mine])
    if connection.dialect.name == "sqlite":
        # Lock the database for writing: a transaction that reads first and writes later fails instead of waiting.
        connection.execute(sa.update(messages).where(sa.false()).values(key=messages.c.key))
    before = _by_key(connection, new)
    fresh = [message for message in new if message.key not in before]
    if not fresh:
        return {}, before
    _insert(connection, fresh, traceparents)
    after = _by_key(connection, fresh)
    if unseen := [message for message in fresh if message.key not in after]:
        before |= _by_key(connection, unseen, unseen=True)
    # Another transaction may have stored one of these keys since: a row with other content is surely not ours.
    mine = {}
    for message in fresh:
        row = after.get(message.key)
        if row is not None and (row.phone, row.text) == (message.phone, message.text):
            mine[message.key] = row.id
        elif row is not None:
            before[message.key] = row
    return mine, before


def _from_now(connection: sa.Connection, new: Sequence[NewMessage]) -> Sequence[NewMessage]:
    """Make `expires_at` of a `ttl` by the database's clock, which also ends it: the producer's clock may be wrong."""
    if all(message.valid_for is None for message in new):
        return new
    now = connection.execute(sa.select(db_now())).scalar_one()
    return [
        message if message.valid_for is None else dataclasses.replace(message, expires_at=now + message.valid_for)
        for message in new
    ]


def _by_key(connection: sa.Connection, new: Sequence[NewMessage], *, unseen: bool = False) -> dict[str, Any]:
    """Return the rows that have the keys of `new`, by key.

    Args:
        connection: as in `store`.
        new: the messages.
        unseen: read rows that are not in the snapshot of the caller's transaction (MariaDB, MySQL), because others
            committed them since it began. A locking read sees them. Use it only for keys that exist, and by their
            index: for a missing key it would lock the gap, and producers of neighbouring keys would wait for each
            other forever.
    """
    if not new:
        return {}
    keys = [message.key for message in new]
    query = sa.select(messages.c.id, messages.c.key, messages.c.phone, messages.c.text, messages.c.erased_at)
    if connection.dialect.name == "postgresql":
        query = query.where(messages.c.key == sa.any_(sa.bindparam("keys", keys, type_=postgresql.ARRAY(sa.Text()))))
    else:
        query = query.where(messages.c.key.in_(keys))
    if unseen:
        by_key = f"FORCE INDEX ({_KEY_INDEX})"
        query = query.with_hint(messages, by_key, "mysql").with_hint(messages, by_key, "mariadb")
        query = query.with_for_update(read=True)
    return {row.key: row for row in connection.execute(query)}


def _insert(connection: sa.Connection, new: Sequence[NewMessage], traceparents: Mapping[str, str] | None) -> None:
    """Insert messages whose keys were free just now; skip those whose keys are in use by now."""
    rows: list[dict[str, object]] = [{name: getattr(message, name) for name in _COLUMNS} for message in new]
    columns = _COLUMNS
    if traceparents is not None:
        columns = (*_COLUMNS, _TRACEPARENT)
        rows = [row | {_TRACEPARENT: traceparents.get(message.key)} for row, message in zip(rows, new, strict=True)]
    values: dict[str, Any] = {name: sa.bindparam(name, type_=messages.c[name].type) for name in columns}
    match connection.dialect.name:
        case "sqlite":
            due = sa.func.coalesce(values["send_at"], db_now())
            skip = sqlite.insert(messages).values(**values, due_at=due).on_conflict_do_nothing(index_elements=["key"])
            connection.execute(skip, rows)
        case "mysql" | "mariadb":
            if any(message.send_at for message in new):
                # As a plain value: the drivers combine rows into one statement only if there are no functions in it.
                now = connection.execute(sa.select(db_now())).scalar_one()
                values["due_at"] = sa.bindparam("due_at", type_=messages.c.due_at.type)
                rows = [row | {"due_at": row["send_at"] or now} for row in rows]
            # Not INSERT IGNORE, which would also hide values that do not fit.
            insert = mysql.insert(messages).values(**values)
            connection.execute(insert.on_duplicate_key_update(id=messages.c.id), rows)
        case other:
            raise SmsclickError(f"{other}: not one of SQLite, PostgreSQL, MariaDB or MySQL")


_COLUMNS = tuple(field.name for field in dataclasses.fields(NewMessage) if field.name != "valid_for")
_TRACEPARENT = "traceparent"


@functools.cache
def _insert_arrays(*, traced: bool) -> sa.Executable:
    """Return one INSERT for any number of rows, with an array for each column: the fastest way of every driver."""
    names = (*_COLUMNS, _TRACEPARENT) if traced else _COLUMNS
    types = {
        name: sa.Text() if isinstance(messages.c[name].type, sa.String) else messages.c[name].type for name in names
    }
    arrays = [sa.bindparam(name, type_=postgresql.ARRAY(types[name])) for name in names]
    columns = [sa.column(name, types[name]) for name in names]
    new = sa.func.unnest(*arrays).table_valued(*columns, name="new").render_derived()
    rows = sa.select(*(new.c[name] for name in names), sa.func.coalesce(new.c.send_at, db_now()))
    return (
        postgresql.insert(messages)
        .from_select([*names, "due_at"], rows, include_defaults=False)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(messages.c.id, messages.c.key)
    )


def _arrays(new: Sequence[NewMessage], traceparents: Mapping[str, str] | None) -> dict[str, list[object]]:
    arrays: dict[str, list[object]] = {name: [getattr(message, name) for message in new] for name in _COLUMNS}
    if traceparents is not None:
        arrays[_TRACEPARENT] = [traceparents.get(message.key) for message in new]
    return arrays
