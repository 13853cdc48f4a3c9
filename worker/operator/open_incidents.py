"""Read the incidents that are open, with what an operator can do about each."""

import dataclasses
import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from smsclick.contract import incidents
from worker.alerting.kinds import KINDS

_MOST_INCIDENTS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """One open incident.

    Attributes:
        kind: its code, a key of `worker.alerting.kinds.KINDS`.
        subject: what it is about, where there can be several of one kind; else empty.
        title: one sentence that says what is wrong.
        advice: what to do about it; empty for a kind of a newer version.
        opened_at: when it began.
        occurrences: how often it was reported since then.
        detail: figures or names of the latest report.
    """

    kind: str
    subject: str
    title: str
    advice: str
    opened_at: dt.datetime
    occurrences: int
    detail: str


def read(connection: sa.Connection, keys: Sequence[str] | None = None) -> list[Incident]:
    """Return the open incidents, oldest first, at most 100.

    Args:
        connection: where to read.
        keys: only the incidents with these keys (`kind:subject`); None for all.
    """
    query = sa.select(incidents).where(incidents.c.open_key.is_not(None), incidents.c.ends_at.is_(None))
    if keys is not None:
        query = query.where(incidents.c.open_key.in_(keys))
    # Closed incidents have no key, so the index on the key holds the open ones side by side.
    rows = connection.execute(query.order_by(incidents.c.open_key).limit(_MOST_INCIDENTS))
    return [
        Incident(
            kind=row.kind,
            subject=row.subject,
            title=KINDS[row.kind].title if row.kind in KINDS else row.kind,
            advice=KINDS[row.kind].advice if row.kind in KINDS else "",
            opened_at=row.opened_at,
            occurrences=row.occurrences,
            detail=row.detail,
        )
        for row in sorted(rows, key=lambda each: each.id)
    ]
