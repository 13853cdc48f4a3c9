"""Find the message that an operator names by its id or its key."""

import enum
import re

import sqlalchemy as sa

from smsclick.contract import messages
from smsclick.errors import MessageNotFound, NotAllowed


class Name(enum.StrEnum):
    """What a word can be that a person looks for."""

    ID = "id"
    KEY = "key"
    ID_MENSAJE = "id_mensaje"


def matches(connection: sa.Connection, word: str) -> dict[Name, int]:
    """Return the messages that a word names, one query by an index for each of its meanings.

    Args:
        connection: where to look.
        word: an id, a key or an id_mensaje, as a person wrote it; `id:…` and `key:…` as in `id_of`.
    """
    found: dict[Name, int] = {}
    if not word or not word.isprintable():
        return found
    conditions: dict[Name, sa.ColumnElement[bool]] = {}
    if not word.startswith("id:"):
        conditions[Name.KEY] = messages.c.key == word.removeprefix("key:")
    number = word.removeprefix("id:")
    if re.fullmatch(r"[0-9]{1,18}", number):
        conditions[Name.ID] = messages.c.id == int(number)
        if number == word:
            conditions[Name.ID_MENSAJE] = messages.c.id_mensaje == int(number)
    for name, condition in conditions.items():
        message_id = connection.scalar(sa.select(messages.c.id).where(condition))
        if message_id is not None:
            found[name] = message_id
    return found


def id_of(connection: sa.Connection, name: str) -> int:
    """Return the id of the message that has this name.

    Args:
        connection: where to look.
        name: an id, a key, or either of them with a prefix: `id:…` or `key:…`.

    Raises:
        MessageNotFound: no message has this id or key.
        NotAllowed: the name is the id of one message and the key of another.
    """
    if not name.isprintable():
        raise MessageNotFound(f"no message has the id or key {name!r}")
    conditions: list[sa.ColumnElement[bool]] = [messages.c.key == name]
    number = name.removeprefix("id:")
    if re.fullmatch(r"[0-9]{1,18}", number):
        conditions.append(messages.c.id == int(number))
    if name.startswith("key:"):
        conditions.append(messages.c.key == name.removeprefix("key:"))
    # One query for each condition: an OR over two columns uses neither of their indexes.
    found: set[int] = set()
    for condition in conditions:
        found.update(connection.scalars(sa.select(messages.c.id).where(condition)))
    if not found:
        raise MessageNotFound(f"no message has the id or key {name!r}")
    if len(found) > 1:
        raise NotAllowed(f"{name} is the id of one message and the key of another: write id:{name} or key:{name}")
    return found.pop()
