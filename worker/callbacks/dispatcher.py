"""Tell producers what became of their messages: deliver the outbox's rows, at least once, each message's in order.

Rows are claimed by moving their due time ahead by a lease, called for with no transaction open, and recorded in groups.
One process makes up to `CALLS` calls at once from one task, so that slow receivers take no thread from sending; a few
for each receiver, and one for a receiver that did not take the last, so that it takes no thread from the others.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import itertools
import json
import logging
import random
import threading
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from standardwebhooks import Webhook

from smsclick._database.columns import db_now
from smsclick._database.database import Fault, fault_of
from smsclick._values.callback import TaskTarget, WebHookTarget, parse_callback
from smsclick._values.times import iso
from smsclick.contract import callbacks, messages
from smsclick.errors import InvalidField
from worker.alerting import incidents
from worker.callbacks.celery_task import CallTask, NotTakenError
from worker.callbacks.webhook import CallFailedError, Outbound, RefusedAddressError, Rules
from worker.queue.odd_rows import place
from worker.sql import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from smsclick._database.database import Database
    from smsclick.settings import Settings

log = logging.getLogger(__name__)

CALLS = 32
"""Calls of one process at once."""

_EACH = 8
"""Calls to one receiver at once."""

_AHEAD = 64
"""Rows of one receiver that are claimed at once: while some are called for, the next need no look into the database."""

_MOST_AHEAD = 256

_LEASE_SECONDS = 60.0
"""After that much a lost worker's calls are made again."""

_BEGIN_SECONDS = 30.0
"""A call that cannot begin this soon after its claim is left to the claim's end."""

_WAITS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds after each try; as the Standard Webhooks advise."""

_LAST_SECONDS = 3 * 86_400.0
_OPERATOR_SECONDS = 300.0
"""What waits for another configuration is looked at so often; nothing is called for that."""

_LAST_OPERATOR_SECONDS = 30 * 86_400.0
"""As long as a final event is kept."""

_TOLD_AFTER_TRIES = 4
"""An operator hears of a receiver after this many tries, half an hour, or of a call that is given up."""

_LOOK_SECONDS = 0.2
_GATHER_SECONDS = 0.01
_MOST_RECEIVERS = 256
_BLOCKED_SECONDS = 1.0
_PURGED_AT_ONCE = 1000
_INCIDENT = "callback_failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One row that is claimed and may now be called for.

    Attributes:
        tries: with this one.
        age_seconds: since the change happened.
        data: what the message was then.
        reply: the recipient's words, unless they were erased meanwhile.
        begin_by: a time of `time.monotonic()` after which the claim is too old to begin.
    """

    id: int
    event_id: str
    message_id: int
    type: str
    target: str = dataclasses.field(repr=False)
    receiver: str
    tries: int
    created_at: dt.datetime
    age_seconds: float
    data: dict[str, Any]
    reply: str | None = dataclasses.field(repr=False)
    begin_by: float


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class NotTaken:
    """Not this time.

    Attributes:
        reason: a few words of ours.
        ours: whether an operator must do something first, and hears of it at once; it waits for that, and not as the
            tries of a receiver that fails.
    """

    reason: str
    ours: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class GivenUp:
    """No further try would change anything."""

    reason: str


Outcome = Taken | NotTaken | GivenUp


def next_wait(tries: int, age_seconds: float, rng: random.Random) -> float | None:
    """Seconds until the next try, with jitter; None after three days."""
    left = _LAST_SECONDS - age_seconds
    if left <= 0:
        return None
    return min(left, _WAITS[min(tries, len(_WAITS)) - 1] * rng.uniform(0.9, 1.1))


def operator_wait(age_seconds: float, rng: random.Random) -> float | None:
    """Seconds until the next look at a call that waits for another configuration; None after a month."""
    return None if age_seconds >= _LAST_OPERATOR_SECONDS else _OPERATOR_SECONDS * rng.uniform(0.9, 1.1)


