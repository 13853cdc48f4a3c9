"""The pump: keeps as many calls under way as the provider takes, from one feeder that claims and a pool that calls.

A doorbell wakes the feeder, which claims sets of messages, a little ahead of the calls and never in waves: a thread
that has its answer takes the next claim at once. Claimed rows wait for a fraction of a second, so that a killed
process leaves few that nobody called for. Results go to the recorder, which writes them in groups.
"""

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Collection

from smsclick.errors import SmsclickError
from smsclick.replies import Accepted, Refused, Unknown
from worker import gate, send
from worker.claims import Claim
from worker.concurrency import Concurrency
from worker.decisions import Outcome, Released
from worker.runtime import Runtime
from worker.settle import Ended

log = logging.getLogger(__name__)

_AHEAD_SECONDS = 0.2
_AHEAD_MOST_SECONDS = 2.0
"""How far ahead of the calls messages are claimed; the second where that is no more than one for each call."""

_CLAIM = 100
"""Rows of one claim at the most."""

_HINTS = 1000
_RATE_SECONDS = 0.1
_OTHERS_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_PUSHED_BACK = (429, 503)


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    claim: Claim
    claimed_at: float
    first: bool


class Pump:
    """One process's sending. It starts with the first ring and ends with `close`.

    Args:
        runtime: this process's.
        most: calls at once at the most.
    """

    def __init__(self, runtime: Runtime, most: int) -> None:
        self._runtime = runtime
        self._concurrency = Concurrency(most)
        self._lock = threading.Lock()
        self._feed = threading.Condition(self._lock)
        self._ready: deque[_Item] = deque()
        self._parked: list[threading.Lock] = []
        self._active = 0
        self._hints: set[int] = set()
        self._rung = False
        self._hungry = False
        self._backlog = False
        self._holds = 0
        self._ended = 0
        self._rate = 0.0
        self._rated_at = time.monotonic()
        self._others_rung_at = float("-inf")
        self._senders: list[threading.Thread] = []
        self._feeder: threading.Thread | None = None

    def ring(self, ids: Collection[int] = ()) -> None:
        """Look now. The ids matter only while the gate is held, for the canary; else the order is the database's."""
        with self._feed:
            if self._runtime.stopping.is_set():
                return
            if len(self._hints) < _HINTS:
                self._hints.update(ids)
            self._rung = True
            if self._feeder is None:
                self._feeder = threading.Thread(target=self._feed_on, name="smsclick-feeder", daemon=True)
                self._feeder.start()
            self._feed.notify()

    def close(self) -> None:
        """Release what was not called for, await what is on the wire (the read timeout at most), record everything."""
        self._runtime.stopping.set()
        with self._feed:
            self._feed.notify()
        if self._feeder is not None:
            self._feeder.join()
        with self._feed:
            self._active += len(self._parked)
            for parked in self._parked:
                parked.release()
            self._parked.clear()
        for sender in self._senders:
            sender.join()
        self._give_back()

    # --- The feeder

    def _feed_on(self) -> None:
        more = True
        while True:
            with self._feed:
                self._hungry = True
                while not self._runtime.stopping.is_set() and not ((more or self._rung) and self._room() > 0):
                    self._hungry = more or self._rung
                    self._feed.wait(self._pause())
                if self._runtime.stopping.is_set():
                    return
                room, self._hungry = self._room(), False
                hints, self._hints, self._rung = self._hints, set(), False
            more = self._claim(room, hints)

    def _pause(self) -> float | None:
        """While the provider asked for a pause, its end is what we wait for."""
        left = self._concurrency.paused_until - time.monotonic()
        return left if left > 0 else None

    def _room(self) -> int:
        """How many claims there is room for; 0 until enough of them are used up that a set is worth a transaction."""
        if self._holds or self._concurrency.paused_until > time.monotonic():
            return 0
        limit = self._concurrency.limit
        # At least one for each call, as far as that is no longer than it takes others to notice that they could help.
        ahead = int(max(self._rate * _AHEAD_SECONDS, min(limit, self._rate * _AHEAD_MOST_SECONDS)))
        idle = max(0, limit - self._active)
        waiting = len(self._ready)
        if waiting > (ahead + idle) // 2:
            return 0
        # Under a limit of calls a second, what is claimed only waits.
        return min(_CLAIM, max(1, ahead + idle) - waiting, self._runtime.limiter.claim_limit or _CLAIM)

    def _claim(self, room: int, hints: Collection[int]) -> bool:
        """Claim once; returns whether there may be more."""
        try:
            batch = send.claim(self._runtime, None, room)
            if not batch.claims and hints:
                # While the gate is held nothing is next, but the canary may be among those that were rung for.
                batch = send.claim(self._runtime, hints, 1)
        except SmsclickError as error:
            log.warning("Could not claim messages. error=%s", error)
            self._runtime.stopping.wait(_RETRY_SECONDS)
            return False
        except Exception:
            # Whatever a database refuses: without this thread nothing would ever be sent again.
            log.exception("Could not claim messages")
            self._runtime.stopping.wait(_RETRY_SECONDS)
            return False
        with self._feed:
            self._ready.extend(
                _Item(claim, batch.claimed_at, first=index == 0) for index, claim in enumerate(batch.claims)
            )
            self._wake(len(batch.claims))
            self._measure()
            self._backlog = full = len(batch.claims) >= room
        if full:
            self._ring_others()
        return full

    def _measure(self) -> None:
        now = time.monotonic()
        if (elapsed := now - self._rated_at) >= _RATE_SECONDS:
            self._rate += (self._ended / elapsed - self._rate) * 0.5
            self._ended, self._rated_at = 0, now

    def _ring_others(self) -> None:
        """More waits than one claim takes: other workers may sleep while this one is busy."""
        now = time.monotonic()
        if now - self._others_rung_at >= _OTHERS_SECONDS:
            self._others_rung_at = now
            send.ring_for_waiting(self._runtime, send.BATCH)

    # --- The senders

    def _wake(self, count: int) -> None:
        """Let up to `count` more senders work, the one that slept last first: few stay warm and the others asleep."""
        for _ in range(min(count, self._concurrency.limit - self._active)):
            self._active += 1
            if self._parked:
                self._parked.pop().release()
            else:
                sender = threading.Thread(target=self._send_on, name="smsclick-sender", daemon=True)
                self._senders.append(sender)
                sender.start()

    def _send_on(self) -> None:
        signal = threading.Lock()
        signal.acquire()
        while (item := self._take(signal)) is not None:
            began = time.monotonic()
            ended = self._attempt(item)
            seconds = time.monotonic() - began
            if isinstance(ended.outcome, Refused) and ended.outcome.action in gate.REASONS:
                self._hold(ended)
                continue
            recorded = self._runtime.recorder.submit(ended)
            self._learn(ended.outcome, seconds)
            if not isinstance(ended.outcome, Accepted):
                recorded.result()  # it may close the gate: this thread begins nothing before that is known

    def _attempt(self, item: _Item) -> Ended:
        try:
            return send.attempt(self._runtime, item.claim, item.claimed_at, first=item.first)
        except Exception:
            # A defect of ours: this thread must go on, and nobody knows what became of the request.
            log.exception("An attempt ended in an unexpected error. message=%s", item.claim.id)
            return Ended(item.claim, Unknown("an unexpected error of the worker"), epoch=0)

    def _take(self, signal: threading.Lock) -> _Item | None:
        """The next claim to call for, as soon as there is one for this thread; None when the pump ends."""
        while True:
            with self._feed:
                stopping = self._runtime.stopping.is_set()
                if self._ready and (self._active <= self._concurrency.limit or stopping):
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
        pushed_back = False
        with self._feed:
            self._ended += 1
            # Not whether all calls allowed are under way just now: answers come in bursts, and claims in sets.
            busy = self._backlog or len(self._ready) > 0
            if isinstance(outcome, Unknown) and outcome.status in _PUSHED_BACK:
                self._concurrency.pushed_back(now, outcome.retry_after)
                self._feed.notify()  # it must know until when to wait
                pushed_back = True
            elif isinstance(outcome, Accepted) or (isinstance(outcome, Refused) and outcome.code is not None):
                self._concurrency.answered(now, seconds, busy=busy)
        if pushed_back:
            self._give_back()

    def _hold(self, ended: Ended) -> None:
        """The account is refused: nothing more begins here until that is on record, and the gate is closed for all."""
        with self._feed:
            self._ended += 1
            self._holds += 1
        self._give_back()
        self._runtime.recorder.record(ended)
        self._runtime.gate.forget()
        with self._feed:
            self._holds -= 1
            self._feed.notify()

    def _give_back(self) -> None:
        """Release what is claimed and not called for; others may have more luck, or it waits in the database."""
        with self._feed:
            left, self._ready = self._ready, deque()
        for item in left:
            self._runtime.recorder.submit(Ended(item.claim, Released(), epoch=0))
