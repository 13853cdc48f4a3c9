"""Celery 5.7.0: `expires` is compared with the receiving machine's clock, which may differ from the sender's.

Fault: a worker whose clock is ahead drops a task before it runs, although it has not expired by the sender's clock.

Workaround: our tasks use a request class that never expires. Our ticks and wake-ups are sent without `expires`; those
of an older release still have it. A producer's call of `smsclick.enqueue` may have it: there it is the validity of the
message, and the database's clock decides (docs/decisions/0026-no-clock-of-another-machine.md).

Remove it when Celery lets the broker's clock decide, and no supported release sends ticks with `expires`.
"""

from celery.worker.request import Request


class UnexpiringRequest(Request):
    """Celery's request of a task; it never drops a task because of its `expires`."""

    def maybe_expire(self) -> None:
        """Return None: the task has not expired."""