def after_answer(status: int) -> Outcome:
    """What an HTTP status says: 2xx is taken, 410 is not wanted any more, all else (a redirect too) is tried again."""
    if 200 <= status < 300:
        return Taken()
    if status == 410:
        return GivenUp("410 Gone: the receiver wants no more")
    if 300 <= status < 400:
        return NotTaken(f"HTTP {status}: redirects are not followed")
    return NotTaken(f"HTTP {status}")


def event(call: Call, *, with_reply: bool) -> dict[str, Any]:
    """What a receiver gets to read. The broker's form leaves the reply out: it is the recipient's words."""
    data = call.data | ({"reply": call.reply} if with_reply else {})
    return {"type": call.type, "timestamp": iso(call.created_at), "data": data}


def due(connection: sa.Connection) -> bool:
    """Whether a producer waits to be told, as far as a bounded look can tell: where many wait, a courier looks on."""
    found, more = _due_receivers(connection)
    return bool(found) or more is not None


def purge(database: Database, days: int = 30, *, batches: int = 100) -> int:
    """Delete final rows after their time, in short transactions from the oldest on; returns how many."""
    purged = 0
    after: int | None = 0
    for _ in range(batches):
        if after is None:
            break
        start = after
        count, after = database.transact(lambda connection, start=start: _purge_batch(connection, days, start))  # type: ignore[misc]
        purged += count
    return purged


