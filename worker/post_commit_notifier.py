"""The one place that acts after a commit: it wakes up what the committed changes made due, on every path.

It knows nothing of the steps. They note effects in their transactions (`worker.lifecycle.effects`); the process's
`Database` passes them on after the commit, and only then.
"""

from collections.abc import Sequence

from smsclick._logs.event_log import EventLog
from worker.account.account_state import HoldCache
from worker.lifecycle import effects
from worker.queue.odd_rows import place
from worker.traces import tracer
from worker.wakeups import Wakeups

log = EventLog(__name__)


class Notifier:
    """Acts on what transactions of one process noted.

    Args:
        wakeups: how this process asks for further work.
        hold_cache: what it remembers of the account's state.
    """

    def __init__(self, wakeups: Wakeups, hold_cache: HoldCache) -> None:
        self._wakeups = wakeups
        self._hold_cache = hold_cache

    def __call__(self, noted: Sequence[object]) -> None:
        """Act on what one committed transaction noted; a failure is logged and never reaches the caller."""
        try:
            self._act(effects.combined(noted))
        except Exception as error:  # noqa: BLE001 - see below
            # The rows are committed, and a broker's library may raise anything: the sweep finds the same work.
            log.error("notification_failed", error=place(error))  # noqa: TRY400 - its words may hold a message
        tracer.committed(noted)

    def _act(self, due: effects.Effects) -> None:
        if due.hold_changed or due.hold_lifted:
            self._hold_cache.forget()
        if due.alerts:
            self._wakeups.alerts()
        if due.hold_lifted:
            self._wakeups.sweep()
        if due.callbacks:
            self._wakeups.callbacks()
        if due.sendable:
            self._wakeups.send(due.sendable)
