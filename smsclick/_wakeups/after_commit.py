"""Wake the workers up for the messages of a transaction once it is committed, and only then.

The transaction of the connection counts, not that of the session: a session may be inside a savepoint, may have joined
a transaction of its caller, or may commit in two phases. So this module listens to the events of the connection.
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
        ids: the messages to wake the workers for; only the first ones where there are many.
        savepoints: for each open savepoint, the number of ids when it began. A savepoint that began before the first
            id is not in the list.
    """

    ids: list[int] = dataclasses.field(default_factory=list)
    savepoints: list[int] = dataclasses.field(default_factory=list)


_pending: "weakref.WeakKeyDictionary[sa.Connection, _Pending]" = weakref.WeakKeyDictionary()
_listened: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()
_lock = threading.Lock()


def wake(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Wake the workers up when the connection's transaction is committed; at once if the connection autocommits.

    Args:
        connection: the connection that wrote the messages.
        ids: the ids of the messages.
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
    # After so many ids the workers find the others themselves. This bounds the memory of a long transaction.
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
    """SQLAlchemy calls this just before the commit, so the publisher waits until the transaction is over."""
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
