"""Read what a test enqueued, through the app's own transaction; works with any test runner."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from smsclick._values.phones import normalize_phone
from smsclick._wakeups import publisher
from smsclick.contract import callbacks, events, messages
from smsclick.errors import SmsclickError
from smsclick.testing.enqueued import COLUMNS, Enqueued, enqueued
from smsclick.testing.recorder import Recorder, place_of, recording

Bind = (
    Session
    | scoped_session[Any]
    | sa.Connection
    | sa.Engine
    | Callable[[], contextlib.AbstractContextManager[sa.Connection]]
)
"""What an outbox reads through; the last form is for frameworks with connections of their own, such as Django."""

_KEYS_OF_ONE_DELETE = 500


class Outbox:
    """The messages of a test, read again by each method.

    Every method raises `SmsclickError` if the test enqueued in another database than this one, because the rows here
    would then say nothing about the app.

    Args:
        bind: a session or connection shows the messages of its transaction, committed or not; an engine shows
            committed messages.
        recorder: the recorder of the test; without it other databases are not noticed and nothing is removed.
    """

    def __init__(self, bind: Bind, *, recorder: Recorder | None = None) -> None:
        self._bind = bind
        self._recorder = recorder or Recorder()

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        try:
            return f"<Outbox: {_listed(self.messages)}>"
        except SmsclickError as error:
            return f"<Outbox: {error}>"

    @property
    def messages(self) -> list[Enqueued]:
        """All messages, in the order in which they were enqueued."""
        with self._connection() as connection:
            self._require_same_database(connection)
            rows = connection.execute(sa.select(*COLUMNS).order_by(messages.c.id)).all()
        return [enqueued(row) for row in rows]

    def to(self, phone: str | int) -> list[Enqueued]:
        """Return the messages to a phone, which may be given in any usual form."""
        digits = normalize_phone(phone)
        return [message for message in self.messages if message.phone == digits]

    def one(self, *, to: str | int | None = None, key: str | None = None, containing: str | None = None) -> Enqueued:
        """Return the only message that matches.

        Args:
            to: the phone of the message.
            key: the key of the message.
            containing: a part of its text.

        Raises:
            AssertionError: no message matches, or more than one.
        """
        __tracebackhide__ = True
        digits = None if to is None else normalize_phone(to)
        there = self.messages
        found = [
            message
            for message in there
            if digits in {None, message.phone}
            and key in {None, message.key}
            and (containing is None or containing in message.text)
        ]
        if len(found) != 1:
            wanted = ", ".join(f"{n}={v!r}" for n, v in (("to", to), ("key", key), ("containing", containing)) if v)
            raise AssertionError(f"{len(found)} messages instead of one ({wanted}); enqueued: {_listed(there)}")
        return found[0]

    def assert_empty(self) -> None:
        """Raise `AssertionError` if there is a message."""
        __tracebackhide__ = True
        if there := self.messages:
            raise AssertionError(f"nothing was to be enqueued; there is: {_listed(there)}")

    def clear(self) -> None:
        """Remove all messages of this database that the bind can see, also those of others.

        Through an engine, or a function such as `smsclick.django.connected`, this is committed. Through a session or
        connection it is a part of the transaction.
        """
        with self._connection() as connection:
            self._require_same_database(connection)
            _delete(connection, None)
            if not isinstance(self._bind, Session | scoped_session | sa.Connection):
                connection.commit()

    def remove_committed(self) -> None:
        """Remove the messages that this test enqueued and committed, so that the next test does not find them.

        Nothing is removed for a connection, or a session bound to one: such a test rolls its transaction back.
        """
        bind: Any = self._bind
        if isinstance(bind, Session | scoped_session):
            engine = bind.get_bind(clause=messages)
            if not isinstance(engine, sa.Engine):
                return
            bind.rollback()  # its locks would make the next statement wait
            bind = engine
        if isinstance(bind, sa.Connection) or not self._recorder.keys:
            return
        with bind.connect() if isinstance(bind, sa.Engine) else bind() as connection:
            place = place_of(connection)
            keys = [key for key, its_place in self._recorder.keys.items() if its_place == place]
            for start in range(0, len(keys), _KEYS_OF_ONE_DELETE):
                _delete(connection, keys[start : start + _KEYS_OF_ONE_DELETE])
            connection.commit()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        if isinstance(self._bind, sa.Connection):
            yield self._bind
        elif isinstance(self._bind, Session | scoped_session):
            yield self._bind.connection(bind_arguments={"clause": messages})
        else:
            with self._bind.connect() if isinstance(self._bind, sa.Engine) else self._bind() as connection:
                yield connection

    def _require_same_database(self, connection: sa.Connection) -> None:
        if not self._recorder.places:
            return
        here = place_of(connection)
        for there in self._recorder.places:
            if there != here:
                raise SmsclickError(
                    f"the outbox looks at {here.name}, but the test has enqueued in {there.name}: give the outbox "
                    "(with pytest: the fixture smsclick_bind) the session, connection or engine that the app uses"
                )


@contextlib.contextmanager
def outbox(bind: Bind) -> Iterator[Outbox]:
    """Yield an outbox, for any test runner: `self.enterContext(outbox(session))` in a `setUp` of unittest.

    No wake-up is published until the end of the block. Messages that were committed by then are removed.

    Args:
        bind: as for `Outbox`; for Django `smsclick.django.connected`.
    """
    with mock.patch.object(publisher, "configured", return_value=False), recording() as recorder:
        made = Outbox(bind, recorder=recorder)
        yield made
        made.remove_committed()


def _delete(connection: sa.Connection, keys: Sequence[str] | None) -> None:
    """Delete all messages, or those with these keys, with their events and callbacks: SQLite may not cascade."""
    which = sa.select(messages.c.id)
    if keys is not None:
        which = which.where(messages.c.key.in_(keys))
    ids = list(connection.scalars(which))
    for start in range(0, len(ids), _KEYS_OF_ONE_DELETE):
        some = ids[start : start + _KEYS_OF_ONE_DELETE]
        for table in (events, callbacks):
            connection.execute(sa.delete(table).where(table.c.message_id.in_(some)))
        connection.execute(sa.delete(messages).where(messages.c.id.in_(some)))


def _listed(there: list[Enqueued]) -> str:
    """Return the messages as text for a failed test; the phones and texts are those of the test."""
    return "; ".join(f"{message.key} to {message.phone}: {message.text!r}" for message in there) or "nothing"
