"""Checks for missing progress: each opens an incident while something expected does not happen.

All times are the database's, and all queries are bounded. A check must fail for `Limits.confirm` seconds of this
process's own time before it counts, so that neither workers that just started nor a clock that was just set raise an
alert.
"""

import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._values.causes import Cause, cause_of
from smsclick._values.times import span
from smsclick.contract import Priority, State, events, heartbeats
from smsclick.settings import Settings
from worker.account import account_state
from worker.account.account_state import AccountState
from worker.alerting import incidents
from worker.alerting.details import NONE, Detail, made
from worker.alerting.wording import DetailCode
from worker.monitoring import account_checks
from worker.monitoring.account_checks import Judgement
from worker.queue import claims
from worker.sql.now import database_now

_EVENTS_COUNTED = 1000
"""How many of the latest events the checks look at."""

SWEEP = "sweep"
"""The heartbeat of the sweep, by whichever process."""

BEAT = "beat"
"""The heartbeat of beat's ticks that reach a worker through the broker."""

_SHARES_WINDOW = dt.timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """From when on missing progress is a problem; times in seconds.

    Attributes:
        ticks: time without a sweep, or without a tick of beat.
        due: wait of the oldest message of high or normal priority that could be sent.
        low_due: the same for low priority, which a limit of calls per second may delay for long.
        records: time without a recorded result although messages are due.
        hold: age of the operator's hold.
        ended: the least number of ended attempts for which shares are judged.
        unknown_share: the highest share of unknown ones among the attempts that ended.
        absent_share: the same for absent ones.
        confirm: how long a check must fail before it is reported.
    """

    ticks: float = 120.0
    due: float = 900.0
    low_due: float = 6 * 3600.0
    records: float = 300.0
    hold: float = 3600.0
    ended: int = 40
    unknown_share: float = 0.25
    absent_share: float = 0.1
    confirm: float = 60.0

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits of production; a longer sweep period raises the limit for ticks."""
        return cls(ticks=max(120.0, 12 * settings.sweep_seconds))


@dataclasses.dataclass(frozen=True, slots=True)
class Shares:
    """How the attempts of the last hour ended."""

    ended: int
    unknown: int
    absent: int


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How long ago what should happen all the time happened last; seconds, None: never or nothing.

    Attributes:
        swept: since the last sweep.
        ticked: since beat sent the last tick.
        age: how long the oldest message of high or normal priority that could be sent has waited.
        low_age: the same for low priority.
        recorded: since the last result.
    """

    swept: float | None
    ticked: float | None
    age: float | None
    low_age: float | None
    recorded: float | None

    @property
    def waiting(self) -> float | None:
        """How long the oldest message that could be sent has waited."""
        return max((each for each in (self.age, self.low_age) if each is not None), default=None)

    def no_ticks(self, limits: Limits) -> bool:
        """Whether nobody runs the sweep, or beat sends nothing."""
        return any(each is None or each > limits.ticks for each in (self.swept, self.ticked))

    def old_due(self, limits: Limits) -> bool:
        """Whether messages wait for too long."""
        return (self.age is not None and self.age > limits.due) or (
            self.low_age is not None and self.low_age > limits.low_due
        )

    def no_records(self, limits: Limits) -> bool:
        """Whether nothing is sent although messages wait."""
        waiting = self.waiting
        unrecorded = self.recorded is None or self.recorded > limits.records
        return waiting is not None and waiting > limits.records and unrecorded


