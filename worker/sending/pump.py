"""The pump: keeps as many calls in flight as the provider accepts. A feeder thread claims, an event loop calls.

The feeder claims messages in sets, a little ahead of the calls (`worker.sending.calls`), and high ones in sets of
their own before them. A call that has its answer makes room for the next at once, so there are no waves. A claimed row
waits for a fraction of a second only, so a killed process leaves few claims without a call. A wake-up makes the feeder
look at once. Without wake-ups it looks once in each sweep period, so messages are sent while the broker is down.
Results go to the recorder, which writes them in groups; while the recorder has no room, nothing is claimed and no call
begins.
"""

import threading
import time

from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from worker.context import Context
from worker.queue import claims as queue_claims
from worker.sending import attempts
from worker.sending.calls import Calls
from worker.sending.claim_size import ClaimSize
from worker.sending.pump_progress import LOOK_SECONDS, PumpProgress
from worker.threads.log_limit import LimitedLog
from worker.threads.supervision import SupervisedThread, periodic

log = EventLog(__name__)
_waits = LimitedLog(log)

_AHEAD_SECONDS = 0.2
_AHEAD_MOST_SECONDS = 2.0
_AHEAD_CALLS = 200
"""How far ahead of the calls messages are claimed: so many seconds. At least one for each call in flight, because
answers may come in bursts; but of these no more than the second number of seconds, and no more than the third."""

_CLAIM_ROWS = 100
_CLAIM_ROWS_MOST = 400
"""At most so many rows in one claim; the second where so many calls may begin at once."""

_HIGH_ROWS, _HIGH_SHARE = 20, 0.2
"""At most so many rows, and this share of the room, in the claim of high messages alone that precedes a large one."""

_RATE_SECONDS = 0.1
_OTHERS_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_BEATS_WITHIN_SECONDS = 60.0
_CHECK_ENDS_SECONDS = 2.0
_FEEDER_ENDS_SECONDS = 90.0
"""A database that does not answer is given up earlier."""
_LOOK_SPREAD = 0.25
"""Each process looks this share of the period earlier or later, so that many processes do not look together."""


