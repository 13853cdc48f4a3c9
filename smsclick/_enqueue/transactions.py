"""Find the connection of the caller's own transaction, in any of the forms that SQLAlchemy has for one."""

from typing import TYPE_CHECKING, Any, TypeGuard

import sqlalchemy as sa

from smsclick._threads.loaded_modules import loaded
from smsclick.contract import messages

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    Transaction = Session | scoped_session[Any] | sa.Connection
    """The caller's own session or connection; it is never committed here."""
    AsyncTransaction = AsyncSession | async_scoped_session[Any] | AsyncConnection
    """The same of SQLAlchemy's asyncio extension; calls with it are awaited."""


def is_async(session: "Transaction | AsyncTransaction") -> "TypeGuard[AsyncTransaction]":
    """Return whether calls with this session are awaited."""
    # A caller with such a session has imported this module, which needs an extra of SQLAlchemy.
    extension: Any = loaded("sqlalchemy.ext.asyncio")
    return extension is not None and isinstance(
        session, extension.AsyncSession | extension.async_scoped_session | extension.AsyncConnection
    )


def connection_of(session: Any, caller: str) -> sa.Connection:  # noqa: ANN401 - checked here
    """Return the connection of a synchronous session, in its transaction.

    Args:
        session: a `Transaction`.
        caller: the name of the public function, for the error.

    Raises:
        TypeError: the session is neither a session nor a connection of SQLAlchemy.
    """
    if isinstance(session, sa.Connection):
        return session
    # A caller with a session has imported the ORM; workers and callers with a connection do without it.
    orm: Any = loaded("sqlalchemy.orm")
    if orm is not None and isinstance(session, orm.Session | orm.scoped_session):
        # By the table, because a session may have several engines.
        connection: sa.Connection = session.connection(bind_arguments={"clause": messages})
        return connection
    raise TypeError(f"{caller} takes a session or a connection of SQLAlchemy, not {type(session).__name__}")


async def async_connection_of(session: Any) -> "AsyncConnection":  # noqa: ANN401 - AsyncTransaction
    """Return the connection of an asynchronous session, in its transaction."""
    if isinstance(session, loaded("sqlalchemy.ext.asyncio").AsyncConnection):
        connection: AsyncConnection = session
        return connection
    made: AsyncConnection = await session.connection(bind_arguments={"clause": messages})
    return made
