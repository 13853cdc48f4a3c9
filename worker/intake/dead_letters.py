"""Dead letters: broker messages that could not become messages of ours, kept with their content until somebody decides.

A call by name is the only copy of what its producer wanted. What is proven to be no call, or no valid one, leaves the
broker and is kept here; an operator looks at it, stores it after all or drops it. The table has a bound in rows, in
bytes of each and in days.
"""

import base64
import dataclasses
import datetime as dt
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._enqueue.message import NewMessage, canonical
from smsclick._enqueue.store import store
from smsclick.contract import dead_letters
from smsclick.errors import InvalidField, InvalidMessage, KeyConflict, SmsclickError

MOST: Final = 10_000
"""Rows that are kept; the oldest goes first."""

LARGEST: Final = 262_144
"""Characters of a content that is kept whole; of a larger one only the length is."""

CALL: Final = "smsclick.enqueue"
CANCEL: Final = "smsclick.cancel"
CALLS: Final = frozenset({CALL, CANCEL})
"""The tasks that producers call; all others are wake-ups and ticks of ours."""
_NAMED: Final = 200
_REASON: Final = 300


@dataclasses.dataclass(frozen=True, slots=True)
class DeadLetter:
    """One of them. `content` holds a phone and a text where there were any."""

    id: int
    created_at: dt.datetime
    queue: str
    task: str
    task_id: str
    reason: str
    content: str


def message_of(
    arguments: Mapping[str, Any],
    *,
    task_id: str,
    now: dt.datetime,
    positional: Sequence[object] = (),
    expires: object = None,
) -> NewMessage:
    """The message that a call by name asks for; the task's id is its key where it has none.

    Args:
        arguments: the keyword arguments, as `enqueue` has them.
        task_id: of the call.
        now: the database's clock.
        positional: other arguments; a call with any is refused.
        expires: Celery's option of the call; the message's validity ends then, where the call says nothing else of it.

    Raises:
        InvalidMessage: it cannot be a message.
    """
    if positional:
        raise InvalidField("it has positional arguments; call with keyword arguments")
    # A key of blanks is none: without the task's id a redelivered call would be a second message.
    blank = {name for name, value in arguments.items() if isinstance(value, str) and not value.strip()}
    given = {name: value for name, value in arguments.items() if value is not None and name not in blank}
    if "key" not in map(canonical, given):
        given["key"] = task_id
    if expires is not None and not {"expires_at", "ttl"} & set(map(canonical, given)):
        given["expires_at"] = _in_utc(expires)
    return NewMessage.from_mapping(given, now=now)


def call_content(
    task_id: str,
    arguments: Mapping[str, Any],
    positional: Sequence[object] = (),
    expires: object = None,
    *,
    task: str = CALL,
) -> dict[str, Any]:
    """A call's content as the broker has it, in Celery's message protocol 2."""
    body = json.dumps([list(positional), dict(arguments), {}], default=str)
    headers = {"task": task, "id": task_id, "expires": None if expires is None else str(expires)}
    return {"headers": headers, "body": body}


def broker_content(message: Any) -> dict[str, Any]:  # noqa: ANN401 - kombu's message
    """The content of a message as it came from the broker."""
    body = message.body
    if isinstance(body, memoryview):
        body = body.tobytes()
    if isinstance(body, bytes):
        try:
            body = body.decode()
        except UnicodeDecodeError:
            return {"headers": message.headers, "body_base64": base64.b64encode(body).decode("ascii")}
    return {"headers": message.headers, "body": body if isinstance(body, str) else json.dumps(body, default=str)}


