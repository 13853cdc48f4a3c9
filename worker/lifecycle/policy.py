"""What decisions need of the settings, how an attempt can end, and what all decisions share. Pure."""

import dataclasses
import datetime as dt
from typing import Any

from smsclick._values.quiet_hours import QuietHours
from smsclick.provider.results import Accepted, Refused, Unknown
from smsclick.settings import Settings
from worker.lifecycle.model import Message, replace


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """A claimed message whose request never left: the account is held, the worker stops, the lease runs out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Invalid:
    """A row that a plain INSERT made and that cannot be sent; the reason is one line without phone or text."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class OptedOut:
    """A claimed message whose phone is never written to; no request was made."""


Outcome = Accepted | Refused | Unknown | Released | Invalid | OptedOut
"""How an attempt ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What decisions need of the settings: durations in seconds, and the quiet hours if there are any.

    Attributes:
        account: the fingerprint of the key that calls are made with (`worker.account.account_key`); None where none are
        made.
    """

    lease: float
    settle_seconds: float
    tracking: float
    poll: tuple[float, ...]
    quiet: QuietHours | None = None
    account: str | None = None

    @classmethod
    def of(cls, settings: Settings, account: str | None = None) -> "Policy":
        """The policy that the settings ask for."""
        return cls(
            account=account,
            lease=settings.lease_seconds,
            settle_seconds=settings.settle_seconds,
            tracking=settings.tracking_seconds,
            poll=settings.poll_seconds,
            quiet=settings.quiet_hours,
        )


def without_claim(message: Message, *, spent: bool) -> Message:
    """Without its claim; `spent` says whether the attempt counts."""
    attempts = message.attempts if spent else message.attempts - 1
    return replace(message, **UNCLAIMED, attempts=attempts)


UNCLAIMED: dict[str, Any] = dict.fromkeys(("token", "lease_until", "wire_key", "unknown_since", "unknown_reason"))


def seconds(value: float) -> dt.timedelta:
    """A span of so many seconds."""
    return dt.timedelta(seconds=value)