class Courier:
    """Delivers what is due, in this process.

    Args:
        database: where the rows are.
        settings: which web hooks may be called, and the secrets that sign them.
        call_task: hands calls of Celery tasks to the broker; None where there is no broker.
        outbound: calls web hooks; made from the settings unless a test brings its own.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        call_task: CallTask | None,
        outbound: Outbound | None = None,
    ) -> None:
        self._database = database
        self._signers = [Webhook(secret) for secret in settings.webhook_secrets]
        self._call_task = call_task
        self._outbound = outbound or Outbound(Rules(settings.webhook_hosts, settings.webhook_allow_private))
        self._failing: set[str] = set()
        self._looked_at: str | None = None
        self._busy = threading.Lock()
        self._rng = random.Random()

    @property
    def busy(self) -> bool:
        """Whether this process delivers right now, and will see what comes meanwhile."""
        return self._busy.locked()

    def deliver(self, stopping: threading.Event, alert: Callable[[], None], *, slice_seconds: float = 30.0) -> bool:
        """Deliver until nothing is due, or the slice is over.

        Args:
            stopping: nothing more is begun once it is set.
            alert: called when news for an operator wait.
            slice_seconds: how long further calls are begun.

        Returns:
            True where the slice ended first and more may be due.
        """
        if not self._busy.acquire(blocking=False):
            return False
        try:
            return self._deliver(stopping, alert, time.monotonic() + slice_seconds)
        finally:
            self._busy.release()

    def close(self) -> None:
        """Close the idle connections."""
        self._outbound.close()

    def _deliver(self, stopping: threading.Event, alert: Callable[[], None], end: float) -> bool:
        ahead: dict[str, deque[Call]] = {}
        flying: dict[Future[Outcome], Call] = {}
        look_at = 0.0
        no_thread = False
        # Bounded by CALLS, and it ends with this slice: what raises ends no thread of it, see `_outcome`.
        with ThreadPoolExecutor(CALLS, thread_name_prefix="smsclick-callback") as pool:
            while True:
                over = no_thread or stopping.is_set() or time.monotonic() >= end
                if over:
                    self._release(itertools.chain(*ahead.values()))
                    ahead.clear()
                elif time.monotonic() >= look_at:
                    found = self._claim(ahead, flying.values())
                    look_at = 0.0 if found else time.monotonic() + _LOOK_SECONDS
                no_thread = no_thread or not self._begin(pool, ahead, flying)
                if flying:
                    done = _gather(flying)
                    results = [(flying.pop(each), _outcome(each)) for each in done]
                    self._note(results)
                    no_thread = no_thread or not self._begin(pool, ahead, flying)
                    if results:
                        look_at = 0.0
                        if self._record(results):
                            alert()
                    # What was claimed for receivers that fail, to be called for one by one.
                    for receiver in self._failing & ahead.keys():
                        self._release(ahead.pop(receiver))
                elif over or look_at:
                    # Without threads the sweep is soon enough: another wake-up now would find none either.
                    return over and not no_thread and not stopping.is_set()

    def _claim(self, ahead: dict[str, deque[Call]], flying: Collection[Call]) -> bool:
        """Claim further calls; returns whether anything was there, if only something that made way for another."""
        receivers, looked_at_all = self._due_receivers()
        mine = Counter(call.receiver for call in flying) + Counter({each: len(calls) for each, calls in ahead.items()})
        free = _MOST_AHEAD - mine.total()
        rooms = {each: self._room(each, mine[each]) for each in receivers}
        wanted = [each for each in receivers if rooms[each] > 0]
        if free <= 0 or not wanted:
            return free > 0 and not looked_at_all
        self._rng.shuffle(wanted)

        def work(connection: sa.Connection) -> tuple[list[Call], bool]:
            calls: list[Call] = []
            blocked = False
            for receiver in wanted:
                room = min(rooms[receiver], free - len(calls))
                if room > 0:
                    found, some_blocked = _claim(connection, receiver, room)
                    calls += found
                    blocked |= some_blocked
            return calls, blocked

        claimed, made_way = self._database.transact(work)
        for call in claimed:
            ahead.setdefault(call.receiver, deque()).append(call)
        return bool(claimed) or made_way or not looked_at_all

    def _due_receivers(self) -> tuple[list[str], bool]:
        """The due ones among the next receivers, and whether a round through all of them ends here."""
        with self._database.read() as connection:
            receivers, self._looked_at = _due_receivers(connection, self._looked_at or "")
        return receivers, self._looked_at is None

    def _room(self, receiver: str, mine: int) -> int:
        """How many more rows of a receiver to claim: one at a time while it fails, else many whenever few are left."""
        if receiver in self._failing:
            return 1 - mine
        return _AHEAD - mine if mine <= _AHEAD // 2 else 0

    def _begin(
        self, pool: ThreadPoolExecutor, ahead: dict[str, deque[Call]], flying: dict[Future[Outcome], Call]
    ) -> bool:
        """Begin what may begin, one of each receiver in turn; False where the system allows no further thread."""
        under_way = Counter(call.receiver for call in flying.values())
        turn = deque(ahead)
        while turn and len(flying) < CALLS:
            receiver = turn.popleft()
            if under_way[receiver] >= (1 if receiver in self._failing else _EACH):
                continue
            call = ahead[receiver].popleft()
            if ahead[receiver]:
                turn.append(receiver)
            else:
                del ahead[receiver]
            if time.monotonic() < call.begin_by:
                try:
                    flying[pool.submit(self._tell, call)] = call
                except RuntimeError as error:
                    # This call stays claimed: a thread that runs already may still take it from the pool.
                    log.warning(
                        "No thread for a callback; it is tried again later. callback=%s error=%s", call.id, error
                    )
                    return False
                under_way[receiver] += 1
        return True

    def _note(self, results: Sequence[tuple[Call, Outcome]]) -> None:
        """Remember which receivers fail."""
        for call, outcome in results:
            if isinstance(outcome, Taken):
                self._failing.discard(call.receiver)
            else:
                self._failing.add(call.receiver)

    def _release(self, calls: Iterable[Call]) -> None:
        """Give back what was claimed and not begun."""
        ids = [call.id for call in calls if time.monotonic() < call.begin_by]
        if ids:
            self._database.transact(lambda connection: _unclaim(connection, ids))

    def _tell(self, call: Call) -> Outcome:
        try:
            target = parse_callback(call.target)
            if isinstance(target, TaskTarget):
                return self._tell_task(call, target)
            return self._tell_web_hook(call, target)
        except InvalidField as error:
            return GivenUp(str(error))
        except RefusedAddressError as error:
            return NotTaken(f"refused: {error}", ours=True)
        except (CallFailedError, NotTakenError) as error:
            return NotTaken(str(error))
        except Exception as error:  # noqa: BLE001 - see below
            # One odd row must not take the others with it: it is tried again, and an operator hears of it.
            # Not its words: they may hold the address, and what stands in it.
            log.error(  # noqa: TRY400
                "A call-back could not be tried. callback=%s message=%s error=%s",
                call.id,
                call.message_id,
                place(error),
            )
            return NotTaken("a defect of the worker; its log says more", ours=True)

    def _tell_task(self, call: Call, target: TaskTarget) -> Outcome:
        if self._call_task is None:
            return NotTaken("a Celery task can only be called through a broker: set CELERY_BROKER_URL", ours=True)
        self._call_task(target, call.event_id, {"id": call.event_id, **event(call, with_reply=False)})
        return Taken()

    def _tell_web_hook(self, call: Call, target: WebHookTarget) -> Outcome:
        if not self._signers:
            return NotTaken("SMSCLICK_WEBHOOK_SECRET is not set, and web hooks are signed", ours=True)
        body = json.dumps(event(call, with_reply=True), ensure_ascii=False, separators=(",", ":"))
        now = dt.datetime.now(dt.UTC)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"smsclick/{version('smsclick')}",
            "webhook-id": call.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(each.sign(call.event_id, now, body) for each in self._signers),
        }
        return after_answer(self._outbound.post(target, body.encode(), headers))

    def _record(self, results: Sequence[tuple[Call, Outcome]]) -> bool:
        """Write how calls ended; returns whether there is news for an operator."""
        for call, outcome in results:
            if isinstance(outcome, Taken):
                log.info(
                    "Producer told. callback=%s message=%s type=%s receiver=%s tries=%s",
                    *(call.id, call.message_id, call.type, call.receiver, call.tries),
                )
            else:
                log.warning(
                    "A call-back was not taken. callback=%s message=%s type=%s receiver=%s tries=%s reason=%s",
                    *(call.id, call.message_id, call.type, call.receiver, call.tries, outcome.reason),
                )
        return self._database.transact(lambda connection: _write(connection, results, self._rng))


def _purge_batch(connection: sa.Connection, days: int, after: int) -> tuple[int, int | None]:
    """Delete what is old and final of the next rows.

    Returns:
        How many, and the last row that was looked at where older ones than the bound may follow.
    """
    bound = connection.execute(sa.select(db_now())).scalar_one() - dt.timedelta(days=days)
    # The oldest stand first; what is not final yet waits for its receiver, or for an operator, and stays.
    rows = connection.execute(
        sa.select(callbacks.c.id, callbacks.c.created_at, callbacks.c.due_at)
        .where(callbacks.c.id > after)
        .order_by(callbacks.c.id)
        .limit(_PURGED_AT_ONCE)
    ).all()
    old = [row.id for row in rows if row.due_at is None and row.created_at < bound]
    if old:
        connection.execute(sa.delete(callbacks).where(callbacks.c.id.in_(old)))
    more = len(rows) == _PURGED_AT_ONCE and rows[-1].created_at < bound
    return len(old), rows[-1].id if more else None


def _due_receivers(connection: sa.Connection, after: str = "") -> tuple[list[str], str | None]:
    """Receivers that something is due for: one look into the index for each that waits, from `after` on.

    Returns:
        The due ones of at most `_MOST_RECEIVERS`, and the last one that was looked at where there may be more.
    """
    now = connection.execute(sa.select(db_now())).scalar_one()
    found: list[str] = []
    last = after
    for _ in range(_MOST_RECEIVERS):
        row = connection.execute(
            sa.select(callbacks.c.receiver, callbacks.c.due_at)
            .where(callbacks.c.receiver > last)
            .order_by(callbacks.c.receiver, callbacks.c.due_at)
            .limit(1)
        ).first()
        if row is None:
            return found, None
        last = row.receiver
        if row.due_at <= now:
            found.append(last)
    return found, last


def _claim(connection: sa.Connection, receiver: str, limit: int) -> tuple[list[Call], bool]:
    """Claim what is due for a receiver; what must wait for an earlier event of its message makes way."""
    rows = connection.execute(
        sa.select(callbacks, db_now().label("now"))
        .where(callbacks.c.receiver == receiver, callbacks.c.due_at <= db_now())
        .order_by(callbacks.c.due_at, callbacks.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return [], False
    now = rows[0].now
    begin_by = time.monotonic() + _BEGIN_SECONDS
    firsts = _firsts(connection, {row.message_id for row in rows})
    calls, blocked = [], []
    about = _about(connection, {row.message_id for row in rows})
    for row in rows:
        first_id, first_due = firsts[row.message_id]
        if first_id != row.id:
            later = max(first_due, now + dt.timedelta(seconds=_BLOCKED_SECONDS))
            blocked.append({"b_id": row.id, "b_due_at": later})
            continue
        told = about[row.message_id]
        head = {"id": row.message_id, "key": told.key, "reference": told.reference, "created_at": iso(told.created_at)}
        calls.append(
            Call(
                id=row.id,
                event_id=row.event_id,
                message_id=row.message_id,
                type=row.type,
                target=row.target,
                receiver=row.receiver,
                tries=row.tries + 1,
                created_at=row.created_at,
                age_seconds=(now - row.created_at).total_seconds(),
                data=head | json.loads(row.data),
                reply=told.reply,
                begin_by=begin_by,
            )
        )
    if calls:
        connection.execute(
            sa.update(callbacks)
            .where(callbacks.c.id.in_([call.id for call in calls]))
            .values(due_at=now + dt.timedelta(seconds=_LEASE_SECONDS), tries=callbacks.c.tries + 1)
        )
    if blocked:
        connection.execute(
            sa.update(callbacks)
            .where(callbacks.c.id == sa.bindparam("b_id"))
            .values(due_at=sa.bindparam("b_due_at", type_=callbacks.c.due_at.type)),
            blocked,
        )
    return calls, bool(blocked)


def _unclaim(connection: sa.Connection, ids: Sequence[int]) -> None:
    connection.execute(
        sa.update(callbacks)
        .where(callbacks.c.id.in_(ids), callbacks.c.receiver.is_not(None))
        .values(due_at=db_now(), tries=callbacks.c.tries - 1)
    )


def _firsts(connection: sa.Connection, message_ids: Collection[int]) -> dict[int, tuple[int, dt.datetime]]:
    """The first row of each message that is not final, and when it is due."""
    rows = connection.execute(
        sa.select(callbacks.c.message_id, callbacks.c.id, callbacks.c.due_at)
        .where(callbacks.c.message_id.in_(message_ids), callbacks.c.receiver.is_not(None))
        .order_by(callbacks.c.id.desc())
    )
    return {row.message_id: (row.id, row.due_at) for row in rows}


def _about(connection: sa.Connection, message_ids: Collection[int]) -> dict[int, Any]:
    columns = [messages.c[name] for name in ("id", "key", "reference", "created_at", "reply")]
    query = sa.select(*columns).where(messages.c.id.in_(message_ids))
    try:
        with connection.begin_nested():
            return {row.id: row for row in connection.execute(query)}
    except Exception as error:
        if fault_of(error) is not Fault.ROW:
            raise
    # One that cannot be read keeps nobody's events back; its own say so.
    found = readable.read(connection, message_ids, columns)
    return {
        each: SimpleNamespace(
            **{name: readable.shown(value) for name, value in values.items() if name != "created_at"},
            created_at=values["created_at"] if isinstance(values["created_at"], dt.datetime) else None,
        )
        for each, values in found.items()
    }


def _write(connection: sa.Connection, results: Sequence[tuple[Call, Outcome]], rng: random.Random) -> bool:
    now = connection.execute(sa.select(db_now())).scalar_one()
    told = False
    # Whoever has their claims by now: the receiver has them.
    taken = [call for call, outcome in results if isinstance(outcome, Taken)]
    _finish(connection, taken, now, delivered_at=now, failed_at=None, last_error=None)
    for call, outcome in results:
        if isinstance(outcome, Taken):
            continue
        wait_seconds = _wait_after(call, outcome, rng)
        if wait_seconds is None:
            _finish(connection, [call], now, failed_at=now, last_error=outcome.reason[:300])
        else:
            _postpone(connection, call, now + dt.timedelta(seconds=wait_seconds), outcome.reason)
    for receiver in {call.receiver for call in taken}:
        told |= incidents.close(connection, _INCIDENT, subject=_subject(receiver))
    for call, outcome in results:
        if _worth_telling(call, outcome) and not isinstance(outcome, Taken):
            detail = f"{call.receiver[:100]}: {outcome.reason}; first: message {call.message_id}"
            told |= incidents.report(connection, _INCIDENT, subject=_subject(call.receiver), detail=detail)
    return told


def _wait_after(call: Call, outcome: NotTaken | GivenUp, rng: random.Random) -> float | None:
    if isinstance(outcome, GivenUp):
        return None
    if outcome.ours:
        return operator_wait(call.age_seconds, rng)
    return next_wait(call.tries, call.age_seconds, rng)


def _worth_telling(call: Call, outcome: Outcome) -> bool:
    match outcome:
        case Taken():
            return False
        case NotTaken():
            return outcome.ours or call.tries >= _TOLD_AFTER_TRIES or call.age_seconds >= _LAST_SECONDS
        case GivenUp():
            return True


def _finish(connection: sa.Connection, calls: Sequence[Call], now: dt.datetime, **values: object) -> None:
    """They are final: the next events of their messages may go."""
    if not calls:
        return
    connection.execute(
        sa.update(callbacks)
        .where(callbacks.c.id.in_([call.id for call in calls]), callbacks.c.delivered_at.is_(None))
        .values(due_at=None, receiver=None, **values)
    )
    _move_followers(connection, calls, now)


def _postpone(connection: sa.Connection, call: Call, until: dt.datetime, reason: str) -> None:
    """Not yet: the message's next event waits as long. Only while the claim is this call's own."""
    postponed = connection.execute(
        sa.update(callbacks)
        .where(callbacks.c.id == call.id, callbacks.c.tries == call.tries, callbacks.c.receiver.is_not(None))
        .values(due_at=until, last_error=reason[:300])
    )
    if postponed.rowcount:
        _move_followers(connection, [call], until)


def _move_followers(connection: sa.Connection, calls: Sequence[Call], due_at: dt.datetime) -> None:
    """Everything of these messages that is not final stands behind these calls: a message's first one goes first."""
    connection.execute(
        sa.update(callbacks)
        .where(
            callbacks.c.message_id.in_([call.message_id for call in calls]),
            callbacks.c.receiver.is_not(None),
            callbacks.c.id.not_in([call.id for call in calls]),
        )
        .values(due_at=due_at)
    )


def _outcome(ended: Future[Outcome]) -> Outcome:
    """How a call ended. What is no `Exception` (SystemExit) reaches this future too, and takes nobody with it."""
    error = ended.exception()
    if error is None:
        return ended.result()
    log.error("A callback could not be tried. error=%s", place(error))
    return NotTaken("a defect of the worker; its log says more", ours=True)


def _gather(flying: Collection[Future[Outcome]]) -> set[Future[Outcome]]:
    """What has ended, after waiting for the first and a moment for more, so that they are recorded together."""
    if wait(flying, _LOOK_SECONDS, return_when=FIRST_COMPLETED).done:
        return wait(flying, _GATHER_SECONDS).done
    return set()


def _subject(receiver: str) -> str:
    """A receiver in the forty characters that an incident's subject has."""
    if len(receiver) <= 40:
        return receiver
    return f"{receiver[:31]}~{hashlib.sha256(receiver.encode()).hexdigest()[:8]}"
