"""Dead letters: broker messages that could not become messages of ours, stored with their content for an operator.

A producer's call by name has no other copy. A call that is proven to be invalid leaves the broker and is stored here;
an operator stores its message after all, or drops it. The table is bounded in rows, in characters of each, and in days.
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
from worker.sql import audit
from worker.sql.audit import Act

ROWS_KEPT: Final = 10_000
"""The most rows; the oldest are deleted first."""

CONTENT_CHARACTERS: Final = 262_144
"""The longest content that is stored; of a longer one only the length is stored."""

CALL: Final = "smsclick.enqueue"
CANCEL: Final = "smsclick.cancel"
CALLS: Final = frozenset({CALL, CANCEL})
"""The tasks that producers call; all others are our wake-ups and ticks."""

_NAME_CHARACTERS: Final = 200
_REASON_CHARACTERS: Final = 300


@dataclasses.dataclass(frozen=True, slots=True)
class DeadLetter:
    """A stored dead letter. `content` may hold a phone and a text."""

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
    """The message that a call by name asks for. A call without a key gets the task's id as its key.

    Args:
        arguments: the keyword arguments, those of `smsclick.enqueue()`.
        task_id: of the call.
        now: the database's clock.
        positional: other arguments; a call with any is refused.
        expires: Celery's option of the call; it ends the message's validity if the arguments do not.

    Raises:
        InvalidMessage: the arguments are not a valid message.
    """
    if positional:
        raise InvalidField("it has positional arguments; call with keyword arguments")
    # A blank key is no key: without the task's id, a redelivered call would be a second message.
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
    """The content of a call, in the form of Celery's message protocol 2."""
    body = json.dumps([list(positional), dict(arguments), {}], default=str)
    headers = {"task": task, "id": task_id, "expires": None if expires is None else str(expires)}
    return {"headers": headers, "body": body}


def broker_content(message: Any) -> dict[str, Any]:  # noqa: ANN401 - kombu's message
    """The content of a broker message, as it was received."""
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
    """Store a dead letter in the caller's transaction, and delete the rows beyond `ROWS_KEPT`.

    Args:
        connection: in a transaction.
        queue: the queue it came from.
        task: the name of the called task.
        task_id: of the call.
        reason: why it could not become a message, without any of its content.
        content: from `call_content` or `broker_content`.

    Returns:
        The dead letter's id.
    """
    text = json.dumps(content, default=str)
    if len(text) > CONTENT_CHARACTERS:
        text = json.dumps({"length": len(text)})
    values = {
        "queue": _named(queue),
        "task": _named(task),
        "task_id": _named(task_id),
        "reason": reason[:_REASON_CHARACTERS],
        "content": text,
    }
    made: Any = connection.execute(sa.insert(dead_letters).values(**values)).inserted_primary_key
    kept = int(made[0])
    connection.execute(sa.delete(dead_letters).where(dead_letters.c.id <= kept - ROWS_KEPT))
    return kept


def listed(database: Database, *, limit: int = 1000) -> Iterator[DeadLetter]:
    """The newest dead letters, newest first."""
    query = sa.select(dead_letters).order_by(dead_letters.c.id.desc()).limit(limit)
    with database.read() as connection:
        yield from (DeadLetter(**row._asdict()) for row in connection.execute(query))


def retry(database: Database, ids: Sequence[int], *, actor: str) -> Iterator[tuple[int, int | SmsclickError]]:
    """Store the messages of dead letters; each one whose message was stored is deleted.

    Args:
        database: where the dead letters are.
        ids: of dead letters.
        actor: who does it, for the audit record.

    Yields:
        Each dead letter's id with the message's id, or with the error that prevents it.
    """
    record = audit.begin(database, Act.DEAD_LETTER_RETRY, actor, f"{len(ids)} named")
    for each in ids:
        now = database.clock()
        try:
            yield each, database.transact(functools.partial(_retry, letter=each, now=now, record=record))
        except SmsclickError as error:
            yield each, error


def drop(database: Database, ids: Sequence[int], *, actor: str) -> int:
    """Delete dead letters, and record that `actor` did it; returns how many there were."""
    with database.begin() as connection:
        dropped = int(connection.execute(sa.delete(dead_letters).where(dead_letters.c.id.in_(ids))).rowcount)
        audit.record(connection, Act.DEAD_LETTER_DROP, actor, count=dropped, detail=f"{len(ids)} named")
        return dropped


def purge(database: Database, days: int) -> int:
    """Delete dead letters older than `days`; returns how many there were."""
    old = dead_letters.c.created_at < database.clock() - dt.timedelta(days=days)
    with database.begin() as connection:
        return int(connection.execute(sa.delete(dead_letters).where(old)).rowcount)


def _retry(connection: sa.Connection, letter: int, now: dt.datetime, record: int) -> int:
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
    audit.add(connection, record, 1)
    return stored.id


def _call(content: Mapping[str, Any]) -> tuple[str, Sequence[object], Mapping[str, Any], object]:
    """The id, the positional and keyword arguments, and `expires` of a stored call."""
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
        raise InvalidMessage(
            "it is not a readable call; `smsclick deadletters list --json` shows its content"
        ) from None
    if task != CALL or not isinstance(arguments, dict) or not isinstance(positional, list):
        raise InvalidMessage(f"it is not a call of {CALL}; `smsclick deadletters list --json` shows its content")
    return str(task_id), positional, arguments, expires


def _in_utc(expires: object) -> object:
    """Celery's `expires` as a time with a zone; without one it is in UTC. What is not a time is returned as it is."""
    if isinstance(expires, str):
        try:
            expires = dt.datetime.fromisoformat(expires)
        except ValueError:
            return expires
    return expires.replace(tzinfo=dt.UTC) if isinstance(expires, dt.datetime) and expires.tzinfo is None else expires


def _named(value: str) -> str:
    """A name from a broker message, shortened and without control characters."""
    return "".join(each for each in value[:_NAME_CHARACTERS] if each.isprintable())
