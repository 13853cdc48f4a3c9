"""The public names as a backend uses them: checked by mypy with all the rest, and by two checkers beside the wheel.

The latter is in tests/integration/test_wheel.py, which has wrong calls as well.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, assert_type

from sqlalchemy.orm import Session

from smsclick import NewMessage, Status, cancel, django, enqueue, enqueue_many, status
from smsclick.contract import IfAbsent, Priority, State
from smsclick.errors import InvalidMessage, KeyConflict, SmsclickError
from smsclick.simulator import Fault, FaultKind, Simulator
from smsclick.testing import Enqueued, Outbox, Worker, create_tables, outbox

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import scoped_session


class ShopSession(Session):
    """As Flask-SQLAlchemy has one."""


def in_a_session(session: Session, scoped: scoped_session[ShopSession], connection: sa.Connection) -> list[int]:
    """All that `enqueue` takes."""
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
    first = enqueue(session, phone="55 5140 2211", text="Hola")
    second = enqueue(
        scoped,
        phone=5551402211,
        text="Hola",
        key="order-1",
        send_at=soon,
        expires_at="2030-01-01T00:00:00-06:00",
        priority="high",
        rule_id=7,
        if_absent=IfAbsent.FAIL,
        callback="https://shop.example/sms",
        reference="1",
    )
    assert_type(first, int)
    return [first, second, enqueue(connection, phone="5551402211", text="Hola", priority=Priority.LOW)]


def many(session: Session) -> list[int]:
    """Messages and mappings, from any iterable."""
    made = NewMessage.of(phone="5551402211", text="Hola", key="a")
    try:
        return enqueue_many(session, (each for each in (made, made))) + enqueue_many(
            session, [{"phone": "5551402211", "text": "Hola"}]
        )
    except KeyConflict as error:
        raise ValueError(assert_type(error.key, str), assert_type(error.message_id, int)) from error
    except InvalidMessage as error:
        refused: SmsclickError = error
        raise refused from None


async def in_an_async_session(session: AsyncSession) -> int:
    """The way through SQLAlchemy's own bridge."""
    return await session.run_sync(lambda sync: enqueue(sync, phone="5551402211", text="Hola"))


def withdrawn(session: Session, connection: sa.Connection) -> State:
    """Withdraw and look up."""
    assert_type(cancel(session, "order-1"), bool)
    seen = assert_type(status(connection, "order-1"), Status | None)
    return State.FAILED if seen is None else assert_type(seen.state, State)


async def withdrawn_async(session: AsyncSession) -> dt.datetime | None:
    """The same awaited."""
    assert_type(await cancel(session, "order-1"), bool)
    seen = assert_type(await status(session, "order-1"), Status | None)
    return None if seen is None else seen.sent_at


def in_django() -> list[int]:
    """The same without a first argument."""
    assert_type(django.cancel("a"), bool)
    assert_type(django.status("a"), Status | None)
    assert_type(django.enqueue(phone="5551402211", text="Hola", key="a"), int)
    return django.enqueue_many([{"phone": "5551402211", "text": "Hola"}])


def in_tests(engine: sa.Engine, scoped: scoped_session[ShopSession], sms: Outbox, worker: Worker) -> State:
    """The test kit."""
    create_tables(engine)
    message = assert_type(sms.one(to=5551402211, key="a", containing="Hola"), Enqueued)
    with Simulator(balance=10) as simulator:
        simulator.faults([Fault(FaultKind.LATENCY, seconds=1)])
        assert [entry.phone for entry in simulator.ledger()] == [message.phone]
    Outbox(engine).assert_empty()
    Outbox(django.connected).assert_empty()
    Outbox(scoped).assert_empty()
    with outbox(django.connected) as sent:
        assert_type(sent, Outbox).clear()
    return assert_type(worker.wait_ended(message.id, seconds=5).state, State)
