"""The incident `old_unknown`: attempts that stay unknown although the report should have decided them by now."""

import collections
import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from smsclick.contract import State, messages
from worker.alerting import incidents
from worker.alerting.details import Detail, made, of_doubt
from worker.alerting.wording import DetailCode
from worker.context import Context
from worker.lifecycle import message_rows
from worker.lifecycle.doubt import Doubt
from worker.sql.now import database_now

OLD_AFTER_WINDOWS = 2.0
"""An attempt that has been unknown for so many times SMSCLICK_SETTLE_SECONDS opens the incident."""
_MOST_COUNTED = 500
_MOST_NAMED = 3
_KIND = "old_unknown"


def watch(context: Context) -> None:
    """Open, update or close the incident."""

    def work(connection: sa.Connection) -> None:
        now = database_now(connection)
        limit = now - dt.timedelta(seconds=context.settings.settle_seconds * OLD_AFTER_WINDOWS)
        old = connection.execute(
            sa.select(messages.c.id, messages.c.unknown_reason)
            .where(message_rows.in_state(State.UNKNOWN), messages.c.unknown_since < limit)
            .order_by(messages.c.unknown_since)
            .limit(_MOST_COUNTED)
        ).all()
        if not old:
            incidents.close(connection, _KIND)
            return
        detail = describe([(row.id, row.unknown_reason) for row in old])
        if not incidents.report(connection, _KIND, detail=detail, count=0):
            incidents.describe(connection, _KIND, detail=detail)

    context.database.transact(work)


def describe(old: Sequence[tuple[int, str | None]]) -> Detail:
    """Return a detail that says why attempts stay unknown and what to do, for the most frequent reason.

    Args:
        old: row ids with the codes of their reasons, oldest first.
    """
    by_reason = collections.Counter(code for _, code in old)
    [(code, count), *others] = by_reason.most_common()
    ids = [str(each) for each, why in old if why == code]
    named = ", ".join(ids[:_MOST_NAMED]) + (" …" if len(ids) > _MOST_NAMED else "")
    why = of_doubt(Doubt(code) if code in set(Doubt) else Doubt.NO_REPORT)
    if others:
        number = sum(number for _, number in others)
        return made(DetailCode.OLD_UNKNOWN_MIXED, count=count, ids=named, why=why, others=number)
    return made(DetailCode.OLD_UNKNOWN_ONE if count == 1 else DetailCode.OLD_UNKNOWN, count=count, ids=named, why=why)
