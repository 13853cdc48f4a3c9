"""A call of a callback and how it ends: values, without I/O and without decisions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt

    from worker.callbacks.failures import Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A claimed row of `smsclick_callbacks`, which this process may deliver.

    Attributes:
        id: of the row.
        event_id: the id that the receiver gets, the same at each try.
        target: the address as the producer gave it; it may hold a secret.
        receiver: the target's host or queue, which limits are counted for.
        tries: the number of tries, this one included.
        created_at: when the message changed.
        age_seconds: since then.
        data: the message's fields at that time.
        reply: the recipient's reply, unless it was erased meanwhile.
        begin_by: a time of `time.monotonic()`; later, the claim may end before the call does.
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
class Acknowledged:
    """The receiver has the event."""


@dataclasses.dataclass(frozen=True, slots=True)
class NotAcknowledged:
    """The receiver may not have the event; it is tried again.

    Attributes:
        why: the failure, without the address.
        needs_operator: whether the cause is our configuration or a defect of ours. Then an incident is reported at
            once, and the callback waits for the operator instead of using up its tries.
    """

    why: Failure
    needs_operator: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class GivenUp:
    """A further try cannot succeed."""

    why: Failure


Outcome = Acknowledged | NotAcknowledged | GivenUp


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended, and what `worker.callbacks.policy` made of it.

    Attributes:
        wait_seconds: until the next try; None where there is none.
        needs_incident: whether an operator must know.
    """

    call: Call
    outcome: Outcome
    wait_seconds: float | None
    needs_incident: bool
