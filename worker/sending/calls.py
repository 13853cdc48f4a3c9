"""The calls in flight: one thread with an event loop makes them all, each as a task. The feeder passes claims to it.

A claim waits here until fewer calls are in flight than `Concurrency` allows. An accepted answer goes to the recorder,
and the next call begins at once. Any other answer keeps its place among the calls in flight until it is on record,
because it may begin a hold: so no more calls than were in flight can meet the same trouble before the hold is known.

An exception ends neither the thread nor a claim: the loop is made again, what was in flight becomes unknown, and what
had not begun is called for by the new loop.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from smsclick._logs.event_log import EventLog
from smsclick.provider.clock import clock
from smsclick.provider.results import Accepted, Refused, Unknown
from worker.account import holds
from worker.context import Context, Sender
from worker.lifecycle.attempt import Ended
from worker.lifecycle.policy import Outcome, Released
from worker.queue import odd_rows
from worker.sending import attempts, call_metrics
from worker.sending.claims_in_hand import Call, ClaimsInHand
from worker.sending.concurrency import Concurrency
from worker.threads import event_loop
from worker.threads.supervision import SupervisedThread

log = EventLog(__name__)

_TICK_SECONDS = 0.1
_FULL_SECONDS = 0.01
"""While the recorder has no room, the loop looks so often whether it has."""
_FULL_PAUSE_SECONDS = 0.05
"""The feeder looks so often."""
_BEATS_WITHIN_SECONDS = 60.0
_ENDS_SECONDS = 60.0
"""A thread that runs so long after the last call in flight must have ended hangs, and is left to the process's end."""
_ASKING_THREADS = 2
"""Threads that ask the database for the loop: for the account's state, and for slots of the rate limit."""

_THROTTLED_STATUSES = (429, 503)
_DEFECT = "an unexpected error of the worker"
_BROKE_OFF = "the worker's event loop ended during the call"


