"""The tables that programs share: the words of a message's life and the Core tables that hold it.

`models` maps classes onto these tables and `migrations` creates them. A producer's own metadata stays untouched.
"""

import enum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from smsclick._database import constraints
from smsclick._database.columns import BigId, UtcDateTime, default_now

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


WITHDRAWN = "withdrawn by its producer"
"""The cause of the event that a withdrawal leaves; the others are `worker.lifecycle.model.Cause`."""


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


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Binary collation: keys differ by case, and texts by accents, as they do on the other databases.
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

messages = Table(
    "smsclick_messages",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("key", constraints.guarded("key"), nullable=False, unique=True, comment="the producer's idempotency key"),
    Column("phone", constraints.guarded("phone"), nullable=False, comment="empty once erased"),
    Column("text", Text, nullable=False),
    Column("rule_id", constraints.guarded("rule_id"), comment="ID_REGLA_INTERACTIVA"),
    Column("priority", SmallInteger, nullable=False, server_default=text("1"), comment="0 high, 1, 2 low"),
    Column("send_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("if_absent", String(8), nullable=False, server_default="resend"),
    Column("callback", constraints.guarded("callback")),
    Column("reference", constraints.guarded("reference")),
    Column("state", String(12), nullable=False, server_default="queued"),
    Column("due_at", UtcDateTime, server_default=default_now(), comment="when to look next; NULL: never"),
    Column("token", String(32), comment="of the last attempt"),
    Column("lease_until", UtcDateTime),
    Column("wire_key", String(32), comment="of phone and text while a request may be on the wire"),
    Column("waits_for", String(32), comment="wire_key of the message in flight that this one waits for"),
    Column("unknown_since", UtcDateTime, comment="the latest moment at which the request can have left"),
    Column("unknown_reason", String(24), comment="why the report could not tell, see worker.lifecycle.doubt.Doubt"),
    Column("account_fingerprint", String(16), comment="of the APIKEY of the last attempt; one-way"),
    Column(
        "absences",
        SmallInteger,
        nullable=False,
        server_default=text("0"),
        comment="attempts that a report did not have",
    ),
    Column("absent_since", UtcDateTime, comment="start of the first attempt that a report did not have"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("attempted_at", UtcDateTime, comment="start of the last attempt"),
    Column("refusals", Integer, nullable=False, server_default=text("0"), comment="refused for now, in a row"),
    Column(
        "polls",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="status checks since the last change",
    ),
    Column("id_mensaje", BigId, unique=True),
    Column("id_source", String(8), comment="who said id_mensaje: report or person; NULL: the answer of sendMsg"),
    Column("estatus_mensaje", SmallInteger),
    Column("credits_used", Integer),
    Column("last_code", Integer),
    Column("last_error", String(300)),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("sent_at", UtcDateTime),
    Column("final_at", UtcDateTime),
    Column("reply", Text),
    Column("replied_at", UtcDateTime),
    Column("erased_at", UtcDateTime, comment="when phone and text were erased"),
    CheckConstraint("if_absent IN ('resend', 'fail')", name="if_absent"),
    CheckConstraint("priority IN (0, 1, 2)", name="priority"),
    **_MYSQL,
)

# The claim's index: by priority and age among what waits. Partial where the database can.
Index(
    "ix_smsclick_messages_queue",
    messages.c.state,
    messages.c.priority,
    messages.c.due_at,
    postgresql_where=text("state = 'queued'"),
    sqlite_where=text("state = 'queued'"),
)
# The sweep's index: what is due in any other state. Final rows have no due_at and cost nothing.
Index(
    "ix_smsclick_messages_due",
    messages.c.state,
    messages.c.due_at,
    postgresql_where=text("due_at IS NOT NULL"),
    sqlite_where=text("due_at IS NOT NULL"),
)
Index(
    "ix_smsclick_messages_expires",
    messages.c.state,
    messages.c.expires_at,
    postgresql_where=text("state = 'queued' AND expires_at IS NOT NULL"),
    sqlite_where=text("state = 'queued' AND expires_at IS NOT NULL"),
)
Index(
    "ix_smsclick_messages_retention",
    messages.c.erased_at,
    messages.c.final_at,
    postgresql_where=text("erased_at IS NULL AND final_at IS NOT NULL"),
    sqlite_where=text("erased_at IS NULL AND final_at IS NOT NULL"),
)
# The same for those without a final status, see worker.maintenance.retention.
Index(
    "ix_smsclick_messages_erase_undetermined",
    messages.c.erased_at,
    messages.c.sent_at,
    postgresql_where=text("state = 'undetermined' AND erased_at IS NULL"),
    sqlite_where=text("state = 'undetermined' AND erased_at IS NULL"),
)

# For the report's check: what was accepted in a window, and last.
Index("ix_smsclick_messages_sent_at", messages.c.sent_at)
# What is followed, by age: what a report of a span of time may answer for.
Index(
    "ix_smsclick_messages_followed",
    messages.c.state,
    messages.c.sent_at,
    postgresql_where=text("state IN ('sent', 'undetermined')"),
    sqlite_where=text("state IN ('sent', 'undetermined')"),
)
# For the oldest attempt of unknown outcome; only those have the time. Not by state: what is due has its own index.
Index(
    "ix_smsclick_messages_unknown_since",
    messages.c.unknown_since,
    postgresql_where=text("unknown_since IS NOT NULL"),
    sqlite_where=text("unknown_since IS NOT NULL"),
)
# At most one request on the wire for each phone and text, so that a match in the report is never ambiguous.
Index("ix_smsclick_messages_wire_key", messages.c.wire_key, unique=True)
# Who goes next of those that wait for one of equal content.
Index(
    "ix_smsclick_messages_waits_for",
    messages.c.waits_for,
    messages.c.priority,
    messages.c.id,
    postgresql_where=text("waits_for IS NOT NULL"),
    sqlite_where=text("waits_for IS NOT NULL"),
)
constraints.declare(messages)

events = Table(
    "smsclick_events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column(
        "message_id",
        BigId,
        ForeignKey("smsclick_messages.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("from_state", String(12), nullable=False),
    Column("to_state", String(12), nullable=False),
    Column("cause", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("code", Integer),
    Column("description", String(300)),
    Column("id_mensaje", BigId),
    **_MYSQL,
)

accounts = Table(
    "smsclick_gates",
    metadata,
    Column("account", String(40), primary_key=True),
    Column("operator_hold_at", UtcDateTime, comment="since when the operator holds"),
    Column("hold_reason", String(20)),
    Column("hold_since", UtcDateTime),
    Column("epoch", Integer, nullable=False, server_default=text("0"), comment="counts the holds"),
    Column(
        "needed_credits",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="of the message refused last",
    ),
    Column("probe_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("canary_id", BigId, comment="the one message that may go while held"),
    Column("canary_until", UtcDateTime),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="calls without an answer, in a row"),
    Column("lag_id", BigId, comment="the message whose way into the report is being measured"),
    Column("lag_since", UtcDateTime, comment="when it was accepted"),
    Column("report_lag", Float, comment="seconds from acceptance to the report, as last measured"),
    Column("report_lag_at", UtcDateTime),
    Column("balance", BigId),
    Column("balance_at", UtcDateTime),
    Column("simulated_at", UtcDateTime, comment="since when these messages are a simulator's"),
    Column("opened_at", UtcDateTime, comment="when an automatic hold ended last"),
    Column("relapses", Integer, nullable=False, server_default=text("0"), comment="holds soon after another"),
    Column("canaries", Integer, nullable=False, server_default=text("0"), comment="canaries accepted in this hold"),
    Column("restored_since", UtcDateTime, comment="what could have been sent since is looked for; holds"),
    Column("restored_at", UtcDateTime, comment="when all of that was unknown; NULL: not yet"),
    **_MYSQL,
)

incidents = Table(
    "smsclick_incidents",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column(
        "subject",
        String(40),
        nullable=False,
        server_default="",
        comment="which one, where a kind has several",
    ),
    Column("open_key", String(82), unique=True, comment="kind and subject while open, else NULL"),
    Column("opened_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("last_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("closed_at", UtcDateTime),
    Column("ends_at", UtcDateTime, comment="once closed: until then it reopens as the same incident"),
    Column("reopened", Integer, nullable=False, server_default=text("0"), comment="how often it came back"),
    Column("remind_at", UtcDateTime),
    Column("occurrences", Integer, nullable=False, server_default=text("1")),
    Column("detail", String(300), nullable=False, server_default=""),
    **_MYSQL,
)

alerts = Table(
    "smsclick_alerts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column(
        "incident_id",
        BigId,
        ForeignKey("smsclick_incidents.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("news", String(10), nullable=False, comment="opened, reminder or closed"),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("due_at", UtcDateTime, server_default=default_now(), index=True, comment="next try; NULL: delivered"),
    Column("claimed_until", UtcDateTime, comment="until then somebody delivers it"),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("delivered_at", UtcDateTime),
    Column("delivered_to", Text, nullable=False, comment="fingerprints of channels that took it"),
    **_MYSQL,
)

callbacks = Table(
    "smsclick_callbacks",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, comment="the same at every try, for the receiver"),
    Column("message_id", BigId, ForeignKey("smsclick_messages.id", ondelete="CASCADE"), nullable=False),
    Column("type", String(40), nullable=False),
    Column("target", String(500), nullable=False),
    Column("receiver", String(255), comment="host or queue while it is not final, else NULL"),
    Column("data", Text, nullable=False, comment="JSON, what the message was then; no phone, text or reply"),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("due_at", UtcDateTime, server_default=default_now(), comment="next try, or the claim's end; NULL: final"),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("delivered_at", UtcDateTime),
    Column("failed_at", UtcDateTime, comment="when it was given up"),
    Column("last_error", String(300)),
    **_MYSQL,
)

# Each receiver's turn: final rows have no receiver, so that their number costs nothing where no index is partial.
Index(
    "ix_smsclick_callbacks_receiver",
    callbacks.c.receiver,
    callbacks.c.due_at,
    postgresql_where=text("receiver IS NOT NULL"),
    sqlite_where=text("receiver IS NOT NULL"),
)
# Which event of a message is its next one.
Index("ix_smsclick_callbacks_message", callbacks.c.message_id, callbacks.c.receiver)

heartbeats = Table(
    "smsclick_heartbeats",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("progress", BigId, nullable=False, server_default=text("0"), comment="how much was done so far"),
    **_MYSQL,
)

clocks = Table(
    "smsclick_clocks",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False, server_default=default_now(), comment="read last by any process"),
    Column("trusted_since", UtcDateTime, comment="since when the time that went by was measured without a gap"),
    Column("stepped_ms", BigId, nullable=False, server_default=text("0"), comment="sum of all steps seen"),
    Column("shift_ms", BigId, comment="of a step back: by how much due times are still to be moved"),
    Column("shift_stage", SmallInteger, comment="which due times are being moved"),
    Column("shift_after", UtcDateTime, comment="up to here those of this stage are moved"),
    **_MYSQL,
)

optouts = Table(
    "smsclick_optouts",
    metadata,
    Column("phone", String(10), primary_key=True, comment="ten digits; never written to"),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("reason", String(200), comment="how it came here, in words"),
    **_MYSQL,
)

limits = Table(
    "smsclick_limits",
    metadata,
    Column("name", String(40), primary_key=True, comment="of what is limited over all workers together"),
    Column("next_at", BigId, nullable=False, comment="when the next one may go, in microseconds since 1970"),
    **_MYSQL,
)

watermarks = Table(
    "smsclick_watermarks",
    metadata,
    Column("name", String(40), primary_key=True, comment="of the age of messages that its reports answer for"),
    Column("due_at", UtcDateTime, nullable=False, server_default=default_now(), comment="when to read next"),
    Column("lease_until", UtcDateTime, comment="until then somebody reads"),
    Column("read_at", UtcDateTime, comment="when the last whole report was asked for"),
    Column("cursor_at", UtcDateTime, comment="sent_at up to which the round under way has come; NULL: a new round"),
    Column("density", Float, comment="rows of the report for each second of its span, as learned"),
    Column("reads", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="reports that failed, in a row"),
    Column("probe_id", BigId, comment="id_mensaje of a final message that the next report must have"),
    Column("probe_at", UtcDateTime, comment="when that message was sent"),
    Column("distrusted_until", UtcDateTime, comment="until then getMsg is asked instead"),
    **_MYSQL,
)

budgets = Table(
    "smsclick_budgets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("tokens", Float, nullable=False, comment="requests that may leave now, over all workers"),
    Column("at", UtcDateTime, nullable=False, server_default=default_now(), comment="when they were counted"),
    **_MYSQL,
)

balances = Table(
    "smsclick_balances",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("account_fingerprint", String(16), nullable=False, comment="of the APIKEY; one-way"),
    Column("amount", BigId, comment="whole credits; NULL: not readable as such"),
    Column("first_asked_at", UtcDateTime, nullable=False),
    Column("first_answered_at", UtcDateTime, nullable=False),
    Column("last_asked_at", UtcDateTime, nullable=False, comment="of the last reading that gave the same"),
    Column("last_answered_at", UtcDateTime, nullable=False),
    **_MYSQL,
)

dead_letters = Table(
    "smsclick_dead_letters",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("queue", String(200), nullable=False),
    Column("task", String(200), nullable=False, comment="the name that was called"),
    Column("task_id", String(200), nullable=False),
    Column("reason", String(300), nullable=False, comment="why it could not be a message; no phone, no text"),
    Column("content", Text, nullable=False, comment="JSON, as the broker had it: may hold a phone and a text"),
    **_MYSQL,
)
