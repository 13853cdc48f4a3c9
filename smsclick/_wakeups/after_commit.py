"""Ring the doorbell for what a transaction enqueued, once it is committed and only then.

It is the connection's transaction that counts, not the session's: a session may stand in a savepoint, be joined into a
transaction of its caller, or commit in two phases. So the connection is listened to, whoever drives it.
"""

import dataclasses
import threading
import weakref
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import event

from smsclick._wakeups import publisher


@dataclasses.dataclass(slots=True)
class _Pending:
    """What a connection's transaction has enqueued so far.

    Attributes:
        ids: to ring for; the first of them only, where they are many.
        savepoints: how many ids were there when each savepoint began that is open now; those that began before the
            first id are not among them.
    """

    ids: list[int] = dataclasses.field(default_factory=list)
    savepoints: list[int] = dataclasses.field(default_factory=list)


_pending: "weakref.WeakKeyDictionary[sa.Connection, _Pending]" = weakref.WeakKeyDictionary()
_listened: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()
_lock = threading.Lock()


def wake(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Ring for these messages when the connection's transaction is committed; at once where each statement is.

    Args:
        connection: that they were written through.
        ids: of the messages.
    """
    if not ids or not publisher.configured():
        return
    if _autocommits(connection):
        publisher.wake(ids)
        return
    _listen(connection.engine)
    pending = _pending.get(connection)
    if pending is None:
        pending = _pending[connection] = _Pending()
    # After so many the workers find the rest by themselves, and the memory of a long transaction stays small.
    pending.ids += ids[: max(0, publisher.MOST - len(pending.ids))]


def _autocommits(connection: sa.Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return not getattr(connection.connection.dbapi_connection, "in_transaction", True)
    detect = getattr(connection.dialect, "detect_autocommit_setting", None)  # SQLAlchemy 2.0.43
    try:
        return detect is not None and bool(detect(connection.connection.dbapi_connection))
    except NotImplementedError:
        return False


def _listen(engine: sa.Engine) -> None:
    with _lock:
        if engine in _listened:
            return
        _listened.add(engine)
    event.listen(engine, "savepoint", _savepoint)
    event.listen(engine, "release_savepoint", _savepoint_released)
    event.listen(engine, "rollback_savepoint", _savepoint_rolled_back)
    event.listen(engine, "commit", _committing)
    event.listen(engine, "commit_twophase", _committing)
    event.listen(engine, "rollback", _rolled_back)
    event.listen(engine, "rollback_twophase", _rolled_back)


def _committing(connection: sa.Connection, *_: object) -> None:
    """Comes just before the commit, so the bell watches the transaction until it is over."""
    pending = _pending.pop(connection, None)
    if pending is not None:
        publisher.wake(pending.ids, after=connection.get_transaction())


def _rolled_back(connection: sa.Connection, *_: object) -> None:
    _pending.pop(connection, None)


def _savepoint(connection: sa.Connection, _name: str | None) -> None:
    if (pending := _pending.get(connection)) is not None:
        pending.savepoints.append(len(pending.ids))


def _savepoint_released(connection: sa.Connection, *_: object) -> None:
    pending = _pending.get(connection)
    if pending is not None and pending.savepoints:
        pending.savepoints.pop()


def _savepoint_rolled_back(connection: sa.Connection, *_: object) -> None:
    if (pending := _pending.get(connection)) is not None:
        del pending.ids[pending.savepoints.pop() if pending.savepoints else 0 :]
