"""Tokens of the HTTP API: create, list and revoke them, and find the one that a request shows.

Only a hash of a token is stored. A token has 256 random bits, so a plain SHA-256 of it does not reveal it.
"""

import dataclasses
import datetime as dt
import enum
import hashlib
import re
import secrets
from collections.abc import Collection

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import tokens
from smsclick.errors import InvalidField, NotAllowed
from worker.sql import audit
from worker.sql.audit import Act
from worker.sql.insert_once import insert_once
from worker.sql.now import database_now

PREFIX = "smsclick_"
"""How each token begins, so that a scanner for secrets finds one that was published."""

_NAME_CHARACTERS = 100
_USE_STORED_SECONDS = 60
_MOST_LISTED = 1000
_TOKEN = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class Scope(enum.StrEnum):
    """What a token allows."""

    SEND = "send"
    READ = "read"
    OPERATE = "operate"


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret.

    Attributes:
        id: of its row.
        name: what it is for; unique.
        scopes: what it allows.
        created_at: when it was created.
        created_by: who created it.
        last_used_at: when it was used last, to the minute; None if never.
        revoked_at: since when it allows nothing; None while it is valid.
    """

    id: int
    name: str
    scopes: frozenset[Scope]
    created_at: dt.datetime
    created_by: str
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


def create(database: Database, name: str, scopes: Collection[str], *, actor: str) -> str:
    """Create a token and return its secret, which is stored nowhere and cannot be shown again.

    Args:
        database: where it is stored.
        name: what it is for; no other token has this name.
        scopes: at least one of `Scope`.
        actor: the person who creates it.

    Raises:
        InvalidField: the name is empty, too long or not printable, or a scope does not exist.
        NotAllowed: another token, perhaps a revoked one, has this name.
    """
    name = _valid_name(name)
    wanted = _valid_scopes(scopes)
    secret = PREFIX + secrets.token_urlsafe(32)
    values = {
        "name": name,
        "hash": _hash(secret),
        "scopes": " ".join(sorted(wanted)),
        "created_by": audit.name_of(actor),
    }

    def work(connection: sa.Connection) -> bool:
        created = insert_once(connection, tokens, values)
        if created:
            detail = f"{name}: {values['scopes']}"
            audit.record(connection, Act.TOKEN_CREATE, actor, count=1, detail=detail)
        return created

    if not database.transact(work):
        raise NotAllowed(f"there is a token with the name {name!r} already: choose another name")
    return secret


def list_all(database: Database, most: int = _MOST_LISTED) -> list[Token]:
    """Return the tokens, the newest first, at most `most`; revoked ones too."""
    with database.read() as connection:
        query = sa.select(tokens).order_by(tokens.c.id.desc()).limit(most)
        return [_token(row) for row in connection.execute(query)]


def revoke(database: Database, name: str, *, actor: str) -> bool:
    """Revoke a token: from a second later it allows nothing.

    Args:
        database: where it is stored.
        name: of the token.
        actor: the person who revokes it.

    Returns:
        False if it was revoked before.

    Raises:
        NotAllowed: no token has this name.
    """

    def work(connection: sa.Connection) -> bool:
        mine = tokens.c.name == name
        if connection.scalar(sa.select(tokens.c.id).where(mine)) is None:
            raise NotAllowed(f"no token has the name {name!r}: smsclick token list shows them")
        change = sa.update(tokens).where(mine, tokens.c.revoked_at.is_(None)).values(revoked_at=db_now())
        revoked = connection.execute(change).rowcount > 0
        audit.record(connection, Act.TOKEN_REVOKE, actor, count=int(revoked), detail=name)
        return revoked

    return database.transact(work)


def find(database: Database, secret: str) -> Token | None:
    """Return the valid token with this secret; None if there is none, or if it was revoked.

    Args:
        database: where tokens are stored.
        secret: what a request shows, of any form.
    """
    if not _TOKEN.fullmatch(secret):
        return None
    with database.read() as connection:
        row = connection.execute(sa.select(tokens).where(tokens.c.hash == _hash(secret))).one_or_none()
    return None if row is None or row.revoked_at is not None else _token(row)


def note_use(database: Database, token_id: int) -> None:
    """Store that a token was used now, at most once a minute."""

    def work(connection: sa.Connection) -> None:
        now = database_now(connection)
        old = sa.or_(
            tokens.c.last_used_at.is_(None), tokens.c.last_used_at <= now - dt.timedelta(seconds=_USE_STORED_SECONDS)
        )
        connection.execute(sa.update(tokens).where(tokens.c.id == token_id, old).values(last_used_at=now))

    database.transact(work)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: sa.Row[tuple[object, ...]]) -> Token:
    values = row._asdict()
    return Token(
        id=values["id"],
        name=values["name"],
        # A scope of a newer version allows nothing here.
        scopes=frozenset(Scope(each) for each in values["scopes"].split() if each in set(Scope)),
        created_at=values["created_at"],
        created_by=values["created_by"],
        last_used_at=values["last_used_at"],
        revoked_at=values["revoked_at"],
    )


def _valid_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _NAME_CHARACTERS or not name.isprintable():
        raise InvalidField(f"name: write 1 to {_NAME_CHARACTERS} printable characters that say what the token is for")
    return name


def _valid_scopes(scopes: Collection[str]) -> set[Scope]:
    unknown = set(scopes) - set(Scope)
    if unknown or not scopes:
        raise InvalidField(f"scopes: give one or more of {', '.join(Scope)}")
    return {Scope(each) for each in scopes}
