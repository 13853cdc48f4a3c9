"""What programs share: the words for the states of a message, and the tables as SQLAlchemy Core.

The tables are declared in `smsclick._database`. `models` maps classes onto them, and `migrations` creates them. They
have a metadata of their own, so that a producer's stays as it is.
"""

import enum

from smsclick._database.message_tables import callbacks, events, messages
from smsclick._database.metadata import VERSION_TABLE, metadata
from smsclick._database.web_tables import tokens, users, web_sessions
from smsclick._database.worker_tables import (
    accounts,
    alerts,
    audit,
    balances,
    budgets,
    clocks,
    dead_letters,
    heartbeats,
    incidents,
    limits,
    minutes,
    optouts,
    tallies,
    usage,
    watermarks,
    worker_gauges,
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
    "audit",
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
    "minutes",
    "optouts",
    "tallies",
    "tokens",
    "usage",
    "users",
    "watermarks",
    "web_sessions",
    "worker_gauges",
]

ACCOUNT = "default"
"""The name of the only account; its row is in `accounts`."""


class State(enum.StrEnum):
    """The state of a message. `worker.lifecycle.model.TRANSITIONS` has the allowed changes."""

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
    """The order in which due messages are sent; stored as its number."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class IfAbsent(enum.StrEnum):
    """What to do with an attempt that is surely not in the provider's report."""

    RESEND = "resend"
    FAIL = "fail"


class HoldReason(enum.StrEnum):
    """Why the account is held, apart from a hold by the operator."""

    NO_BALANCE = "no_balance"
    KEY_REFUSED = "key_refused"
    PROVIDER_DOWN = "provider_down"
