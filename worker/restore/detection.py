"""Notice a restored backup at a worker's start: messages that wait, although the provider's report shows them as sent.

Nothing in a database says that it is a copy of earlier days. But every process writes down when it last looked at the
clock (`worker.database_clock.clock`), so a gap since then is either a time in which nobody worked, or the age of a
backup. The report of that gap tells: a row that no message owns, with the phone and text of one that waits, was sent
from a later state. Then sending is held until an operator has run `smsclick restored`. Where the report cannot be read,
nothing is known, and nothing is held.
"""

import contextlib
import dataclasses
import datetime as dt
import logging
from typing import Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import State, clocks, messages
from smsclick.errors import ProviderError
from smsclick.provider.client import SmsclickClient
from smsclick.provider.results import ReportRow
from worker.account import holds
from worker.alerting import incidents
from worker.database_clock.clock import GAP_SECONDS
from worker.lifecycle import message_rows
from worker.lifecycle.fingerprint import wire_key
from worker.reports.matching import CLOCK_TOLERANCE
from worker.restore import restored
from worker.sql.bulk import among

log = logging.getLogger(__name__)

_MOST_ROWS: Final = 20_000
_MOST_WAITING: Final = 20_000
_PART: Final = 500
_LONGEST: Final = dt.timedelta(days=7)


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Messages that wait although they were sent.

    Attributes:
        since: when anybody last looked at this database.
        count: how many were found, of those that were compared.
        message_id: the first of them.
    """

    since: dt.datetime
    count: int
    message_id: int


def require_no_restore(database: Database, client: SmsclickClient) -> Evidence | None:
    """Hold sending where the database is a backup of earlier days; returns what shows it.

    Args:
        database: with our tables.
        client: the provider's, asked once where nobody has looked for a minute.

    Raises:
        DatabaseUnavailable: it does not answer.
    """
    with database.read() as connection:
        since = _gap(connection)
    if since is None:
        return None
    try:
        found = evidence(database, client, since)
    except ProviderError as error:
        log.warning("Whether a backup was restored is not known: the report cannot be read. error=%s", error)
        return None
    if found is None:
        return None

    def hold(connection: sa.Connection) -> None:
        holds.hold_restored(connection, found.since)
        first = f"message {found.message_id} waits, and was sent"
        incidents.report(
            connection, "restored", detail=f"run: smsclick restored --since {found.since.isoformat()} ({first})"
        )

    database.transact(hold)
    log.error(
        "A backup was restored: messages wait that were sent. Run: smsclick restored --since %s (or --end). message=%s",
        found.since.isoformat(),
        found.message_id,
    )
    return found


def evidence(database: Database, client: SmsclickClient, since: dt.datetime) -> Evidence | None:
    """Messages that wait although the report since then shows them, as rows that no message owns; None: there are none.

    Raises:
        ProviderError: the report cannot be read.
    """
    sent: dict[int, str] = {}
    rows = client.report_rows(since - CLOCK_TOLERANCE, database.clock() + CLOCK_TOLERANCE)
    with contextlib.closing(rows):
        for row in rows:
            if isinstance(row, ReportRow):
                sent[row.id_mensaje] = wire_key(row.phone, row.text)
            if len(sent) >= _MOST_ROWS:
                break
    keys = {sent[each] for each in restored.unowned(database, sent)}
    if not keys:
        return None
    found: list[int] = []
    with database.read() as connection:
        # An attempt of unknown outcome has a row that nobody owns yet, and messages of equal content wait for it.
        keys -= _in_flight(connection, keys)
        waiting = connection.execute(
            sa.select(messages.c.id, messages.c.phone, messages.c.text)
            .where(message_rows.in_state(State.QUEUED), messages.c.due_at.is_not(None))
            .order_by(messages.c.due_at)
            .limit(_MOST_WAITING)
        )
        found = [row.id for row in waiting if wire_key(row.phone, row.text) in keys]
    return Evidence(since, len(found), found[0]) if found else None


def _gap(connection: sa.Connection) -> dt.datetime | None:
    """Since when nobody has looked at this database; None where somebody has just now, or a restore is known."""
    state = holds.read(connection)
    seen: dt.datetime | None = connection.scalar(sa.select(sa.func.max(clocks.c.seen_at)))
    if state.restored_since is not None or seen is None or (state.now - seen).total_seconds() <= GAP_SECONDS:
        return None
    return max(seen, state.now - _LONGEST)


def _in_flight(connection: sa.Connection, keys: set[str]) -> set[str]:
    listed = sorted(keys)
    found: set[str] = set()
    for start in range(0, len(listed), _PART):
        part = listed[start : start + _PART]
        query = sa.select(messages.c.wire_key).where(among(connection, messages.c.wire_key, part))
        found |= set(connection.scalars(query))
    return found
