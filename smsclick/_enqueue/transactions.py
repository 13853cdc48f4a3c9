"""The caller's own transaction, whichever of SQLAlchemy's forms it has: what every public function writes through."""

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import sqlalchemy as sa

from smsclick.contract import messages

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    Transaction = Session | scoped_session[Any] | sa.Connection
    """What the public functions write through: the caller's own; it is never committed here."""
    AsyncTransaction = AsyncSession | async_scoped_session[Any] | AsyncConnection
    """The same of SQLAlchemy's asyncio extension; the calls are awaited then."""


def is_async(session: "Transaction | AsyncTransaction") -> "TypeGuard[AsyncTransaction]":
    """Whether calls with this session are awaited."""
    # Whoever has such a session has imported the module, which needs an extra of SQLAlchemy's.
    extension: Any = sys.modules.get("sqlalchemy.ext.asyncio")
    return extension is not None and isinstance(
        session, extension.AsyncSession | extension.async_scoped_session | extension.AsyncConnection
    )


def connection_of(session: Any, caller: str) -> sa.Connection:  # noqa: ANN401 - checked here
    """The connection of a synchronous session, in its transaction.

    Args:
        session: a `Transaction`.
        caller: the public function's name, for the error.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(session, sa.Connection):
        return session
    # Whoever has a session has imported the ORM; workers and those who use connections go without it.
    orm: Any = sys.modules.get("sqlalchemy.orm")
    if orm is not None and isinstance(session, orm.Session | orm.scoped_session):
        # By the table, for sessions with several engines.
        connection: sa.Connection = session.connection(bind_arguments={"clause": messages})
        return connection
    raise TypeError(f"{caller} takes a session or a connection of SQLAlchemy, not {type(session).__name__}")


async def async_connection_of(session: Any) -> "AsyncConnection":  # noqa: ANN401 - AsyncTransaction
    """The connection of an asynchronous session, in its transaction."""
    if isinstance(session, sys.modules["sqlalchemy.ext.asyncio"].AsyncConnection):
        connection: AsyncConnection = session
        return connection
    made: AsyncConnection = await session.connection(bind_arguments={"clause": messages})
    return made
