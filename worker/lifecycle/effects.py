"""What committed changes make due elsewhere: noted in the transaction, acted on by `worker.post_commit_notifier`.

A step cannot forget it: whoever writes a state, an alert event or a hold notes the effect in the same place, and every
commit of this process's `Database` passes what was noted to the notifier. A lost notification costs time, never a
message, because the sweep finds the same things in the rows.
Why: docs/decisions/0054-one-notifier-after-the-commit.md.
"""

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa

from smsclick._database.engine import note_for_commit


@dataclasses.dataclass(frozen=True, slots=True)
class Effects:
    """What one or more changes make due.

    Attributes:
        callbacks: callbacks to producers were stored.
        alerts: alert events were stored.
        hold_changed: an outcome holds the account or counts against it. It may also be held already: what this process
            has cached of the account is old.
        hold_lifted: messages may be sent again.
        sendable: ids of messages that waited for another of equal content and may be sent now.
    """

    callbacks: bool = False
    alerts: bool = False
    hold_changed: bool = False
    hold_lifted: bool = False
    sendable: tuple[int, ...] = ()

    def __or__(self, other: "Effects") -> "Effects":
        return Effects(
            callbacks=self.callbacks or other.callbacks,
            alerts=self.alerts or other.alerts,
            hold_changed=self.hold_changed or other.hold_changed,
            hold_lifted=self.hold_lifted or other.hold_lifted,
            sendable=self.sendable + other.sendable,
        )

    def __bool__(self) -> bool:
        return self != _NONE


_NONE = Effects()


def note(connection: sa.Connection, effects: Effects) -> None:
    """Have the notifier act on this once the connection's transaction is committed.

    Args:
        connection: in a transaction of `Database.begin` or `Database.transact`; on any other, nobody is notified.
        effects: of what was written in it.
    """
    if effects:
        note_for_commit(connection, effects)


def combined(noted: Iterable[object]) -> Effects:
    """All effects among what was noted in one transaction."""
    total = _NONE
    for each in noted:
        if isinstance(each, Effects):
            total |= each
    return total