class Pump:
    """Sends for one process, from `start` until `close`.

    Args:
        context: this process's.
        most: at most so many calls in flight.
    """

    def __init__(self, context: Context, most: int) -> None:
        self._context = context
        self._calls = Calls(context, most, self._feed_if_hungry, self._look_again)
        self._feed = threading.Condition()
        self._size = ClaimSize(_CLAIM_ROWS_MOST)
        self._woken = False
        self._hungry = False
        self._rate = 0.0
        self._rated_at = time.monotonic()
        self._rated_answers = 0
        self._others_woken_at = float("-inf")
        self._look_at = float("-inf")
        self._feeder = context.threads.add(
            SupervisedThread(
                "smsclick-feeder",
                self._feed_on,
                stopping=context.stopping,
                beats_within=_BEATS_WITHIN_SECONDS,
            )
        )
        self._progress = PumpProgress(context, self._calls)
        self._check = context.threads.add(
            periodic("smsclick-pump-check", self._progress.look, LOOK_SECONDS, stopping=context.stopping)
        )
        context.threads.include(self._progress.report)

    def start(self) -> None:
        """Start to look for messages. It may be called again, and does no harm if the system allows no thread now."""
        self._calls.start()
        self._feeder.start()
        self._check.start()

    def wake(self) -> None:
        """Look for messages now; starts the pump if it has not started."""
        if self._context.stopping.is_set():
            return
        self.start()
        with self._feed:
            self._woken = True
            self._feed.notify()

    def close(self) -> None:
        """Release claims without a call, and wait for calls in flight (at most the read timeout)."""
        self._context.stopping.set()
        with self._feed:
            self._feed.notify()
        self._feeder.join(_FEEDER_ENDS_SECONDS)
        self._calls.close()
        self._check.join(_CHECK_ENDS_SECONDS)

    # --- The feeder

    def _feed_on(self) -> None:
        more = True
        while True:
            with self._feed:
                room = self._await_room(more=more)
                if self._context.stopping.is_set():
                    return
                self._hungry = self._woken = False
                self._look_at = time.monotonic() + self._look_seconds()
            more = self._claim(room)

    def _await_room(self, *, more: bool) -> int:
        """Wait until there is room and something to claim or a look is due, or until the process ends."""
        while not self._context.stopping.is_set():
            self._feeder.beat()
            self._calls.start()  # in case it could not be started before
            self._hungry = more or self._woken or time.monotonic() >= self._look_at
            if self._hungry and (room := self._room()) > 0:
                return room
            self._feed.wait(self._pause())
        return 0

    def _look_seconds(self) -> float:
        spread = 1 - _LOOK_SPREAD + 2 * _LOOK_SPREAD * self._context.rng.random()
        return self._context.settings.sweep_seconds * spread

    def _pause(self) -> float:
        """Seconds to wait at most: to the end of a pause in which no call begins, or to the next look."""
        seconds = self._calls.pause_seconds or self._look_at - time.monotonic()
        return min(seconds, _IDLE_SECONDS) if seconds > 0 else _IDLE_SECONDS

    def _room(self) -> int:
        """How many claims there is room for; 0 until enough claims are used that a new set is worth a transaction."""
        calls, most_waiting = self._calls, self._context.limiter.claim_limit
        if not calls.takes_claims:
            return 0
        limit, waiting = calls.limit, calls.waiting
        per_call = min(limit, self._rate * _AHEAD_MOST_SECONDS, _AHEAD_CALLS)
        ahead = int(max(self._rate * _AHEAD_SECONDS, per_call))
        idle = max(0, limit - calls.in_flight)
        if waiting > (ahead + idle) // 2:
            return 0
        most_rows = min(max(_CLAIM_ROWS, min(idle, _CLAIM_ROWS_MOST)), self._size.rows)
        room = min(max(1, ahead + idle) - waiting, most_rows)
        # Under a limit of calls a second, a claim made early would only wait.
        return room if most_waiting is None else min(room, most_waiting - waiting)

    def _claim(self, room: int) -> bool:
        """Claim once; returns whether there may be more."""
        try:
            with self._feeder.waiting_for("database"):
                high, others = self._claim_up_to(room)
        except Exception as error:  # noqa: BLE001 - no error of a database may end the sending
            # Neither the driver's words nor a traceback: they may hold a row.
            shown = error if isinstance(error, SmsclickError) else SmsclickError(type(error).__name__)
            if shown is error:
                self._progress.note_unavailable()
            _waits.warning("claim_failed", shown)
            self._context.stopping.wait(_RETRY_SECONDS)
            return False
        self._measure()
        self._calls.backlog = full = high + others >= room
        if full:
            self._wake_others()
        # What comes during a pause, or while the account is being held, is given back. And where high ones were claimed
        # alone, the large claim left out those that the small one only moved to later, and what came since.
        return full or high > 0 or not self._calls.may_begin()

    def _claim_up_to(self, room: int) -> tuple[int, int]:
        """Claim; returns how many high ones were claimed alone, and how many messages after them.

        A large claim lasts long, and a message is called for only when its claim is committed. So where one is likely,
        a small claim of high ones alone comes before it, which the large one leaves out. It takes no more than a share
        of the room: while there are more high ones than that, both claims take them, and lower ones get their share of
        the large one as always.
        """
        before, only = 0, queue_claims.ALL
        most = min(_HIGH_ROWS, int(room * _HIGH_SHARE))
        if self._calls.backlog and most > 0:
            before = self._take(attempts.claim(self._context, None, most, queue_claims.HIGH))
            if before < most:
                only = queue_claims.OTHERS
        began = time.monotonic()
        rest = self._take(attempts.claim(self._context, None, room - before, only))
        self._size.took(rest, time.monotonic() - began)
        return before, rest

    def _take(self, batch: attempts.Batch) -> int:
        if batch.claims:
            self._calls.take(batch)
        return len(batch.claims)

    def _measure(self) -> None:
        now, answers = time.monotonic(), self._calls.answers
        if (elapsed := now - self._rated_at) >= _RATE_SECONDS:
            self._rate += ((answers - self._rated_answers) / elapsed - self._rate) * 0.5
            self._rated_answers, self._rated_at = answers, now

    def _wake_others(self) -> None:
        """More waits than one claim takes: other workers may sleep while this one is busy."""
        now = time.monotonic()
        if now - self._others_woken_at >= _OTHERS_SECONDS:
            self._others_woken_at = now
            try:
                with self._feeder.waiting_for("database"):
                    attempts.wake_for_waiting(self._context, attempts.WAKE_UP_IDS)
            except Exception as error:  # noqa: BLE001 - others look by themselves before long
                log.warning("wakeups_not_sent", error=type(error).__name__)

    def _feed_if_hungry(self) -> None:
        """Let the feeder claim, where it waits for room and there is some; in the thread of the calls."""
        if self._hungry and self._room() > 0:
            with self._feed:
                self._feed.notify()

    def _look_again(self) -> None:
        """Let the feeder learn of a pause, and that claims were given back; in the thread of the calls."""
        with self._feed:
            self._woken = True
            self._feed.notify()
