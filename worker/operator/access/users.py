"""Users of the page: add and remove them, and check the password that a person signs in with.

Passwords are stored as Argon2id hashes. A check takes some ten milliseconds on purpose, and as long for a name that
nobody has. Why these parameters: docs/decisions/0065-the-page.md.
"""

import dataclasses
import datetime as dt
import enum
from typing import Final

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.contract import users
from smsclick.errors import InvalidField, NotAllowed
from worker.operator.access import web_sessions
from worker.sql import audit
from worker.sql.audit import Act
from worker.sql.insert_once import insert_once

log = EventLog(__name__)

PASSWORD_CHARACTERS: Final = (12, 200)
"""The fewest and the most characters of a password."""

_NAME_CHARACTERS: Final = 100
_MOST_LISTED: Final = 1000
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""One of the settings that OWASP's Password Storage Cheat Sheet recommends: 19 MiB and two passes."""

_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$1XY7xw7hlU6s6HuT+jxKQw$znOrLao2XjVVj5LGkeXW3ytXuP6tbE5LA/ZbKTJ6qyI"
"""Of the text "no user has this password", by `_HASHER`. It stands here because making it takes time at every start."""


class Role(enum.StrEnum):
    """What a user may do: see masked phones and no texts, or see and do everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """A user of the page.

    Attributes:
        id: of the row.
        name: with which the person signs in; unique.
        role: what the person may do; None where a newer version wrote a role that this one does not know.
        created_at: when the user was added.
        created_by: who added it.
        signed_in_at: the latest time; None if never.
    """

    id: int
    name: str
    role: Role | None
    created_at: dt.datetime
    created_by: str
    signed_in_at: dt.datetime | None


def add(database: Database, name: str, role: Role, password: str, *, actor: str) -> User:
    """Add a user.

    Args:
        database: where it is stored.
        name: with which the person signs in.
        role: what the person may do.
        password: 12 to 200 characters.
        actor: the person who adds it.

    Raises:
        InvalidField: the name is empty, too long or not printable, or the password is too short or too long.
        NotAllowed: another user has this name.
    """
    name = _valid_name(name)
    values = {"name": name, "role": str(role), "password_hash": _hash(password), "created_by": audit.name_of(actor)}

    def work(connection: sa.Connection) -> bool:
        added = insert_once(connection, users, values)
        if added:
            audit.record(connection, Act.USER_ADD, actor, count=1, detail=f"{name}: {role}")
        return added

    if not database.transact(work):
        raise NotAllowed(f"there is a user with the name {name!r} already: choose another name")
    found = find(database, name)
    assert found is not None  # noqa: S101 - added above
    return found


def set_password(database: Database, name: str, password: str, *, actor: str) -> None:
    """Change a user's password and end all of the user's sessions.

    Args:
        database: where users are stored.
        name: of the user.
        password: 12 to 200 characters.
        actor: the person who changes it.

    Raises:
        InvalidField: the password is too short or too long.
        NotAllowed: no user has this name.
    """
    password_hash = _hash(password)

    def work(connection: sa.Connection) -> None:
        user_id = _id_of(connection, name)
        connection.execute(sa.update(users).where(users.c.id == user_id).values(password_hash=password_hash))
        web_sessions.end_all(connection, user_id)
        audit.record(connection, Act.USER_PASSWORD, actor, count=1, detail=name)

    database.transact(work)


def remove(database: Database, name: str, *, actor: str) -> None:
    """Remove a user and end all of the user's sessions; the audit keeps the name.

    Args:
        database: where users are stored.
        name: of the user.
        actor: the person who removes it.

    Raises:
        NotAllowed: no user has this name.
    """

    def work(connection: sa.Connection) -> None:
        user_id = _id_of(connection, name)
        connection.execute(sa.delete(users).where(users.c.id == user_id))
        web_sessions.end_all(connection, user_id)
        audit.record(connection, Act.USER_REMOVE, actor, count=1, detail=name)

    database.transact(work)


def list_all(database: Database, most: int = _MOST_LISTED) -> list[User]:
    """Return the users by name, at most `most`."""
    with database.read() as connection:
        query = sa.select(users).order_by(users.c.name).limit(most)
        return [user_of(row) for row in connection.execute(query)]


def find(database: Database, name: str) -> User | None:
    """Return the user with this name; None if there is none."""
    with database.read() as connection:
        row = connection.execute(sa.select(users).where(users.c.name == name)).one_or_none()
    return None if row is None else user_of(row)


def sign_in(database: Database, name: str, password: str) -> str | None:
    """Begin a session for the user with this name and password, and return its secret.

    Takes as long for a name that nobody has as for a wrong password.

    Args:
        database: where users are stored.
        name: as the person wrote it.
        password: as the person wrote it.

    Returns:
        None where the two are not those of a user with a known role.
    """
    if len(name) > _NAME_CHARACTERS or len(password) > PASSWORD_CHARACTERS[1] or "\0" in name:
        name, password = "", ""
    with database.read() as connection:
        row = connection.execute(sa.select(users).where(users.c.name == name.strip())).one_or_none()
    stored = _NOBODY if row is None else row.password_hash
    try:
        _HASHER.verify(stored, password)
        known = True
    except (Argon2Error, InvalidHashError):
        known = False
    if not known or row is None or user_of(row).role is None:
        # Never the name: people type their password there. Nor the address, which is a person's.
        log.warning("sign_in_failed", user_id=None if row is None else row.id)
        return None
    new_hash = _HASHER.hash(password) if _HASHER.check_needs_rehash(stored) else stored

    def work(connection: sa.Connection) -> str | None:
        # Not where the password was changed, or the user removed, meanwhile: both end all sessions that are there.
        mine = sa.and_(users.c.id == row.id, users.c.password_hash == stored)
        changed = sa.update(users).where(mine).values(signed_in_at=db_now(), password_hash=new_hash)
        return web_sessions.begin(connection, row.id) if connection.execute(changed).rowcount else None

    return database.transact(work)


def user_of(row: "sa.Row[tuple[object, ...]]") -> User:
    """Return the user that a row of the table is."""
    values = row._asdict()
    role = values["role"]
    return User(
        id=values["id"],
        name=values["name"],
        role=Role(role) if role in set(Role) else None,
        created_at=values["created_at"],
        created_by=values["created_by"],
        signed_in_at=values["signed_in_at"],
    )


def _id_of(connection: sa.Connection, name: str) -> int:
    found: int | None = connection.scalar(sa.select(users.c.id).where(users.c.name == name).with_for_update())
    if found is None:
        raise NotAllowed(f"no user has the name {name!r}: smsclick user list shows them")
    return found


def _hash(password: str) -> str:
    fewest, most = PASSWORD_CHARACTERS
    if not fewest <= len(password) <= most:
        raise InvalidField(f"password: use {fewest} to {most} characters; four random words are a good password")
    return _HASHER.hash(password)


def _valid_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _NAME_CHARACTERS or not name.isprintable():
        raise InvalidField(f"name: write 1 to {_NAME_CHARACTERS} printable characters, for example ana")
    return name
