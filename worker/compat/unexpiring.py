"""Calls do not expire by this machine's clock, which may be ahead of the sender's by any amount.

Ticks and wake-ups are sent without `expires`; those of an older release still have it. A producer's call of
`smsclick.enqueue` may have it too: there it is the message's validity, which the database's clock ends.
"""

from celery.worker.request import Request


class UnexpiringRequest(Request):
    """Celery's request of a task, except that no clock is read to drop it unseen."""

    def maybe_expire(self) -> None:
        """Never."""
