"""Read all figures in one read transaction; each query is bounded and served by an index."""

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import HoldReason, Priority, State, callbacks, dead_letters, messages
from smsclick.provider.codes import CODES
from worker.account import account_state, usage
from worker.account.account_state import AccountState
from worker.account.forecast import Forecast
from worker.alerting.kinds import KINDS
from worker.callbacks import store as callback_store
from worker.lifecycle import message_rows, tallied
from worker.lifecycle.doubt import Doubt
from worker.metrics import process_metrics, tallies, worker_gauges
from worker.metrics.worker_gauges import Gauges
from worker.operator import counting, open_incidents, recent_heartbeats
from worker.operator.recent_heartbeats import Heartbeat
from worker.queue import claims

MOST_COUNTED: Final = 100_000
"""Messages of one state, or waiting callbacks, that are counted one by one; above that the database estimates."""

MOST_UNKNOWN: Final = 10_000
MOST_DEAD_LETTERS: Final = 10_000
MOST_WORKERS: Final = 100
"""Workers that have a label of their own; the others are only counted."""

WORKER_SECONDS: Final = 900.0
"""A worker without a heartbeat for longer is not shown."""

ALIVE_SECONDS: Final = 60.0

NOT_LOOKED: Final = "not_looked"
"""The reason of an attempt for which no report was read yet."""

OTHER: Final = "other"
"""Stands for a value that this release does not know."""

_CODES: Final = frozenset(str(code.code) for code in CODES)

Labels = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Readings:
    """All figures at one time, by metric where they have labels.

    Attributes:
        now: by the database's clock.
        account: its hold and balance.
        forecast: of the balance; None where too little is known.
        gauges: of the worker processes.
        heartbeats: of ticks and workers.
        samples: value by label values, by the metric's name.
        histograms: parts as `worker.metrics.histograms` has them, by label values, by the metric's name.
    """

    now: dt.datetime
    account: AccountState
    forecast: Forecast | None
    gauges: Gauges
    heartbeats: list[Heartbeat]
    samples: dict[str, dict[Labels, float]]
    histograms: dict[str, dict[Labels, dict[str, int]]]


def read(database: Database) -> Readings:
    """Read everything.

    Raises:
        DatabaseUnavailable: the database does not answer.
        DatabaseNotMigrated: it has not our tables.
    """
    with database.read() as connection:
        account = account_state.read(connection)
        counted = tallies.totals(connection)
        samples: dict[str, dict[Labels, float]] = {
            "smsclick_messages": {
                (state,): counting.up_to(connection, state, MOST_COUNTED) for state in counting.ON_THE_WAY
            },
            "smsclick_oldest_due_seconds": _oldest_due(connection, account.now),
            "smsclick_hold": _holds(account),
            "smsclick_incidents_open": _incidents(connection),
            "smsclick_dead_letters": {(): _count(connection, sa.select(dead_letters.c.id), MOST_DEAD_LETTERS)},
            **_unknown(connection, account.now),
            **_callbacks(connection, account.now),
            **_counters(counted),
        }
        return Readings(
            now=account.now,
            account=account,
            # What each sweep counts is enough, and the exporter's account needs no right to read texts.
            forecast=usage.present_forecast(connection, account, fresh=False),
            gauges=worker_gauges.read(connection),
            heartbeats=recent_heartbeats.read(connection),
            samples=samples,
            histograms=_histograms(counted),
        )


def _oldest_due(connection: sa.Connection, now: dt.datetime) -> dict[Labels, float]:
    found = {priority: claims.first_due(connection, priority) for priority in Priority}
    return {(each.name.lower(),): _age(None if first is None else first.due_at, now) for each, first in found.items()}


