"""Whether the pump sends what it may send: its threads can run and beat while no call is ever made.

Two facts make a stall, and both must last for `STALLED_SECONDS`:

- nothing was called for: no call began, and no attempt had a result;
- there was something to call for: one and the same message stayed due, or claims were released without a call.

What holds up calls for a good reason starts the time again: a hold, a pause that the provider asked for, the rate
limit, results that wait for the database, a database that does not answer. Before a stall is reported, a claim is
tried out on that message without changing it: a duplicate, a row that somebody else has locked and a low message in
quiet hours are nothing that this process may send. Why: docs/decisions/0074-a-pump-that-sends-nothing.md.
"""

import time
from collections.abc import Callable

import sqlalchemy as sa

from smsclick._logs.event_log import EventLog
from worker.account import account_state
from worker.context import Context
from worker.lifecycle.policy import Policy
from worker.queue import claims
from worker.sending.calls import Calls
from worker.threads.supervision import ThreadReport

log = EventLog(__name__)

LOOK_SECONDS = 5.0
"""Between two looks. While calls are made, a look asks the database nothing."""

STALLED_SECONDS = 60.0
"""A pump that may send and sends nothing for this long has stalled, if no call can take that long."""

_RESULT_SECONDS = 15.0
"""A call in flight has its result so long after its timeouts at the latest."""

_SWEEPS = 4
"""The feeder looks for due messages once in each sweep period, without any wake-up: so many must have passed."""

_GAP_SECONDS = 4 * LOOK_SECONDS
"""Where two looks are so far apart, the whole machine stood still, and the time starts again."""

_HELD_UP_SECONDS = 2 * LOOK_SECONDS
"""So long after the last wait for a slot, or the last error of a claim, these count as the reason."""

_WHY = "messages are due that it may send, and it makes no call"


class PumpProgress:
    """The progress of one process's pump.

    Args:
        context: of the process.
        calls: of its pump.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        context: Context,
        calls: Calls,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._calls = calls
        self._clock = clock
        settings = context.settings
        longest_call = settings.connect_timeout + settings.read_timeout
        self.stalled_seconds = max(STALLED_SECONDS, longest_call + _RESULT_SECONDS, _SWEEPS * settings.sweep_seconds)
        """From when on missing progress is a stall."""
        self._looked_at = clock()
        self._unavailable_at = float("-inf")
        self._made = self._released = 0
        self._message_id: int | None = None
        self._since: float | None = None
        self._stalled = False

    def look(self) -> None:
        """Note what there is to send and whether any of it was sent; called every `LOOK_SECONDS`."""
        now = self._clock()
        made, looked_at = self._calls.made, self._looked_at
        progressed = made != self._made
        self._made, self._looked_at = made, now
        if progressed or now - looked_at > _GAP_SECONDS or self._is_held_up(now):
            self._start_again()
            return
        try:
            has_work = self._has_work()
            is_over = has_work and self._since is not None and now - self._since > self.stalled_seconds
            may_send = is_over and self._may_send()
        except Exception as error:  # noqa: BLE001 - an unreadable row or a database that is away is no stall
            log.debug("pump_unchecked", error=type(error).__name__)
            self._start_again()
            return
        if not has_work or (is_over and not may_send):
            self._start_again()
            return
        self._stalled = may_send
        if self._since is None:
            self._since = now

    def note_unavailable(self) -> None:
        """Note that a claim failed because the database could not be used; by the feeder."""
        self._unavailable_at = self._clock()

    def report(self) -> list[ThreadReport]:
        """The pump's state for health checks; empty where the process ends."""
        if self._context.stopping.is_set():
            return []
        since = self._since
        idle = 0.0 if since is None else self._clock() - since
        if not self._stalled:
            idle = min(idle, self.stalled_seconds)  # not judged yet
        return [
            ThreadReport(
                "smsclick-pump", alive=True, idle_seconds=idle, beats_within=self.stalled_seconds, stalled_because=_WHY
            )
        ]

    def _start_again(self) -> None:
        self._since = self._message_id = None
        self._released = self._calls.released
        self._stalled = False

    def _is_held_up(self, now: float) -> bool:
        """Whether something else than the pump keeps calls from beginning, as far as the process knows."""
        context = self._context
        return (
            self._calls.paused_until > now
            or self._calls.has_unrecorded
            or not context.recorder.has_room
            or now - max(context.limiter.waited_at, self._unavailable_at) <= _HELD_UP_SECONDS
        )

    def _has_work(self) -> bool:
        """Whether the message that was due is still due, or claims were released without a call."""
        with self._context.database.read() as connection:
            account = account_state.read(connection)
            if not account.is_open or (account.simulated_at is not None and not self._context.simulated):
                return False
            released, self._released = self._released, self._calls.released
            if self._calls.released != released or self._calls.waiting:
                return True
            if self._message_id is None or not claims.is_waiting(connection, self._message_id):
                self._since = None
                self._message_id = claims.last_waiting(connection)
            return self._message_id is not None

    def _may_send(self) -> bool:
        """Whether a claim would take the message; where claims were released, that was seen already."""
        message_id = self._message_id
        if message_id is None or self._calls.waiting:
            return True
        policy = Policy.of(self._context.settings, self._context.account)

        def would_take(connection: sa.Connection) -> bool:
            return claims.would_take(connection, message_id, policy)

        return self._context.database.transact(would_take)
