"""`smsclick export`: one record for each message, streamed in batches by id, so that any number of them goes out."""

import csv
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any, TextIO

import sqlalchemy as sa

from smsclick.contract import State, messages
from smsclick.database import Database
from smsclick.moments import iso
from worker import lifecycle

FIELDS = (
    "id",
    "key",
    "phone",
    "text",
    "state",
    "id_mensaje",
    "estatus_mensaje",
    "attempts",
    "credits_used",
    "last_code",
    "last_error",
    "created_at",
    "sent_at",
    "final_at",
    "reply",
    "replied_at",
    "reference",
)
"""The contract's fields out, in its order."""

_WINDOW = 4000
"""Rows that one statement looks at, whether or not they are wanted: a rare state costs no long statement."""


def export(
    database: Database, *, state: State | None = None, since: dt.datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yield a record for each message, oldest id first.

    Each batch has a transaction of its own: a long export keeps no lock and no old snapshot, so a message that changes
    meanwhile goes out as it is when its batch is read.

    Args:
        database: where they are.
        state: only those in this state now.
        since: only those created at this time or later.
    """
    wanted = sa.select(*(messages.c[field] for field in FIELDS))
    if state is not None:
        wanted = wanted.where(lifecycle.in_state(state))
    if since is not None:
        wanted = wanted.where(messages.c.created_at >= since)
    last = 0
    while True:
        with database.read() as connection:
            following = sa.select(messages.c.id).where(messages.c.id > last).order_by(messages.c.id)
            end = connection.scalar(following.offset(_WINDOW - 1).limit(1))
            window = wanted.where(messages.c.id > last).order_by(messages.c.id).limit(_WINDOW)
            rows = connection.execute(window if end is None else window.where(messages.c.id <= end)).all()
        for row in rows:
            yield {
                name: iso(value) if isinstance(value, dt.datetime) else value
                for name, value in zip(FIELDS, row, strict=True)
            }
        if end is None:
            return
        last = end


def write_jsonl(records: Iterator[dict[str, Any]], out: TextIO) -> None:
    """One JSON object a line."""
    out.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def write_csv(records: Iterator[dict[str, Any]], out: TextIO) -> None:
    """A header and one row for each message; what has no value is empty."""
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
