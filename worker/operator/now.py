"""What flows at this time, and if nothing does, why: the figures of the page *Ahora* and of `smsclick watch`.

Each query is bounded, so reading all of it takes tens of milliseconds at ten million messages.
"""

import dataclasses
import datetime as dt
import enum
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import State, messages
from worker.account import account_state, minutes, usage
from worker.account.account_state import AccountState
from worker.account.forecast import Forecast
from worker.account.minutes import Parts, Span
from worker.alerting.wording import Language
from worker.metrics import histograms
from worker.monitoring.progress_checks import BEAT, SWEEP
from worker.operator import account, counting, open_incidents, recent_heartbeats, stats
from worker.operator.account import Hold
from worker.operator.counting import Counts
from worker.operator.open_incidents import Incident
from worker.operator.recent_heartbeats import Heartbeat

ALIVE_SECONDS: Final = 60.0
"""A worker whose last heartbeat is older makes no progress."""

TICKS_SECONDS: Final = 120.0
"""Ticks that came longer ago than this have stopped."""

LATE_SECONDS: Final = 60.0
"""A message that is due for longer than this is late."""

FLOWS: Final = (State.SENT, State.DELIVERED, State.REJECTED, State.FAILED)
"""The states whose flow is shown."""

_WORKER_SHOWN_SECONDS: Final = 900.0
_MOST_COUNTED: Final = 20_000
_MOST_FLOW: Final = 5000
_EXACT_ROWS: Final = 50_000
_MINUTE: Final = dt.timedelta(minutes=1)
_WORKER: Final = "worker:"


class Situation(enum.StrEnum):
    """Whether messages are sent, in one word; the first that applies."""

    HELD = "held"
    NO_WORKER = "no_worker"
    STUCK = "stuck"
    BEHIND = "behind"
    SENDING = "sending"
    IDLE = "idle"


_SENTENCES: Final[dict[Language, dict[Situation, str]]] = {
    "en": {
        Situation.HELD: "Nothing is sent: sending is held.",
        Situation.NO_WORKER: "Nothing is sent: no worker makes progress. Start a worker.",
        Situation.STUCK: "Messages are due, but none was sent in the last minute.",
        Situation.BEHIND: "Messages are sent, but later than they are due.",
        Situation.SENDING: "Messages are sent as they become due.",
        Situation.IDLE: "No message is due; workers are ready.",
    },
    "es": {
        Situation.HELD: "No se envía nada: el envío está detenido.",
        Situation.NO_WORKER: "No se envía nada: ningún worker avanza. Inicie un worker.",
        Situation.STUCK: "Hay mensajes por enviar, pero no se envió ninguno en el último minuto.",
        Situation.BEHIND: "Los mensajes se envían, pero más tarde de lo debido.",
        Situation.SENDING: "Los mensajes se envían en cuanto les toca.",
        Situation.IDLE: "No hay mensajes por enviar; los workers están listos.",
    },
}


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """Messages that came into each state of `FLOWS` in the last minute.

    Attributes:
        states: how many.
        estimated: the states with so many messages that their number comes from the counters of the last two minutes.
    """

    states: dict[State, int]
    estimated: frozenset[State] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Latency:
    """How long something took, to the width of a histogram's bucket.

    Attributes:
        count: how many were measured.
        p50: seconds, the median; None where nothing was measured.
        p99: seconds; only one of a hundred took longer.
    """

    count: int
    p50: float | None
    p99: float | None

    @classmethod
    def of(cls, parts: Parts, limits: Sequence[float]) -> "Latency":
        """The latency that a histogram shows."""
        quantiles = (histograms.quantile(parts, limits, share) for share in (0.5, 0.99))
        return cls(histograms.count_of(parts), *quantiles)


