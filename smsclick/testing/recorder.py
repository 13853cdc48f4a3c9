"""What a test enqueues, and in which database it does."""

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
        name: for a person.
        identity: what only this one has.
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
    # In memory: only this connection of the driver reaches it.
    return _Place("an SQLite in memory", (kind, id(connection.connection.driver_connection)))


@dataclasses.dataclass(slots=True)
class Recorder:
    """What was enqueued while it listened, through `enqueue` and `enqueue_many` of this process.

    Attributes:
        places: of each call.
        keys: of the messages that are new, with the place of each.
    """

    places: list[_Place] = dataclasses.field(default_factory=list)
    keys: dict[str, _Place] = dataclasses.field(default_factory=dict)

    def __call__(self, connection: sa.Connection, new: Sequence[str]) -> None:
        """Called by `enqueue` in the caller's transaction."""
        place = place_of(connection)
        self.places.append(place)
        self.keys.update(dict.fromkeys(new, place))


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """Listens to every `enqueue` of this process until the end of the block."""
    recorder = Recorder()
    observers.append(recorder)
    try:
        yield recorder
    finally:
        observers.remove(recorder)
