"""Erase what a message says of a person: phone, text, reply, and what may repeat them; its record stays.

Retention calls `erase` for messages that have been final for long, and an operator's `forget` for those of one person.
The callers have locked the rows. An erased message is never sent, and a later reply to it is not stored.
"""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from smsclick._values.causes import Cause, stored_as
from smsclick.contract import callbacks, events, messages

_CAUSES_WITH_PROVIDER_WORDS: Final = stored_as(Cause.ANSWERED, Cause.LATE_ANSWER, Cause.INVALID)
"""Causes of events whose description may hold the provider's words, or a part of the phone."""

FORGOTTEN_KEY: Final = "forgotten-{id}"
"""What stands in place of a key that held a person's phone; keys are unique."""


def erase(connection: sa.Connection, ids: Sequence[int], now: dt.datetime) -> None:
    """Erase phone, text, reply and the provider's words of messages.

    Args:
        connection: in a transaction that has locked the rows.
        ids: of the messages; final, or accepted by the provider.
        now: by the database's clock.
    """
    nothing = {"phone": "", "text": "", "reply": None, "last_error": None, "erased_at": now}
    connection.execute(sa.update(messages).where(messages.c.id.in_(ids)).values(**nothing))
    quoted = sa.update(events).where(
        events.c.message_id.in_(ids),
        events.c.cause.in_(_CAUSES_WITH_PROVIDER_WORDS),
        events.c.description.is_not(None),
    )
    connection.execute(quoted.values(description=None))


def erase_traces(connection: sa.Connection, ids: Sequence[int], digits: str) -> dict[str, int]:
    """Erase a person's phone wherever else messages have it: key, reference, callbacks, other descriptions of events.

    Args:
        connection: in a transaction that has locked the rows.
        ids: of the messages.
        digits: of the phone.

    Returns:
        How many keys, references and callbacks were changed. A callback that is still to be delivered keeps its
        address, because it could not be delivered otherwise.
    """
    described = sa.update(events).where(events.c.message_id.in_(ids), events.c.cause != str(Cause.OPERATOR))
    connection.execute(described.where(events.c.description.is_not(None)).values(description=None))
    columns = (messages.c.id, messages.c.key, messages.c.reference, messages.c.callback)
    keys, references, addresses = [], [], []
    for row in connection.execute(sa.select(*columns).where(messages.c.id.in_(ids))):
        keys += [row.id] if _holds(row.key, digits) else []
        references += [row.id] if _holds(row.reference, digits) else []
        addresses += [row.id] if _holds(row.callback, digits) else []
    for message_id in keys:
        replaced = FORGOTTEN_KEY.format(id=message_id)
        connection.execute(sa.update(messages).where(messages.c.id == message_id).values(key=replaced))
    if references:
        connection.execute(sa.update(messages).where(messages.c.id.in_(references)).values(reference=None))
    if addresses:
        connection.execute(sa.update(messages).where(messages.c.id.in_(addresses)).values(callback=None))
    return {"keys": len(keys), "references": len(references), "callbacks": _erase_callbacks(connection, ids, digits)}


def _erase_callbacks(connection: sa.Connection, ids: Sequence[int], digits: str) -> int:
    changed = 0
    query = sa.select(callbacks).where(callbacks.c.message_id.in_(ids)).order_by(callbacks.c.id).with_for_update()
    for row in connection.execute(query).all():
        values: dict[str, Any] = {}
        if row.receiver is None and _holds(row.target, digits):
            values["target"] = ""
        if row.last_error is not None:
            values["last_error"] = None
        data = json.loads(row.data)
        if data.get("description") is not None:
            values["data"] = json.dumps(data | {"description": None}, ensure_ascii=False)
        if values:
            connection.execute(sa.update(callbacks).where(callbacks.c.id == row.id).values(**values))
            changed += 1
    return changed


def _holds(value: object, digits: str) -> bool:
    return isinstance(value, str) and digits in "".join(each for each in value if each.isdecimal())
