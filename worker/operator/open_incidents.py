"""Read the incidents that are open, with what an operator can do about each."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from smsclick.contract import incidents
from worker.alerting.details import shown
from worker.alerting.kinds import Severity, known_or_new
from worker.alerting.wording import Language

_MOST_INCIDENTS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """One open incident.

    Attributes:
        kind: its code, a key of `worker.alerting.kinds.KINDS`.
        subject: what it is about, where there can be several of one kind; else empty.
        severity: how grave it is.
        title: the problem in a few words.
        meaning: what it means; empty for a kind of a newer version.
        advice: what to do about it; empty for a kind of a newer version.
        opened_at: when it began.
        occurrences: how often it was reported since then.
        detail: figures or names of the latest report.
    """

    kind: str
    subject: str
    severity: Severity
    title: str
    meaning: str
    advice: str
    opened_at: dt.datetime
    occurrences: int
    detail: str


def read(connection: sa.Connection, keys: Sequence[str] | None = None, *, language: Language = "en") -> list[Incident]:
    """Return the open incidents, oldest first, at most 100.

    Args:
        connection: where to read.
        keys: only the incidents with these keys (`kind:subject`); None for all.
        language: of titles, meanings, advice and details.
    """
    query = sa.select(incidents).where(incidents.c.open_key.is_not(None), incidents.c.ends_at.is_(None))
    if keys is not None:
        query = query.where(incidents.c.open_key.in_(keys))
    # Closed incidents have no key, so the index on the key holds the open ones side by side.
    rows = connection.execute(query.order_by(incidents.c.open_key).limit(_MOST_INCIDENTS))
    return [_incident(row, language) for row in sorted(rows, key=lambda each: each.id)]


def _incident(row: Any, language: Language) -> Incident:  # noqa: ANN401 - a Row
    kind = known_or_new(row.kind)
    words = kind.text(language)
    return Incident(
        kind=row.kind,
        subject=row.subject,
        severity=kind.severity,
        title=words.title,
        meaning=words.meaning,
        advice=words.advice,
        opened_at=row.opened_at,
        occurrences=row.occurrences,
        detail=shown(row.detail, language),
    )
