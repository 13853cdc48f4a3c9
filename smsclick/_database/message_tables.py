"""The tables of messages: the messages themselves, their events and their callbacks."""

from typing import Any, cast

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from smsclick._database import constraints
from smsclick._database.columns import BigId, UtcDateTime, default_now
from smsclick._database.metadata import MYSQL_OPTIONS, metadata

NOT_ON = "not_on"
"""In the `info` of a constraint or an index: the dialects without it, as Alembic reads no `ddl_if`."""


def _is_not_postgresql(_ddl: Any, _target: Any, _bind: Any, *, dialect: Any, **_more: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's
    return bool(dialect.name != "postgresql")


def _has_partial_indexes(_ddl: Any, _target: Any, _bind: Any, *, dialect: Any, **_more: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's
    return dialect.name in {"postgresql", "sqlite"}


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
    Column("traceparent", String(55), comment="of the producer's span (W3C Trace Context); NULL: it is not traced"),
    Column("state", String(12), nullable=False, server_default="queued"),
    Column("due_at", UtcDateTime, server_default=default_now(), comment="when to look next; NULL: never"),
    Column("token", String(32), comment="of the last attempt"),
    Column("lease_until", UtcDateTime),
    Column("wire_key", String(32), comment="of phone and text while a request may be in flight"),
    Column("waits_for", String(32), comment="wire_key of the message in flight that this one waits for"),
    Column("unknown_since", UtcDateTime, comment="the latest time at which the request can have left"),
    Column("unknown_reason", String(24), comment="why the report proves nothing, see worker.lifecycle.doubt.Doubt"),
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
    Column("id_mensaje", BigId),
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
    **MYSQL_OPTIONS,
)

# For the claim: queued messages by priority and age. Partial on databases that have partial indexes.
Index(
    "ix_smsclick_messages_queue",
    messages.c.state,
    messages.c.priority,
    messages.c.due_at,
    postgresql_where=text("state = 'queued'"),
    sqlite_where=text("state = 'queued'"),
)
# For the sweep: due messages in any other state. Final rows have no due_at and cost nothing.
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
# The same for messages without a final status, see worker.maintenance.retention.
Index(
    "ix_smsclick_messages_erase_undetermined",
    messages.c.erased_at,
    messages.c.sent_at,
    postgresql_where=text("state = 'undetermined' AND erased_at IS NULL"),
    sqlite_where=text("state = 'undetermined' AND erased_at IS NULL"),
)

# For checks by report: the messages accepted in a window, and the last accepted one.
Index(
    "ix_smsclick_messages_sent_at_set",
    messages.c.sent_at,
    postgresql_where=text("sent_at IS NOT NULL"),
    sqlite_where=text("sent_at IS NOT NULL"),
)
# Each id of the provider belongs to one message. PostgreSQL keeps no entries for messages without one: every version of
# a row has an entry in every index.
messages.append_constraint(
    UniqueConstraint(messages.c.id_mensaje, info={NOT_ON: {"postgresql"}}).ddl_if(
        callable_=cast("Any", _is_not_postgresql)
    )
)
Index(
    "ix_smsclick_messages_id_mensaje",
    messages.c.id_mensaje,
    unique=True,
    postgresql_where=text("id_mensaje IS NOT NULL"),
    info={NOT_ON: {"sqlite", "mysql", "mariadb"}},
).ddl_if(dialect="postgresql")
# For tracking: messages by age, for a report of a span of time.
Index(
    "ix_smsclick_messages_followed",
    messages.c.state,
    messages.c.sent_at,
    postgresql_where=text("state IN ('sent', 'undetermined')"),
    sqlite_where=text("state IN ('sent', 'undetermined')"),
)
# For the oldest attempt of unknown outcome; only those have this time. Not by state: due rows have their own index.
Index(
    "ix_smsclick_messages_unknown_since",
    messages.c.unknown_since,
    postgresql_where=text("unknown_since IS NOT NULL"),
    sqlite_where=text("unknown_since IS NOT NULL"),
)
# At most one request in flight for each phone and text, so that a match in the report is never ambiguous.
Index(
    "ix_smsclick_messages_wire_key_set",
    messages.c.wire_key,
    unique=True,
    postgresql_where=text("wire_key IS NOT NULL"),
    sqlite_where=text("wire_key IS NOT NULL"),
)
# For the next message of those that wait for an in-flight duplicate.
Index(
    "ix_smsclick_messages_waits_for",
    messages.c.waits_for,
    messages.c.priority,
    messages.c.id,
    postgresql_where=text("waits_for IS NOT NULL"),
    sqlite_where=text("waits_for IS NOT NULL"),
)
# For all messages to one phone. Only final ones: each change of a row makes an entry in every index on PostgreSQL, so a
# message in progress would pay four times for it; those are few enough to be looked through by the indexes above.
Index(
    "ix_smsclick_messages_phone",
    messages.c.phone,
    postgresql_where=text("due_at IS NULL AND phone <> ''"),
    sqlite_where=text("due_at IS NULL AND phone <> ''"),
)
# For acts on a filtered set: the failed messages by id, see worker.operator.filtered_changes. They are few, and change
# seldom. On MariaDB the index of due messages has them.
Index(
    "ix_smsclick_messages_failed",
    messages.c.id,
    postgresql_where=text("state = 'failed'"),
    sqlite_where=text("state = 'failed'"),
    info={NOT_ON: {"mysql", "mariadb"}},
).ddl_if(callable_=cast("Any", _has_partial_indexes))
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
    Column("actor", String(100), comment="who, if a person did it: user@host, or a name"),
    **MYSQL_OPTIONS,
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
    **MYSQL_OPTIONS,
)

# For the due callbacks of each receiver. Final rows have no receiver, so they cost little in a full index too.
Index(
    "ix_smsclick_callbacks_receiver",
    callbacks.c.receiver,
    callbacks.c.due_at,
    postgresql_where=text("receiver IS NOT NULL"),
    sqlite_where=text("receiver IS NOT NULL"),
)
# For the next event of a message.
Index("ix_smsclick_callbacks_message", callbacks.c.message_id, callbacks.c.receiver)
# For the callbacks that were given up, which an operator can replay; they are few.
Index(
    "ix_smsclick_callbacks_failed",
    callbacks.c.failed_at,
    postgresql_where=text("failed_at IS NOT NULL"),
    sqlite_where=text("failed_at IS NOT NULL"),
)