def _unknown(connection: sa.Connection, now: dt.datetime) -> dict[str, dict[Labels, float]]:
    oldest = (
        sa.select(messages.c.unknown_reason, messages.c.unknown_since)
        .where(message_rows.in_state(State.UNKNOWN), messages.c.unknown_since.is_not(None))
        .order_by(messages.c.unknown_since)
        .limit(MOST_UNKNOWN)
        .subquery()
    )
    query = sa.select(oldest.c.unknown_reason, sa.func.count(), sa.func.min(oldest.c.unknown_since))
    counts: dict[Labels, float] = {(reason,): 0.0 for reason in (NOT_LOOKED, *map(str, Doubt))}
    ages = dict(counts)
    for reason, count, since in connection.execute(query.group_by(oldest.c.unknown_reason)):
        label = _known(NOT_LOOKED if reason is None else reason, [label for (label,) in counts])
        counts[label,] = counts.get((label,), 0.0) + count
        ages[label,] = max(ages.get((label,), 0.0), _age(since, now))
    return {"smsclick_unknown_attempts": counts, "smsclick_unknown_oldest_seconds": ages}


def _callbacks(connection: sa.Connection, now: dt.datetime) -> dict[str, dict[Labels, float]]:
    waiting = sa.select(callbacks.c.due_at).where(callbacks.c.receiver.is_not(None)).limit(MOST_COUNTED).subquery()
    count, due_at = connection.execute(sa.select(sa.func.count(), sa.func.min(waiting.c.due_at))).one()
    return {
        "smsclick_callbacks_waiting": {(): count},
        "smsclick_callbacks_oldest_due_seconds": {(): _age(due_at, now)},
    }


def _holds(account: AccountState) -> dict[Labels, float]:
    found: dict[Labels, float] = {(reason,): float(account.hold_reason is reason) for reason in HoldReason}
    found["operator",] = float(account.operator_hold_at is not None)
    found["restored",] = float(account.restored_since is not None)
    return found


def _incidents(connection: sa.Connection) -> dict[Labels, float]:
    found: dict[Labels, float] = {(kind,): 0.0 for kind in KINDS}
    for incident in open_incidents.read(connection):
        label = (_known(incident.kind, KINDS),)
        found[label] = found.get(label, 0.0) + 1
    return found


def _counters(counted: dict[str, dict[str, int]]) -> dict[str, dict[Labels, float]]:
    entries: Counter[Labels] = Counter({(str(state),): 0 for state in State})
    causes: Counter[Labels] = Counter()
    for label, amount in counted.get(tallied.EVENTS, {}).items():
        before, after, cause = label.split(" ")
        causes[cause,] += amount
        if before != after:
            entries[after,] += amount
    calls: Counter[Labels] = Counter()
    for label, amount in counted.get(process_metrics.CALLS, {}).items():
        outcome, code = label.split(" ")
        calls[outcome, code if code == "none" else _known(code, _CODES)] += amount
    ended = counted.get(callback_store.TALLY, {})
    kinds = (callback_store.DELIVERED, callback_store.GIVEN_UP)
    return {
        "smsclick_state_entries_total": dict(entries),
        "smsclick_events_total": dict(causes),
        "smsclick_calls_total": dict(calls),
        "smsclick_callbacks_total": {(kind,): ended.get(kind, 0) for kind in kinds},
        "smsclick_credits_charged_total": {(): sum(counted.get(tallied.CREDITS, {}).values())},
        "smsclick_messages_unpriced_total": {(): sum(counted.get(tallied.UNPRICED, {}).values())},
    }


def _histograms(counted: dict[str, dict[str, int]]) -> dict[str, dict[Labels, dict[str, int]]]:
    final: dict[Labels, dict[str, int]] = {(State.DELIVERED,): {}, (State.REJECTED,): {}}
    for label, amount in counted.get(tallied.FINAL_SECONDS, {}).items():
        state, part = label.split(" ")
        final.setdefault((state,), {})[part] = amount
    return {
        "smsclick_call_seconds": {(): counted.get(process_metrics.CALL_SECONDS, {})},
        "smsclick_send_wait_seconds": {(): counted.get(process_metrics.WAIT_SECONDS, {})},
        "smsclick_final_seconds": final,
    }


def _count(connection: sa.Connection, query: sa.Select[Any], most: int) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(query.limit(most).subquery())).scalar_one()


def _age(since: dt.datetime | None, now: dt.datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _known(value: str, known: Iterable[str]) -> str:
    return value if value in set(known) else OTHER
