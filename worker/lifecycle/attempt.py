"""One attempt: its claim, which is on record before the call, and how it ended. Values only."""

import dataclasses

from smsclick.contract import Priority
from worker.lifecycle.policy import Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """One attempt that is on record and may now be called for.

    Attributes:
        token: proves that this attempt is the row's latest.
        valid_seconds: what was left of the message's validity at the claim; None where it has none.
        priority: of its message.
        canary: whether it goes although the account is held.
        opted_out: whether its phone is never written to, so that it must not be called for.
        due_seconds: how long a message had been due when it was claimed for the first time; None for later claims.
        attempt: which of the message's attempts it is, from 1.
        traceparent: the context of its producer's span, where this process is traced.
    """

    id: int
    token: str
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    rule_id: str | None
    valid_seconds: float | None
    priority: Priority
    canary: bool
    opted_out: bool = False
    due_seconds: float | None = None
    attempt: int | None = None
    traceparent: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """One attempt and how it ended.

    Attributes:
        epoch: the account's when its request left.
        failures: the breaker's count then.
        counted: what it means for the account is on record already; only its row is left.
    """

    claim: Claim
    outcome: Outcome
    epoch: int
    failures: int = 0
    counted: bool = False
