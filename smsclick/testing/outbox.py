"""What a test enqueued, read from where the app's own transaction is; needs no test runner."""

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
"""Where an outbox looks; the last is for frameworks with connections of their own: `smsclick.django.connected`."""

_MANY = 500
"""Keys of one DELETE."""


class Outbox:
    """The messages of a test, read anew at each question.

    Every question raises `SmsclickError` where the test has enqueued in another database than this one: what is seen
    here would say nothing of the app.

    Args:
        bind: through a session or connection it sees what its transaction has enqueued, committed or not; through an
            engine what is committed.
        recorder: of the same test; without it nothing is known of other databases, and nothing is removed.
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
        """All of them, in the order in which they were enqueued."""
        with self._connection() as connection:
            self._require_same_database(connection)
            rows = connection.execute(sa.select(*COLUMNS).order_by(messages.c.id)).all()
        return [enqueued(row) for row in rows]

    def to(self, phone: str | int) -> list[Enqueued]:
        """Those to a phone, which may be given in any usual form."""
        digits = normalize_phone(phone)
        return [message for message in self.messages if message.phone == digits]

    def one(self, *, to: str | int | None = None, key: str | None = None, containing: str | None = None) -> Enqueued:
        """The only message that fits.

        Args:
            to: its phone.
            key: its key.
            containing: a part of its text.

        Raises:
            AssertionError: there is none, or more than one.
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
        """Raises `AssertionError` where anything was enqueued."""
        __tracebackhide__ = True
        if there := self.messages:
            raise AssertionError(f"nothing was to be enqueued; there is: {_listed(there)}")

    def clear(self) -> None:
        """Removes all messages that it sees, whoever stored them.

        Through an engine, or a function such as `smsclick.django.connected`, that is committed; through a session or
        connection it is part of its transaction.
        """
        with self._connection() as connection:
            self._require_same_database(connection)
            _delete(connection, None)
            if not isinstance(self._bind, Session | scoped_session | sa.Connection):
                connection.commit()

    def remove_committed(self) -> None:
        """Removes what this test itself has enqueued and committed, so that the next one does not find it.

        A connection, and a session that is bound to one, belong to a test that rolls its transaction back.
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
            for start in range(0, len(keys), _MANY):
                _delete(connection, keys[start : start + _MANY])
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
    """An outbox for any test runner: `self.outbox = self.enterContext(outbox(session))` in a `setUp` of unittest.

    No wake-up goes out until the end of the block. What was committed by then is removed.

    Args:
        bind: as of `Outbox`; for Django `smsclick.django.connected`.
    """
    with mock.patch.object(publisher, "configured", return_value=False), recording() as recorder:
        made = Outbox(bind, recorder=recorder)
        yield made
        made.remove_committed()


def _delete(connection: sa.Connection, keys: Sequence[str] | None) -> None:
    """Deletes messages, all or those with these keys, and what belongs to them: SQLite may not cascade."""
    which = sa.select(messages.c.id)
    if keys is not None:
        which = which.where(messages.c.key.in_(keys))
    ids = list(connection.scalars(which))
    for start in range(0, len(ids), _MANY):
        some = ids[start : start + _MANY]
        for table in (events, callbacks):
            connection.execute(sa.delete(table).where(table.c.message_id.in_(some)))
        connection.execute(sa.delete(messages).where(messages.c.id.in_(some)))


def _listed(there: list[Enqueued]) -> str:
    """For a person who looks at a failed test; these are a test's own phones and texts."""
    return "; ".join(f"{message.key} to {message.phone}: {message.text!r}" for message in there) or "nothing"
