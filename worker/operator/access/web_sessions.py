"""Sessions of the page: who is signed in. The table holds hashes only; the database's clock ends a session.

The secret of a session has 256 random bits, so a plain SHA-256 of it does not reveal it.
"""

import dataclasses
import datetime as dt
import hashlib
import re
import secrets
from typing import Final

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import users, web_sessions
from worker.sql.now import database_now

IDLE: Final = dt.timedelta(hours=2)
"""A session that nobody uses for so long ends."""

LONGEST: Final = dt.timedelta(hours=12)
"""Each session ends after so long."""

_SEEN_STORED: Final = dt.timedelta(minutes=1)
_MOST_PURGED: Final = 100
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A session that has not ended.

    Attributes:
        user_id: whose it is.
        name: of the user.
        role: of the user, as the row has it.
    """

    user_id: int
    name: str
    role: str


def begin(connection: sa.Connection, user_id: int) -> str:
    """Begin a session in the caller's transaction and return its secret, which is stored nowhere; delete old sessions.

    Args:
        connection: in a transaction that holds the user's row, so that a new password ends it too.
        user_id: whose it is.
    """
    secret = secrets.token_urlsafe(32)
    _purge(connection)
    connection.execute(sa.insert(web_sessions).values(hash=_hash(secret), user_id=user_id))
    return secret


def find(database: Database, secret: str, *, in_use: bool = True) -> Session | None:
    """Return the session with this secret, and store that it was used, at most once a minute.

    Args:
        database: where sessions are stored.
        secret: what a cookie holds, of any form.
        in_use: whether a person uses it now; an open window that asks by itself must not keep a session alive.

    Returns:
        None where there is none, where it has ended, and where the user was removed.
    """
    if not _SECRET.fullmatch(secret):
        return None
    mine = web_sessions.c.hash == _hash(secret)
    query = (
        sa.select(web_sessions.c.seen_at, web_sessions.c.created_at, users.c.id, users.c.name, users.c.role)
        .join(users, users.c.id == web_sessions.c.user_id)
        .where(mine)
    )
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        now = database_now(connection)
    if row.created_at <= now - LONGEST or row.seen_at <= now - IDLE:
        return None
    if in_use and row.seen_at <= now - _SEEN_STORED:
        seen = sa.update(web_sessions).where(mine).values(seen_at=db_now())
        database.transact(lambda connection: connection.execute(seen))
    return Session(user_id=row.id, name=row.name, role=row.role)


def end(database: Database, secret: str) -> None:
    """End the session with this secret, if there is one."""
    ended = sa.delete(web_sessions).where(web_sessions.c.hash == _hash(secret))
    database.transact(lambda connection: connection.execute(ended))


def end_all(connection: sa.Connection, user_id: int) -> None:
    """End all sessions of a user, in the caller's transaction."""
    connection.execute(sa.delete(web_sessions).where(web_sessions.c.user_id == user_id))


def _purge(connection: sa.Connection) -> None:
    old = web_sessions.c.created_at <= database_now(connection) - LONGEST
    query = sa.select(web_sessions.c.hash).where(old).order_by(web_sessions.c.created_at).limit(_MOST_PURGED)
    hashes = connection.scalars(query).all()
    if hashes:
        connection.execute(sa.delete(web_sessions).where(web_sessions.c.hash.in_(hashes)))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