class Calls:
    """Makes the calls of one process, from `start` until `close`.

    Args:
        context: this process's.
        most: at most so many calls in flight.
        on_room: called in the loop's thread when there may be room for claims.
        on_pause: called there when no call may begin for a while, and claims were given back.
    """

    def __init__(
        self,
        context: Context,
        most: int,
        on_room: Callable[[], None],
        on_pause: Callable[[], None],
    ) -> None:
        self._context = context
        self._concurrency = Concurrency(most)  # only the loop's thread changes it
        self._on_room = on_room
        self._on_pause = on_pause
        self._in_hand = ClaimsInHand()
        self._in_flight: set[Call] = set()
        self._holding = 0
        self._not_begun = 0
        self._look_again: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self.backlog = False
        """Whether the last claim brought as many messages as it asked for; the feeder says so."""
        self.answers = 0
        """How many calls have ended."""
        self.made = 0
        """How many calls have begun, and how many attempts had a result; it grows while the pump does its work."""
        self.released = 0
        """How many claims were released without a call."""
        context.metrics.gauge("calls_allowed", lambda: self._concurrency.limit)
        context.metrics.gauge("calls_in_flight", lambda: len(self._in_flight))
        self._thread = context.threads.add(
            SupervisedThread(
                "smsclick-sender", self._run, stopping=context.stopping, beats_within=_BEATS_WITHIN_SECONDS
            )
        )

    @property
    def in_flight(self) -> int:
        """How many places are in use."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """How many claims wait for their call, here or for a slot of the rate limit."""
        return len(self._in_hand) + self._not_begun

    @property
    def has_unrecorded(self) -> bool:
        """Whether a place is in use because an outcome is not on record yet."""
        return any(call.ended and not call.recorded for call in list(self._in_flight))

    @property
    def limit(self) -> int:
        """How many calls may be in flight."""
        return self._concurrency.limit

    @property
    def is_running(self) -> bool:
        """Whether a loop runs that would call for claims."""
        return self._loop is not None

    @property
    def takes_claims(self) -> bool:
        """Whether claims that came now would be called for, and the results recorded, without a long wait."""
        return self.is_running and self.may_begin() and self._context.recorder.has_room

    @property
    def paused_until(self) -> float:
        """No call begins earlier, because the provider asked for a pause; by `time.monotonic`."""
        return self._concurrency.paused_until

    @property
    def pause_seconds(self) -> float:
        """For how long no call begins: the recorder has no room, or the provider asked for a pause; 0 for neither."""
        if not self._context.recorder.has_room:
            return _FULL_PAUSE_SECONDS
        return max(0.0, self._concurrency.paused_until - time.monotonic())

    def start(self) -> None:
        """Start the thread if it does not run. It may be called again."""
        self._thread.start()

    def may_begin(self) -> bool:
        """Neither while the account is being held nor before the end of a pause that the provider asked for."""
        return not self._holding and self._concurrency.paused_until <= time.monotonic()

    def take(self, batch: attempts.Batch) -> None:
        """Call for these claims; by the feeder."""
        self._in_hand.add(Call(claim, batch.claimed_at, first=index == 0) for index, claim in enumerate(batch.claims))
        self._soon(self._advance)

    def close(self) -> None:
        """Release claims without a call, and wait for calls in flight (at most the read timeout)."""
        self._context.stopping.set()
        self._soon(self._advance)
        if not self._thread.join(self._context.settings.read_timeout + _ENDS_SECONDS):
            log.error("sender_hangs", calls=len(self._in_flight))
            return
        self._account_for_cut_off()
        self._give_back()

    # --- The loop

    def _run(self) -> None:
        self._account_for_cut_off()
        try:
            with asyncio.Runner(loop_factory=event_loop.fastest) as runner:
                runner.run(self._main())
        finally:
            self._account_for_cut_off()

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_defect)
        loop.set_default_executor(ThreadPoolExecutor(_ASKING_THREADS, "smsclick-asks"))
        await loop.run_in_executor(None, int)  # where the system allows no thread, this is the place to fail
        async with self._context.senders() as sender:
            self._sender, self._loop = sender, loop
            self._on_room()
            try:
                while not (self._context.stopping.is_set() and self._is_idle()):
                    self._tick()
                    await asyncio.sleep(_TICK_SECONDS)
            finally:
                self._loop = None
                # A call that is cut off says in its task what is to be recorded.
                tasks = [call.task for call in self._in_flight if call.task is not None]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _is_idle(self) -> bool:
        return not self._in_hand and all(call.ended for call in self._in_flight)

    def _tick(self) -> None:
        self._thread.beat()
        for call in list(self._in_flight):
            if call.recorded:
                self._free(call)  # in case its notice was lost
            elif not call.ended and call.task is not None and call.task.done():
                self._end(call, Ended(call.claim, Unknown(_DEFECT), epoch=0))
        self._release_late()
        self._advance()

    def _advance(self) -> None:
        """Begin as many calls as may begin now."""
        in_hand, loop = self._in_hand, self._loop
        if loop is None:
            return
        if self._context.stopping.is_set() or not self.may_begin():
            self._give_back()
            return
        while (call := in_hand.next()) is not None and len(self._in_flight) < self._concurrency.limit:
            if not self._context.recorder.has_room:
                # What they bring could not be recorded soon, and would be lost with this process.
                self._advance_later(loop)
                return
            self._in_flight.add(call)
            in_hand.remove(call)
            call.task = loop.create_task(self._make(call))
        self._on_room()

    def _advance_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._look_again is None or self._look_again.when() <= loop.time():
            self._look_again = loop.call_later(_FULL_SECONDS, self._advance)

    async def _make(self, call: Call) -> None:
        """Make a call, and give its outcome to the recorder."""
        try:
            ended = await self._attempt(call)
        except Exception as error:  # noqa: BLE001 - one defect must not end the others
            log.error(  # noqa: TRY400 - the traceback may hold a phone or a text
                "attempt_failed", message_id=call.claim.id, attempt=call.claim.attempt, error=odd_rows.place(error)
            )
            # Nobody knows what became of the request.
            ended = Ended(call.claim, Unknown(_DEFECT), epoch=0)
        except BaseException:
            self._loop = None  # it ends, and no call begins in it
            self._end(call, _cut_off(call))
            raise
        self._end(call, ended)

    async def _attempt(self, call: Call) -> Ended:
        self._not_begun += 1
        try:
            permit = await attempts.permit(self._context, call.claim, call.claimed_at, first=call.first)
        finally:
            self._not_begun -= 1
        if isinstance(permit, Ended):
            return permit
        sender = self._sender
        if sender is None or not self.may_begin():
            return attempts.released(call.claim)
        call.began_at = time.monotonic()
        self.made += 1
        return await attempts.call(sender, permit)

    def _end(self, call: Call, ended: Ended) -> None:
        outcome = ended.outcome
        seconds = 0.0 if call.began_at is None else time.monotonic() - call.began_at
        self.answers += 1
        if isinstance(outcome, Released):
            self.released += 1
        else:
            self.made += 1
        if isinstance(outcome, Accepted | Released):
            self._context.recorder.submit(ended)
            call.ended = True
            self._in_flight.discard(call)
        else:
            self._hold(call, outcome)
            self._context.recorder.submit(ended, functools.partial(self._recorded, call))
            call.ended = True
        if call.began_at is not None:
            call_metrics.note(self._context.metrics, ended, call.claimed_at, seconds)
        self._learn(outcome, seconds)
        self._advance()

    def _hold(self, call: Call, outcome: Outcome) -> None:
        """If the account was refused: no call begins here until the hold is recorded, which stops all processes."""
        if isinstance(outcome, Refused) and outcome.action in holds.REASONS:
            call.holds = True
            self._holding += 1
            self._give_back()
            self._on_pause()

    def _recorded(self, call: Call) -> None:
        """An outcome is on record; in the recorder's thread."""
        call.recorded = True
        self._soon(self._free, call)

    def _free(self, call: Call) -> None:
        """Give a call's place to another. If its outcome put a hold, the commit has made this process forget."""
        if call not in self._in_flight:
            return
        self._in_flight.discard(call)
        self._holding -= call.holds
        self._advance()

    def _learn(self, outcome: Outcome, seconds: float) -> None:
        now = time.monotonic()
        if isinstance(outcome, Unknown) and outcome.status in _THROTTLED_STATUSES:
            self._concurrency.throttled(now, outcome.retry_after)
            self._give_back()
            self._on_pause()
        elif isinstance(outcome, Accepted) or (isinstance(outcome, Refused) and outcome.code is not None):
            # Not whether all calls allowed are in flight just now: answers come in bursts, and claims in sets.
            busy = self.backlog or len(self._in_hand) > 0
            self._concurrency.answered(now, seconds, busy=busy, in_flight=len(self._in_flight) + 1)

    def _release_late(self) -> None:
        """Release claims that have waited too long for their call, so that another process may send them."""
        earliest = clock() - attempts.MOST_CLAIM_WAIT_SECONDS
        has_room = self._context.recorder.has_room
        for call in self._in_hand:
            if call.claimed_at >= earliest or (call.first and has_room):
                continue
            self._in_flight.add(call)
            self._in_hand.remove(call)
            self._release(call)

    def _give_back(self) -> None:
        """Release claims without a call: another process may send them, or they wait in the database."""
        while (call := self._in_hand.next()) is not None:
            self._in_flight.add(call)
            self._in_hand.remove(call)
            self._release(call)

    def _release(self, call: Call) -> None:
        """Release a claim that is in flight and nowhere else: one that were called for later would be sent twice."""
        self._context.recorder.submit(attempts.released(call.claim))
        self._in_flight.discard(call)
        self.released += 1

    def _account_for_cut_off(self) -> None:
        """Account for what was in flight when a loop ended; nothing runs now."""
        self._loop = self._sender = None
        waiting = set(self._in_hand)
        for call in list(self._in_flight):
            if call.ended and not call.recorded:
                continue  # its place is free when it is on record
            if not call.ended and call not in waiting:
                self._context.recorder.submit(_cut_off(call))
            self._in_flight.discard(call)
        self._holding = sum(call.holds for call in self._in_flight)
        self._not_begun = 0

    def _soon(self, what: Callable[..., None], *args: object) -> None:
        """Do something in the loop, if one runs; where none does, the next one's tick does it."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(what, *args)


def _cut_off(call: Call) -> Ended:
    """A call whose loop ended. That says nothing about the provider, so the circuit breaker does not count it."""
    outcome: Outcome = Released() if call.began_at is None else Unknown(_BROKE_OFF)
    return Ended(call.claim, outcome, epoch=0, counted=True)


def _log_defect(_loop: asyncio.AbstractEventLoop, what: dict[str, object]) -> None:
    error = what.get("exception")
    shown = odd_rows.place(error) if isinstance(error, Exception) else what.get("message")
    log.error("event_loop_failed", error=shown)