@dataclasses.dataclass(frozen=True, slots=True)
class Latencies:
    """The latencies of a span of time.

    Attributes:
        wait: from when a message could first be sent to its first request; for a message without a time of its own
            this is from its commit.
        call: of the provider's `sendMsg`.
        final: from the acceptance to the final status.
    """

    wait: Latency
    call: Latency
    final: Latency

    @classmethod
    def of(cls, spans: Sequence[Span]) -> "Latencies":
        """The latencies of these spans together."""
        counted = [span.counted for span in spans]
        return cls(
            Latency.of(minutes.merged(each.waits for each in counted), histograms.FAST_SECONDS),
            Latency.of(minutes.merged(each.calls for each in counted), histograms.FAST_SECONDS),
            Latency.of(minutes.merged(each.finals for each in counted), histograms.SLOW_SECONDS),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Minute:
    """One point of the plots.

    Attributes:
        begins_at: when the span begins.
        ends_at: when it ends; a minute later, or more where nothing noted the minutes between.
        per_second: messages that the provider accepted a second.
        latencies: of the span.
    """

    begins_at: dt.datetime
    ends_at: dt.datetime
    per_second: float
    latencies: Latencies

    @property
    def seconds(self) -> float:
        """How long the span is."""
        return (self.ends_at - self.begins_at).total_seconds()


@dataclasses.dataclass(frozen=True, slots=True)
class Now:
    """The figures at one time.

    Attributes:
        at: the time of the reading, by the database's clock.
        situation: whether messages are sent.
        counts: messages by state; those of a large table are estimated where they are final.
        flow: what happened in the last minute.
        minutes: the last hour, oldest first; empty until two minutes were noted.
        latencies: of the last hour.
        oldest_due_seconds: how long the oldest due message has waited; None if no message is due.
        account_state: the account's row, with the balance.
        holds: why the account is held; empty if it is not.
        forecast: when the balance will be used up at the rate of the last hour; None where too little is known.
        incidents: the open ones, oldest first.
        workers: the heartbeats of the worker processes of the last quarter of an hour, the latest first.
        beat: the heartbeat of beat's ticks; None where there was none, as with `smsclick up` just after its start.
        sweep: the heartbeat of the sweep; None where there was none.
    """

    at: dt.datetime
    situation: Situation
    counts: Counts
    flow: Flow
    minutes: list[Minute]
    latencies: Latencies
    oldest_due_seconds: float | None
    account_state: AccountState
    holds: list[Hold]
    forecast: Forecast | None
    incidents: list[Incident]
    workers: list[Heartbeat]
    beat: Heartbeat | None
    sweep: Heartbeat | None

    @property
    def live_workers(self) -> int:
        """How many worker processes made progress within `ALIVE_SECONDS`."""
        return sum(each.age_seconds <= ALIVE_SECONDS for each in self.workers)

    def sentence(self, language: Language = "en") -> str:
        """The situation in one sentence, with why the account is held."""
        said = _SENTENCES[language][self.situation]
        if not self.holds:
            return said
        return f"{said[:-1]} ({'; '.join(each.words(language) for each in self.holds)})."


def read(database: Database, *, language: Language = "en") -> Now:
    """Read all figures in one read transaction.

    Args:
        database: where to read.
        language: of the incidents.

    Raises:
        DatabaseUnavailable: the database does not answer.
        DatabaseNotMigrated: it has not our tables.
    """
    with database.read() as connection:
        state = account_state.read(connection)
        oldest = stats.oldest_due(connection)
        waited = None if oldest is None else max(0.0, (state.now - oldest).total_seconds())
        spans = minutes.last_hour(connection, state.now)
        heartbeats = {each.name: each for each in recent_heartbeats.read(connection)}
        workers = [
            each
            for name, each in heartbeats.items()
            if name.startswith(_WORKER) and each.age_seconds <= _WORKER_SHOWN_SECONDS
        ]
        flow = _flow(connection, state.now, spans)
        return Now(
            at=state.now,
            situation=_situation(state, workers, waited, flow.states[State.SENT]),
            counts=counting.count(connection, counted=_EXACT_ROWS, most=_MOST_COUNTED),
            flow=flow,
            minutes=[Minute(each.begins_at, each.ends_at, each.per_second, Latencies.of([each])) for each in spans],
            latencies=Latencies.of(spans),
            oldest_due_seconds=waited,
            account_state=state,
            holds=account.in_force(state),
            forecast=usage.present_forecast(connection, state),
            incidents=open_incidents.read(connection, language=language),
            workers=workers,
            beat=heartbeats.get(BEAT),
            sweep=heartbeats.get(SWEEP),
        )


def _situation(state: AccountState, workers: Sequence[Heartbeat], waited: float | None, sent: int) -> Situation:
    if not state.is_open:
        return Situation.HELD
    if not any(each.age_seconds <= ALIVE_SECONDS for each in workers):
        return Situation.NO_WORKER
    if waited is not None and waited > LATE_SECONDS:
        return Situation.BEHIND if sent else Situation.STUCK
    return Situation.SENDING if sent or waited is not None else Situation.IDLE


def _flow(connection: sa.Connection, now: dt.datetime, spans: Sequence[Span]) -> Flow:
    """Count by the indexes of times; where there are very many messages, the counters say what a minute has."""
    begin = now - _MINUTE
    sent = sa.select(sa.literal(State.SENT).label("state")).where(messages.c.sent_at > begin)
    final = sa.select(messages.c.state).where(
        messages.c.erased_at.is_(None), messages.c.final_at.is_not(None), messages.c.final_at > begin
    )
    numbers = dict.fromkeys(FLOWS, 0)
    estimated: set[State] = set()
    for latest, states in (
        (sent.order_by(messages.c.sent_at.desc()).limit(_MOST_FLOW).subquery(), FLOWS[:1]),
        (final.order_by(messages.c.final_at.desc()).limit(_MOST_FLOW).subquery(), FLOWS[1:]),
    ):
        query = sa.select(latest.c.state, sa.func.count()).group_by(latest.c.state)
        counted: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
        numbers.update({state: counted.get(state, 0) for state in states})
        if sum(counted.values()) == _MOST_FLOW:
            estimated.update(states)
    if estimated:
        known = _minute_of(spans)
        numbers.update({state: max(numbers[state], known.get(state, 0)) for state in estimated})
    return Flow(numbers, frozenset(estimated))


def _minute_of(spans: Sequence[Span]) -> dict[State, int]:
    """What a minute has, on average over the latest spans that cover one; empty where they cover less."""
    latest: list[Span] = []
    for span in reversed(spans):
        latest.append(span)
        seconds = (latest[0].ends_at - span.begins_at).total_seconds()
        if seconds >= _MINUTE.total_seconds():
            return {
                state: round(sum(getattr(each.counted, state) for each in latest) * _MINUTE.total_seconds() / seconds)
                for state in FLOWS
            }
    return {}