def keep(
    connection: sa.Connection, *, queue: str, task: str, task_id: str, reason: str, content: Mapping[str, Any]
) -> int:
    """Store one in the caller's transaction, and remove what the table has beyond its bound.

    Args:
        connection: with a transaction.
        queue: where it came from.
        task: the name that it called.
        task_id: of the call.
        reason: why it could not be a message, in words of ours.
        content: what `call_content` or `broker_content` gave.

    Returns:
        Its id.
    """
    text = json.dumps(content, default=str)
    if len(text) > LARGEST:
        text = json.dumps({"length": len(text)})
    values = {
        "queue": _named(queue),
        "task": _named(task),
        "task_id": _named(task_id),
        "reason": reason[:_REASON],
        "content": text,
    }
    made: Any = connection.execute(sa.insert(dead_letters).values(**values)).inserted_primary_key
    kept = int(made[0])
    connection.execute(sa.delete(dead_letters).where(dead_letters.c.id <= kept - MOST))
    return kept


def listed(database: Database, *, limit: int = 1000) -> Iterator[DeadLetter]:
    """The newest of them, newest first."""
    query = sa.select(dead_letters).order_by(dead_letters.c.id.desc()).limit(limit)
    with database.read() as connection:
        yield from (DeadLetter(**row._asdict()) for row in connection.execute(query))


def retry(database: Database, ids: Sequence[int]) -> Iterator[tuple[int, int | SmsclickError]]:
    """Store the messages of these calls after all; a call that is a message by now is no dead letter any more.

    Args:
        database: where they are.
        ids: of dead letters.

    Yields:
        Each dead letter's id with the message's id, or with what still stands against it.
    """
    for each in ids:
        now = database.clock()
        try:
            yield each, database.transact(functools.partial(_retry, letter=each, now=now))
        except SmsclickError as error:
            yield each, error


def drop(database: Database, ids: Sequence[int]) -> int:
    """Remove them; returns how many there were."""
    with database.begin() as connection:
        return int(connection.execute(sa.delete(dead_letters).where(dead_letters.c.id.in_(ids))).rowcount)


def purge(database: Database, days: int) -> int:
    """Remove what is older than so many days; returns how many there were."""
    old = dead_letters.c.created_at < database.clock() - dt.timedelta(days=days)
    with database.begin() as connection:
        return int(connection.execute(sa.delete(dead_letters).where(old)).rowcount)


def _retry(connection: sa.Connection, letter: int, now: dt.datetime) -> int:
    query = sa.select(dead_letters.c.content).where(dead_letters.c.id == letter).with_for_update()
    content = connection.execute(query).scalar_one_or_none()
    if content is None:
        raise InvalidField("there is no such dead letter")
    task_id, positional, arguments, expires = _call(json.loads(content))
    message = message_of(arguments, task_id=task_id, now=now, positional=positional, expires=expires)
    stored = store(connection, [message])[0]
    if stored.conflict:
        raise KeyConflict(message.key, stored.id)
    connection.execute(sa.delete(dead_letters).where(dead_letters.c.id == letter))
    return stored.id


def _call(content: Mapping[str, Any]) -> tuple[str, Sequence[object], Mapping[str, Any], object]:
    """The id, the arguments and the end of a kept call."""
    headers = content.get("headers") or {}
    try:
        body = json.loads(content["body"])
        if isinstance(body, dict):  # protocol 1
            task, task_id, expires = body["task"], body["id"], body.get("expires")
            positional, arguments = body.get("args") or [], body.get("kwargs") or {}
        else:
            task, task_id, expires = headers["task"], headers["id"], headers.get("expires")
            positional, arguments = body[0], body[1]
    except (KeyError, LookupError, TypeError, ValueError):
        raise InvalidMessage("it is no call that could be read; its content is shown by --json") from None
    if task != CALL or not isinstance(arguments, dict) or not isinstance(positional, list):
        raise InvalidMessage(f"it is no call of {CALL}; its content is shown by --json")
    return str(task_id), positional, arguments, expires


def _in_utc(expires: object) -> object:
    """Celery's `expires`, which without a zone is in UTC."""
    if isinstance(expires, str):
        try:
            expires = dt.datetime.fromisoformat(expires)
        except ValueError:
            return expires
    return expires.replace(tzinfo=dt.UTC) if isinstance(expires, dt.datetime) and expires.tzinfo is None else expires


def _named(value: str) -> str:
    return "".join(each for each in value[:_NAMED] if each.isprintable())
