"""Notice a restored backup when a worker starts: messages wait, although the provider's report shows them as sent.

Nothing in a database says that it is a copy of an earlier day. But every process writes when it last looked at the
database's clock (`worker.database_clock.clock`). A gap since then is either a time without any process, or the age of a
backup. The report of that gap shows which: a row that no message owns, with the phone and text of a message that waits,
was sent from a later state of this database. Then sending is held until an operator has run `smsclick restored`. If the
report cannot be read, nothing is known and nothing is held.
"""

import dataclasses
import datetime as dt
from typing import Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.contract import State, clocks, messages
from smsclick.errors import ProviderError
from smsclick.provider.client import SmsclickClient
from smsclick.provider.results import ReportRow, UnreadableRow
from worker.account import account_state, holds
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.database_clock.clock import GAP_SECONDS
from worker.lifecycle import message_rows
from worker.lifecycle.fingerprint import wire_key
from worker.reports.matching import CLOCK_TOLERANCE
from worker.reports.owners import owned_ids
from worker.reports.reader import read_report
from worker.restore.in_flight import fingerprints_in_flight

log = EventLog(__name__)

_MOST_COMPARED_ROWS: Final = 20_000
_MOST_COMPARED_MESSAGES: Final = 20_000
_LONGEST_GAP: Final = dt.timedelta(days=7)


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Messages that wait although they were sent.

    Attributes:
        since: when a process last looked at this database.
        count: how many were found among the compared messages.
        message_id: the first of them.
    """

    since: dt.datetime
    count: int
    message_id: int


def hold_if_restored(database: Database, client: SmsclickClient) -> Evidence | None:
    """Hold sending if the database is a backup of an earlier day.

    Args:
        database: with our tables.
        client: the provider's; it is used only if no process has looked at the database for a minute.

    Returns:
        What shows it; None where nothing does.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with database.read() as connection:
        since = _gap(connection)
    if since is None:
        return None
    try:
        found = find_evidence(database, client, since)
    except ProviderError as error:
        log.warning("restore_undetermined", error=error)
        return None
    if found is None:
        return None

    def hold(connection: sa.Connection) -> None:
        holds.hold_restored(connection, found.since)
        detail = made(DetailCode.RESTORE_FOUND, since=found.since.isoformat(), id=found.message_id)
        incidents.report(connection, "restored", detail=detail)

    database.transact(hold)
    log.error("backup_restored", since=found.since.isoformat(), message_id=found.message_id)
    return found


def find_evidence(database: Database, client: SmsclickClient, since: dt.datetime) -> Evidence | None:
    """Find messages that wait although the report since then shows them, as rows that no message owns.

    Raises:
        ProviderError: the report cannot be read.
    """
    sent: dict[int, str] = {}

    def add(row: ReportRow | UnreadableRow) -> None:
        if isinstance(row, ReportRow):
            sent[row.id_mensaje] = wire_key(row.phone, row.text)

    read = read_report(
        client,
        since - CLOCK_TOLERANCE,
        database.clock() + CLOCK_TOLERANCE,
        add,
        stop=lambda: len(sent) >= _MOST_COMPARED_ROWS,
    )
    if read.error is not None:
        raise read.error
    with database.read() as connection:
        owned = owned_ids(connection, sent)
        fingerprints = {sent[each] for each in sent.keys() - owned}
        if not fingerprints:
            return None
        # No message owns the row of an attempt of unknown outcome yet, and messages of equal content wait for it.
        fingerprints -= fingerprints_in_flight(connection, fingerprints)
        waiting = connection.execute(
            sa.select(messages.c.id, messages.c.phone, messages.c.text)
            .where(message_rows.in_state(State.QUEUED), messages.c.due_at.is_not(None))
            .order_by(messages.c.due_at)
            .limit(_MOST_COMPARED_MESSAGES)
        )
        found = [row.id for row in waiting if wire_key(row.phone, row.text) in fingerprints]
    return Evidence(since, len(found), found[0]) if found else None


def _gap(connection: sa.Connection) -> dt.datetime | None:
    """Since when no process has looked at this database; None where one has just now, or a restore is known."""
    state = account_state.read(connection)
    seen: dt.datetime | None = connection.scalar(sa.select(sa.func.max(clocks.c.seen_at)))
    if state.restored_since is not None or seen is None or (state.now - seen).total_seconds() <= GAP_SECONDS:
        return None
    return max(seen, state.now - _LONGEST_GAP)
