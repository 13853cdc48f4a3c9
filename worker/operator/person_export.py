"""Hand a person's data over: every record that concerns one phone, with events, callbacks, opt-out and dead letters."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.phones import normalize_phone
from smsclick.contract import events, messages
from worker.callbacks import replay
from worker.operator import person_rows
from worker.operator.exporting import FIELDS
from worker.queue import optouts
from worker.sql import readable

_MESSAGES_PER_READ = 100
_MORE_FIELDS = ("rule_id", "send_at", "expires_at", "callback", "erased_at")


def records(database: Database, phone: str) -> Iterator[dict[str, Any]]:
    """Yield what is stored of a person, one record after the other, each with its `kind`.

    `message` has the fields of an export, `events` and `callbacks`; `optout` and `dead_letter` follow. Times are
    datetimes. Messages to others that only mention the phone are not among them, because they are others' data.

    Args:
        database: where it is.
        phone: in any usual form.

    Raises:
        InvalidPhone: it is not a Mexican number.
    """
    digits = normalize_phone(phone)
    for look in person_rows.messages_of(database, digits):
        for start in range(0, len(look.theirs), _MESSAGES_PER_READ):
            with database.read() as connection:
                yield from _messages(connection, look.theirs[start : start + _MESSAGES_PER_READ])
    found = optouts.of_phone(database, digits)
    if found is not None:
        yield {"kind": "optout"} | dataclasses.asdict(found)
    for letter, content in person_rows.dead_letters_of(database, digits):
        yield {"kind": "dead_letter", "id": letter, "content": content}


def _messages(connection: sa.Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    rows = readable.read(connection, ids, [messages.c[name] for name in (*FIELDS, *_MORE_FIELDS)])
    made = []
    for message_id in ids:
        if message_id not in rows:
            continue
        changes = connection.execute(
            sa.select(events).where(events.c.message_id == message_id).order_by(events.c.id)
        ).mappings()
        made.append(
            {"kind": "message"}
            | {name: readable.shown(value) for name, value in rows[message_id].items()}
            | {
                "events": [{name: event[name] for name in event if name != "message_id"} for event in changes],
                "callbacks": [dataclasses.asdict(each) for each in replay.of_message(connection, message_id)],
            }
        )
    return made
