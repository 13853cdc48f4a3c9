"""The pump: keeps as many calls in flight as the provider accepts. One feeder thread claims, many threads call.

The feeder claims messages in sets, a little ahead of the calls. A thread that has its answer starts the next call at
once, so there are no waves. A claimed row waits for a fraction of a second only, so a killed process leaves few claims
without a call. A wake-up makes the feeder look at once. Without wake-ups it looks once in each sweep period, so
messages are sent while the broker is down. Results go to the recorder, which writes them in groups; while the recorder
has no room, nothing is claimed and no call begins.
"""

import dataclasses
import logging
import threading
import time
from collections import deque

from smsclick.errors import SmsclickError
from smsclick.provider.results import Accepted, Refused, Unknown
from worker.account import holds
from worker.context import Context
from worker.lifecycle.attempt import Claim, Ended
from worker.lifecycle.policy import Outcome, Released
from worker.sending import attempts
from worker.sending.concurrency import Concurrency
from worker.threads.log_limit import LimitedLog
from worker.threads.supervision import SupervisedThread, ThreadReport

log = logging.getLogger(__name__)
_waits = LimitedLog(log)

_AHEAD_SECONDS = 0.2
_AHEAD_MOST_SECONDS = 2.0
"""How far ahead of the calls messages are claimed; the second applies up to one claim for each call in flight."""

_CLAIM_ROWS = 100
"""At most so many rows in one claim."""

_RATE_SECONDS = 0.1
_OTHERS_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_FULL_SECONDS = 0.05
_IDLE_SECONDS = 5.0
_BEATS_WITHIN_SECONDS = 60.0
_LOOK_SPREAD = 0.25
"""Each process looks this share of the period earlier or later, so that many processes do not look together."""

_THROTTLED_STATUSES = (429, 503)


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    claim: Claim
    claimed_at: float
    first: bool