class ProgressChecks:
    """The checks of one process.

    Args:
        limits: from when on missing progress is a problem.
        measure: a monotonic clock, in seconds.
    """

    def __init__(self, limits: Limits, measure: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._confirmed = Confirmed(limits.confirm, measure)

    def check(self, connection: sa.Connection) -> bool:
        """Run all checks.

        Args:
            connection: in a transaction.

        Returns:
            Whether alert events were stored.
        """
        limits = self._limits
        now: dt.datetime = database_now(connection)
        account = account_state.read(connection)
        latest = latest_events(connection)
        seen = shares(latest, now)
        progress = read_progress(connection, account, latest)
        waiting, recorded = progress.waiting, progress.recorded
        held = account.operator_hold_at
        held_for = None if held is None else (now - held).total_seconds()
        alert_events = [
            self._judge(
                connection,
                "no_ticks",
                failing=progress.no_ticks(limits),
                detail=_ticks_detail(progress.swept, progress.ticked, limits.ticks),
            ),
            self._judge(
                connection,
                "old_due",
                failing=progress.old_due(limits),
                detail=NONE if waiting is None else made(DetailCode.OLDEST, span=span(waiting)),
            ),
            self._judge(
                connection,
                "no_records",
                failing=progress.no_records(limits),
                detail=NONE if recorded is None else made(DetailCode.RECORDED, span=span(recorded)),
            ),
            self._judge(
                connection,
                "operator_hold",
                failing=held_for is not None and held_for > limits.hold,
                detail=NONE if held_for is None else made(DetailCode.LASTS, span=span(held_for)),
            ),
            self._share(connection, "many_unknown", seen.unknown, seen.ended, limits.unknown_share),
            self._share(connection, "many_absent", seen.absent, seen.ended, limits.absent_share),
            *(self._follow(connection, each) for each in account_checks.judgements(connection, account)),
        ]
        return any(alert_events)

    def _share(self, connection: sa.Connection, kind: str, count: int, ended: int, limit: float) -> bool:
        if ended < self._limits.ended:
            # Too few to judge; an open incident ends after an hour without any.
            return count == 0 and self._judge(connection, kind, failing=False, detail=NONE)
        share = count / ended
        if limit / 2 < share <= limit:
            return False  # between the two limits nothing changes, so that the incident does not flap
        detail = made(DetailCode.ATTEMPTS, count=count, ended=ended)
        return self._judge(connection, kind, failing=share > limit, detail=detail)

    def _follow(self, connection: sa.Connection, found: Judgement) -> bool:
        if found.is_open is None:
            return False
        return self._judge(connection, found.kind, failing=found.is_open, detail=found.detail)

    def _judge(self, connection: sa.Connection, kind: str, *, failing: bool, detail: Detail) -> bool:
        return self._confirmed.judge(connection, kind, failing=failing, detail=detail)


class Confirmed:
    """Opens an incident once its check has failed for a while, and closes it at once.

    Args:
        seconds: how long a check must fail.
        measure: a monotonic clock, in seconds.
    """

    def __init__(self, seconds: float, measure: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._measure = measure
        self._failing_since: dict[str, float] = {}

    def judge(self, connection: sa.Connection, kind: str, *, failing: bool, detail: Detail) -> bool:
        """Report or close an incident; True where an alert event was stored."""
        if not failing:
            self._failing_since.pop(kind, None)
            return incidents.close(connection, kind)
        since = self._failing_since.setdefault(kind, self._measure())
        if self._measure() - since < self._seconds:
            return False
        return incidents.report(connection, kind, detail=detail, count=0)


def read_progress(connection: sa.Connection, account: AccountState, latest: Sequence["MessageEvent"]) -> Progress:
    """Read when what should happen all the time happened last.

    Args:
        connection: where to read.
        account: while it is held no message could be sent.
        latest: as `latest_events` returns them.
    """
    return Progress(
        swept=since(connection, SWEEP),
        ticked=since(connection, BEAT),
        age=oldest_due(connection, (Priority.HIGH, Priority.NORMAL)) if account.is_open else None,
        low_age=oldest_due(connection, (Priority.LOW,)) if account.is_open else None,
        recorded=last_record(latest, account.now),
    )


def oldest_due(connection: sa.Connection, priorities: tuple[Priority, ...]) -> float | None:
    """Seconds since the longest waiting message of these priorities could have been sent; None where none waits."""
    found = [claims.first_due(connection, priority) for priority in priorities]
    return max(((each.now - each.due_at).total_seconds() for each in found if each is not None), default=None)


def since(connection: sa.Connection, name: str) -> float | None:
    """Seconds since the last heartbeat of this name; None where there was none."""
    row = connection.execute(sa.select(heartbeats.c.at, db_now().label("now")).where(heartbeats.c.name == name)).first()
    return None if row is None else float((row.now - row.at).total_seconds())


def _ticks_detail(swept: float | None, ticked: float | None, limit: float) -> Detail:
    if swept is None:
        return made(DetailCode.NO_SWEEP)
    if swept > limit:
        return made(DetailCode.SWEPT, span=span(swept))
    return made(DetailCode.NO_TICK) if ticked is None else made(DetailCode.TICKED, span=span(ticked))


@dataclasses.dataclass(frozen=True, slots=True)
class MessageEvent:
    """The part of a message's event that these checks use."""

    at: dt.datetime
    from_state: str
    to_state: str
    cause: Cause | None

    @property
    def ends_attempt(self) -> bool:
        """Whether the event records a result, or the end of a lease."""
        return self.from_state == State.SENDING and self.cause is not Cause.RELEASED


def latest_events(connection: sa.Connection) -> list[MessageEvent]:
    """The latest events, newest first."""
    query = sa.select(events.c.at, events.c.from_state, events.c.to_state, events.c.cause)
    rows = connection.execute(query.order_by(events.c.id.desc()).limit(_EVENTS_COUNTED))
    return [MessageEvent(row.at, row.from_state, row.to_state, cause_of(row.cause)) for row in rows]


def last_record(latest: Sequence[MessageEvent], now: dt.datetime) -> float | None:
    """Seconds since the last recorded result among the latest events; None where there is none."""
    ended = [each.at for each in latest if each.ends_attempt]
    return (now - max(ended)).total_seconds() if ended else None


def shares(latest: Sequence[MessageEvent], now: dt.datetime) -> Shares:
    """How the attempts of the last hour ended, among the latest events."""
    recent = [each for each in latest if each.at > now - _SHARES_WINDOW]
    return Shares(
        ended=sum(each.ends_attempt for each in recent),
        unknown=sum(each.ends_attempt and each.to_state == State.UNKNOWN for each in recent),
        absent=sum(each.cause is Cause.ABSENT_FROM_REPORT for each in recent),
    )
