"""The cases a message can be in, as codes and data. Values only."""

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping


class Code(enum.StrEnum):
    """What a message waits for; programs may compare these."""

    SEND_AT = "send_at"
    QUIET_HOURS = "quiet_hours"
    RETRY = "retry"
    HOLD_OPERATOR = "hold_operator"
    HOLD_NO_BALANCE = "hold_no_balance"
    HOLD_KEY_REFUSED = "hold_key_refused"
    HOLD_PROVIDER_DOWN = "hold_provider_down"
    HOLD_RESTORED = "hold_restored"
    HOLD_RESTORE_UNFINISHED = "hold_restore_unfinished"
    CANARY = "canary"
    CANARY_ELSEWHERE = "canary_elsewhere"
    DUPLICATE = "duplicate"
    OPTED_OUT = "opted_out"
    NO_WORKER = "no_worker"
    NO_SWEEP = "no_sweep"
    RATE_LIMIT = "rate_limit"
    NEXT = "next"
    IN_LINE = "in_line"
    VALIDITY_OVER = "validity_over"
    VALIDITY_ENDS = "validity_ends"
    SENDING = "sending"
    LEASE_OVER = "lease_over"
    UNKNOWN = "unknown"
    UNKNOWN_PERSON = "unknown_person"
    SENT = "sent"
    REPLY = "reply"
    LATE_STATUS = "late_status"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    FAILED = "failed"
    FAILED_OPTED_OUT = "failed_opted_out"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNDETERMINED = "undetermined"
    ERASED = "erased"
    CALLBACK_PENDING = "callback_pending"
    CALLBACK_GIVEN_UP = "callback_given_up"
    ODD = "odd"


class Remedy(enum.StrEnum):
    """What a person can do about a case. A sentence has its name in braces where it says what to do.

    The terminal's words for it are a command, those of the page are its own buttons and views.
    """

    RESUME = "resume"
    RETRY = "retry"
    DECIDE = "decide"
    DECIDE_BY_HAND = "decide_by_hand"
    CALL_AGAIN = "call_again"


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that is true of a message now.

    Attributes:
        code: the case.
        until: until when, or when it is looked at next; None where no time is known.
        data: what the sentence names besides; never a phone or a text.
    """

    code: Code
    until: dt.datetime | None = None
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)