class Pump:
    """Sends for one process, from `start` until `close`.

    Args:
        context: this process's.
        most: at most so many calls in flight.
    """

    def __init__(self, context: Context, most: int) -> None:
        self._context = context
        self._concurrency = Concurrency(most)
        self._lock = threading.Lock()
        self._feed = threading.Condition(self._lock)
        self._ready: deque[_Item] = deque()
        self._parked: list[threading.Lock] = []
        self._active = 0
        self._woken = False
        self._hungry = False
        self._backlog = False
        self._holds = 0
        self._ended = 0
        self._rate = 0.0
        self._rated_at = time.monotonic()
        self._others_woken_at = float("-inf")
        self._look_at = float("-inf")
        self._senders: list[SupervisedThread] = []
        self.cannot_start_since: float | None = None
        """Since when (`time.monotonic`) the system refuses a thread for a call; None if it allows threads."""
        self._feeder = context.threads.add(
            SupervisedThread(
                "smsclick-feeder",
                self._feed_on,
                stopping=context.stopping,
                beats_within=_BEATS_WITHIN_SECONDS,
            )
        )

    def start(self) -> None:
        """Start to look for messages. It may be called again, and does no harm if the system allows no thread now."""
        self._feeder.start()

    def wake(self) -> None:
        """Look for messages now; starts the pump if it has not started."""
        if self._context.stopping.is_set():
            return
        self.start()
        with self._feed:
            self._woken = True
            self._feed.notify()

    def close(self) -> None:
        """Release claims without a call, wait for calls in flight (at most the read timeout), record everything."""
        self._context.stopping.set()
        with self._feed:
            self._feed.notify()
        self._feeder.join()
        with self._feed:
            self._active += len(self._parked)
            for parked in self._parked:
                parked.release()
            self._parked.clear()
        for sender in self._senders:
            sender.join()
        self._give_back()

    def report(self) -> list[ThreadReport]:
        """Report calls for which the system allows no thread; the threads themselves cannot show that."""
        since = self.cannot_start_since
        if since is None:
            return []
        seconds = time.monotonic() - since
        return [ThreadReport("smsclick-sender", alive=False, failing_seconds=seconds, idle_seconds=seconds)]

    # --- The feeder

    def _feed_on(self) -> None:
        more = True
        while True:
            with self._feed:
                self._await_room(more=more)
                if self._context.stopping.is_set():
                    return
                room, self._hungry, self._woken = self._room(), False, False
                self._look_at = time.monotonic() + self._look_seconds()
            more = self._claim(room)

    def _await_room(self, *, more: bool) -> None:
        """Wait until there is room and something to claim or a look is due, or until the process ends."""
        while not self._context.stopping.is_set():
            self._feeder.beat()
            self._hungry = more or self._woken or time.monotonic() >= self._look_at
            if self._hungry and self._room() > 0:
                return
            self._wake(len(self._ready))  # in case no thread could be started for them before
            self._feed.wait(self._pause())

    def _look_seconds(self) -> float:
        spread = 1 - _LOOK_SPREAD + 2 * _LOOK_SPREAD * self._context.rng.random()
        return self._context.settings.sweep_seconds * spread

    def _pause(self) -> float:
        """Seconds to wait at most: to the end of the pause that the provider asked for, or to the next look."""
        if not self._context.recorder.has_room:
            return _FULL_SECONDS
        now = time.monotonic()
        until = self._concurrency.paused_until if self._concurrency.paused_until > now else self._look_at
        return min(until - now, _IDLE_SECONDS) if until > now else _IDLE_SECONDS

    def _room(self) -> int:
        """How many claims there is room for; 0 until enough claims are used that a new set is worth a transaction."""
        if not self._may_begin() or not self._context.recorder.has_room:
            return 0
        limit = self._concurrency.limit
        # At least one for each call, but no more than other processes could start to send in the meantime.
        ahead = int(max(self._rate * _AHEAD_SECONDS, min(limit, self._rate * _AHEAD_MOST_SECONDS)))
        idle = max(0, limit - self._active)
        waiting = len(self._ready)
        if waiting > (ahead + idle) // 2:
            return 0
        # Under a limit of calls a second, a claim made early would only wait.
        return min(_CLAIM_ROWS, max(1, ahead + idle) - waiting, self._context.limiter.claim_limit or _CLAIM_ROWS)

    def _may_begin(self) -> bool:
        """Neither while the account is being held nor before the end of a pause that the provider asked for."""
        return not self._holds and self._concurrency.paused_until <= time.monotonic()

    def _claim(self, room: int) -> bool:
        """Claim once; returns whether there may be more."""
        try:
            with self._feeder.waiting_for("database"):
                batch = attempts.claim(self._context, None, room)
        except Exception as error:  # noqa: BLE001 - no error of a database may end the sending
            # Neither the driver's words nor a traceback: they may hold a row.
            shown = error if isinstance(error, SmsclickError) else SmsclickError(type(error).__name__)
            _waits.warning("Could not claim messages. error=%s", shown)
            self._context.stopping.wait(_RETRY_SECONDS)
            return False
        with self._feed:
            self._ready.extend(
                _Item(claim, batch.claimed_at, first=index == 0) for index, claim in enumerate(batch.claims)
            )
            begin = self._may_begin()
            if begin:
                self._wake(len(batch.claims))
            self._measure()
            self._backlog = full = len(batch.claims) >= room
        if not begin:
            # The provider asked for a pause, or refused the account, while the claim was under way.
            self._give_back()
            return True
        if full:
            self._wake_others()
        return full

    def _measure(self) -> None:
        now = time.monotonic()
        if (elapsed := now - self._rated_at) >= _RATE_SECONDS:
            self._rate += (self._ended / elapsed - self._rate) * 0.5
            self._ended, self._rated_at = 0, now

    def _wake_others(self) -> None:
        """More waits than one claim takes: other workers may sleep while this one is busy."""
        now = time.monotonic()
        if now - self._others_woken_at >= _OTHERS_SECONDS:
            self._others_woken_at = now
            try:
                with self._feeder.waiting_for("database"):
                    attempts.wake_for_waiting(self._context, attempts.WAKE_UP_IDS)
            except Exception as error:  # noqa: BLE001 - others look by themselves before long
                log.warning("Could not wake other workers. error=%s", type(error).__name__)

    # --- The senders

    def _wake(self, count: int) -> None:
        """Let up to `count` more senders work, the one that slept last first: few stay warm and the others asleep."""
        if not count or not self._may_begin():
            return
        for _ in range(min(count, self._concurrency.limit - self._active)):
            if self._parked:
                self._active += 1
                self._parked.pop().release()
            elif not self._start_sender():
                return  # those at work take the rest; where there are none, the feeder tries again

    def _start_sender(self) -> bool:
        sender = SupervisedThread("smsclick-sender", self._send_on, stopping=self._context.stopping)
        # Before it runs, because it takes itself off the count; but not where it never runs.
        self._active += 1
        if sender.start():
            self._senders.append(sender)
            self.cannot_start_since = None
            return True
        self._active -= 1
        if self.cannot_start_since is None:
            self.cannot_start_since = time.monotonic()
        return False

    def _send_on(self) -> None:
        signal = threading.Lock()
        signal.acquire()
        try:
            while (item := self._take(signal)) is not None:
                self._send(item)
        except BaseException:
            with self._feed:
                if signal in self._parked:
                    # Its supervisor starts it again, as one that works.
                    self._parked.remove(signal)
                    self._active += 1
            raise

    def _send(self, item: _Item) -> None:
        began = time.monotonic()
        ended = self._attempt(item)
        seconds = time.monotonic() - began
        if isinstance(ended.outcome, Refused) and ended.outcome.action in holds.REASONS:
            self._hold(ended)
            return
        recorded = self._context.recorder.submit(ended)
        self._learn(ended.outcome, seconds)
        if not isinstance(ended.outcome, Accepted):
            recorded.result()  # it may put a hold, so this thread begins no call before the record

    def _attempt(self, item: _Item) -> Ended:
        if not self._context.recorder.await_room(attempts.MOST_CLAIM_WAIT_SECONDS):
            # What it brought could not be recorded soon, and would be lost with this process.
            return Ended(item.claim, Released(), epoch=0)
        try:
            return attempts.attempt(
                self._context, item.claim, item.claimed_at, first=item.first, may_begin=self._may_begin
            )
        except Exception:
            # A defect of ours: this thread must go on, and nobody knows what became of the request.
            log.exception("An attempt ended in an unexpected error. message=%s", item.claim.id)
            return Ended(item.claim, Unknown("an unexpected error of the worker"), epoch=0)

    def _take(self, signal: threading.Lock) -> _Item | None:
        """The next claim to call for, as soon as there is one for this thread; None when the pump ends."""
        while True:
            with self._feed:
                stopping = self._context.stopping.is_set()
                if self._ready and (stopping or (self._active <= self._concurrency.limit and self._may_begin())):
                    item = self._ready.popleft()
                    self._feed_if_hungry()
                    return item
                self._active -= 1
                if stopping:
                    return None
                self._parked.append(signal)
                self._feed_if_hungry()
            signal.acquire()

    def _feed_if_hungry(self) -> None:
        if self._hungry and self._room() > 0:
            self._feed.notify()

    def _learn(self, outcome: Outcome, seconds: float) -> None:
        now = time.monotonic()
        throttled = False
        with self._feed:
            self._ended += 1
            # Not whether all calls allowed are under way just now: answers come in bursts, and claims in sets.
            busy = self._backlog or len(self._ready) > 0
            if isinstance(outcome, Unknown) and outcome.status in _THROTTLED_STATUSES:
                self._concurrency.throttled(now, outcome.retry_after)
                self._feed.notify()  # it must learn until when to wait
                throttled = True
            elif isinstance(outcome, Accepted) or (isinstance(outcome, Refused) and outcome.code is not None):
                self._concurrency.answered(now, seconds, busy=busy)
        if throttled:
            self._give_back()

    def _hold(self, ended: Ended) -> None:
        """The account was refused: no call begins here until the hold is recorded, which stops all processes."""
        with self._feed:
            self._ended += 1
            self._holds += 1
        try:
            self._give_back()
            self._context.recorder.record(ended)
            self._context.hold_cache.forget()
        finally:
            with self._feed:
                self._holds -= 1
                self._feed.notify()

    def _give_back(self) -> None:
        """Release claims without a call: another process may send them, or they wait in the database."""
        with self._feed:
            left, self._ready = self._ready, deque()
        for item in left:
            self._context.recorder.submit(Ended(item.claim, Released(), epoch=0))
