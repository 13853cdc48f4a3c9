"""Find every row that concerns one phone, in whatever form it was stored: for `forget` and `export --phone`.

Messages are walked by id, some thousand at a time. The index by phone would miss what plain SQL stored in another form,
and keys, references and texts that hold the phone; a duty to a person must not.
"""

import base64
import binascii
import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.phones import normalize_phone
from smsclick.contract import dead_letters, messages
from smsclick.errors import InvalidPhone

IDS_PER_LOOK: Final = 20_000
LETTERS_PER_LOOK: Final = 100
_USUAL_LENGTH: Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Concerned:
    """Messages of one look.

    Attributes:
        theirs: ids of messages to the phone, and of erased ones whose key or reference still holds it.
        mentions: ids of messages to others that hold the phone in a text, key or reference.
        last: the highest id looked at.
    """

    theirs: list[int]
    mentions: list[int]
    last: int


def messages_of(database: Database, digits: str) -> Iterator[Concerned]:
    """Yield the messages that concern a phone, look by look.

    Args:
        database: where they are.
        digits: the phone as ten digits.
    """
    with database.read() as connection:
        first, last = connection.execute(sa.select(sa.func.min(messages.c.id), sa.func.max(messages.c.id))).one()
    if first is None:
        return
    held = f"%{digits}%"
    odd_form = sa.and_(messages.c.phone != "", sa.func.char_length(messages.c.phone) != _USUAL_LENGTH)
    texts = (messages.c.key, messages.c.reference, messages.c.callback, messages.c.text)
    condition = sa.or_(messages.c.phone == digits, odd_form, *(column.like(held) for column in texts))
    columns = (messages.c.id, messages.c.phone, sa.or_(*(column.like(held) for column in texts)).label("mentioned"))
    for begin in range(first - 1, last, IDS_PER_LOOK):
        end = min(begin + IDS_PER_LOOK, last)
        query = sa.select(*columns).where(messages.c.id > begin, messages.c.id <= end, condition)
        with database.read() as connection:
            rows = connection.execute(query.order_by(messages.c.id)).all()
        theirs, mentions = [], []
        for row in rows:
            if is_phone(row.phone, digits) or (row.phone == "" and row.mentioned):
                theirs.append(row.id)
            elif row.mentioned:
                mentions.append(row.id)
        yield Concerned(theirs, mentions, end)


def is_phone(stored: object, digits: str) -> bool:
    """Return whether a stored phone is this one, in any form that ends with its ten digits."""
    if not isinstance(stored, str):
        return False
    return stored == digits or "".join(each for each in stored if each.isdecimal()).endswith(digits)


def dead_letters_of(database: Database, digits: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the dead letters of calls to a phone, and of calls that hold it and name no other phone: id and content."""
    last = 0
    while True:
        query = sa.select(dead_letters.c.id, dead_letters.c.content).where(dead_letters.c.id > last)
        with database.read() as connection:
            rows = connection.execute(query.order_by(dead_letters.c.id).limit(LETTERS_PER_LOOK)).all()
        for row in rows:
            content = json.loads(row.content)
            if _concerns(content, row.content, digits):
                yield row.id, content
        if len(rows) < LETTERS_PER_LOOK:
            return
        last = rows[-1].id


def _concerns(content: Any, stored: str, digits: str) -> bool:  # noqa: ANN401 - JSON
    body = content.get("body", "") if isinstance(content, dict) else ""
    plain = ""
    if isinstance(content, dict) and isinstance(content.get("body_base64"), str):
        try:
            plain = base64.b64decode(content["body_base64"]).decode("utf-8", "replace")
        except binascii.Error:
            plain = ""
    holds = re.search(r"\D{0,3}".join(digits), stored + "\n" + plain) is not None
    if not holds:
        return False
    named = re.search(r'"(?:phone|telefono)": *"?([^",}]+)', body if isinstance(body, str) else stored)
    if named is None:
        return True
    try:
        return normalize_phone(named[1]) == digits
    except InvalidPhone:
        return True
