"""Record what a test enqueues, and in which database."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._enqueue.observers import observers


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """A database, or a schema in it: two connections to the same one have equal places.

    Attributes:
        name: the name for a person.
        identity: values that no other database has.
    """

    name: str
    identity: tuple[Any, ...] = dataclasses.field(repr=False)


_WHO = {
    "postgresql": "SELECT current_database(), to_regclass('smsclick_messages')::oid, pg_postmaster_start_time()",
    "mysql": "SELECT DATABASE(), @@hostname, @@port",
    "mariadb": "SELECT DATABASE(), @@hostname, @@port",
    "sqlite": "SELECT file FROM pragma_database_list WHERE name = 'main'",
}


def place_of(connection: sa.Connection) -> _Place:
    """Return the database that a connection leads to."""
    kind = connection.dialect.name
    answer = connection.exec_driver_sql(_WHO[kind]).one()
    if answer[0]:
        return _Place(f"{kind} {answer[0]}", (kind, *answer))
    # In memory: only this connection of the driver can use it.
    return _Place("an SQLite in memory", (kind, id(connection.connection.driver_connection)))


@dataclasses.dataclass(slots=True)
class Recorder:
    """What was enqueued through `enqueue` and `enqueue_many` of this process while the recorder was active.

    Attributes:
        places: the database of each call.
        keys: the keys of new messages, with the database of each.
    """

    places: list[_Place] = dataclasses.field(default_factory=list)
    keys: dict[str, _Place] = dataclasses.field(default_factory=dict)

    def __call__(self, connection: sa.Connection, new: Sequence[str]) -> None:
        """Record a call; `enqueue` calls this in the caller's transaction."""
        place = place_of(connection)
        self.places.append(place)
        self.keys.update(dict.fromkeys(new, place))


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """Record every `enqueue` of this process until the end of the block."""
    recorder = Recorder()
    observers.append(recorder)
    try:
        yield recorder
    finally:
        observers.remove(recorder)
