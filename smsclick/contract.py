"""The tables that programs share: the words of a message's life and the Core tables that hold it.

`models` maps classes onto these tables and `migrations` creates them. A producer's own metadata stays untouched.
"""

import enum

from smsclick._database.message_tables import callbacks, events, messages
from smsclick._database.metadata import metadata
from smsclick._database.worker_tables import (
    accounts,
    alerts,
    balances,
    budgets,
    clocks,
    dead_letters,
    heartbeats,
    incidents,
    limits,
    optouts,
    watermarks,
)
from smsclick._values.causes import Cause

__all__ = [
    "ACCOUNT",
    "VERSION_TABLE",
    "Cause",
    "HoldReason",
    "IfAbsent",
    "Priority",
    "State",
    "accounts",
    "alerts",
    "balances",
    "budgets",
    "callbacks",
    "clocks",
    "dead_letters",
    "events",
    "heartbeats",
    "incidents",
    "limits",
    "messages",
    "metadata",
    "optouts",
    "watermarks",
]

VERSION_TABLE = "smsclick_alembic_version"
"""Alembic's own table, so that ours can live in a backend's database beside its migrations."""

ACCOUNT = "default"
"""The one account that this version knows; the gate has a row for it."""


class State(enum.StrEnum):
    """Where a message stands. What may follow what is in `worker.lifecycle.model.TRANSITIONS`."""

    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNDETERMINED = "undetermined"


class Priority(enum.IntEnum):
    """Who goes first; stored as its number."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class IfAbsent(enum.StrEnum):
    """What to do with an attempt that the provider's report surely does not have."""

    RESEND = "resend"
    FAIL = "fail"


class HoldReason(enum.StrEnum):
    """Why the account's gate is closed, besides the operator's wish."""

    NO_BALANCE = "no_balance"
    KEY_REFUSED = "key_refused"
    PROVIDER_DOWN = "provider_down"
