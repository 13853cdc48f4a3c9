"""The tables of version 1: messages and their events, the gate, incidents and their alerts, heartbeats."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MYSQL = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    op.create_table(
        "smsclick_gates",
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("operator_hold_at", UtcDateTime(), nullable=True, comment="since when the operator holds"),
        sa.Column("hold_reason", sa.String(length=20), nullable=True),
        sa.Column("hold_since", UtcDateTime(), nullable=True),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="counts the holds"),
        sa.Column(
            "needed_credits",
            sa.Integer(),
            server_default=sa.text("1"),
            nullable=False,
            comment="of the message refused last",
        ),
        sa.Column("probe_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("canary_id", BigId, nullable=True, comment="the one message that may go while held"),
        sa.Column("canary_until", UtcDateTime(), nullable=True),
        sa.Column("balance", BigId, nullable=True),
        sa.Column("balance_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_smsclick_gates")),
        **_MYSQL,
    )
    op.execute("INSERT INTO smsclick_gates (account) VALUES ('default')")
    op.create_table(
        "smsclick_heartbeats",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("progress", BigId, server_default=sa.text("0"), nullable=False, comment="how much was done so far"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_smsclick_heartbeats")),
        **_MYSQL,
    )
    op.create_table(
        "smsclick_incidents",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column(
            "subject",
            sa.String(length=40),
            server_default="",
            nullable=False,
            comment="which one, where a kind has several",
        ),
        sa.Column("open_key", sa.String(length=82), nullable=True, comment="kind and subject while open, else NULL"),
        sa.Column("opened_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("last_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("remind_at", UtcDateTime(), nullable=True),
        sa.Column("occurrences", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("detail", sa.String(length=300), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_incidents")),
        sa.UniqueConstraint("open_key", name=op.f("uq_smsclick_incidents_open_key")),
        **_MYSQL,
    )
    op.create_table(
        "smsclick_messages",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False, comment="the producer's idempotency key"),
        sa.Column("phone", sa.String(length=40), nullable=False, comment="empty once erased"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.String(length=40), nullable=True, comment="ID_REGLA_INTERACTIVA"),
        sa.Column(
            "priority", sa.SmallInteger(), server_default=sa.text("1"), nullable=False, comment="0 high, 1, 2 low"
        ),
        sa.Column("send_at", UtcDateTime(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("if_absent", sa.String(length=8), server_default="resend", nullable=False),
        sa.Column("callback", sa.String(length=500), nullable=True),
        sa.Column("reference", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=12), server_default="queued", nullable=False),
        sa.Column(
            "due_at",
            UtcDateTime(),
            server_default=default_now(),
            nullable=True,
            comment="when to look next; NULL: never",
        ),
        sa.Column("token", sa.String(length=32), nullable=True, comment="of the last attempt"),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempted_at", UtcDateTime(), nullable=True, comment="start of the last attempt"),
        sa.Column(
            "refusals", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="refused for now, in a row"
        ),
        sa.Column(
            "polls",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="status checks since the last change",
        ),
        sa.Column("id_mensaje", BigId, nullable=True),
        sa.Column("estatus_mensaje", sa.SmallInteger(), nullable=True),
        sa.Column("credits_used", sa.Integer(), nullable=True),
        sa.Column("last_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=300), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("final_at", UtcDateTime(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("replied_at", UtcDateTime(), nullable=True),
        sa.Column("erased_at", UtcDateTime(), nullable=True, comment="when phone and text were erased"),
        sa.CheckConstraint("if_absent IN ('resend', 'fail')", name=op.f("ck_smsclick_messages_if_absent")),
        sa.CheckConstraint("priority IN (0, 1, 2)", name=op.f("ck_smsclick_messages_priority")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_messages")),
        sa.UniqueConstraint("id_mensaje", name=op.f("uq_smsclick_messages_id_mensaje")),
        sa.UniqueConstraint("key", name=op.f("uq_smsclick_messages_key")),
        **_MYSQL,
    )
    op.create_index(
        "ix_smsclick_messages_due",
        "smsclick_messages",
        ["state", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_smsclick_messages_expires",
        "smsclick_messages",
        ["state", "expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' AND expires_at IS NOT NULL"),
        sqlite_where=sa.text("state = 'queued' AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_smsclick_messages_queue",
        "smsclick_messages",
        ["state", "priority", "due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
        sqlite_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_smsclick_messages_retention",
        "smsclick_messages",
        ["erased_at", "final_at"],
        unique=False,
        postgresql_where=sa.text("erased_at IS NULL AND final_at IS NOT NULL"),
        sqlite_where=sa.text("erased_at IS NULL AND final_at IS NOT NULL"),
    )
    op.create_table(
        "smsclick_alerts",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("incident_id", BigId, nullable=False),
        sa.Column("news", sa.String(length=10), nullable=False, comment="opened, reminder or closed"),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column(
            "due_at", UtcDateTime(), server_default=default_now(), nullable=True, comment="next try; NULL: delivered"
        ),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("delivered_at", UtcDateTime(), nullable=True),
        sa.Column("delivered_to", sa.Text(), nullable=False, comment="fingerprints of channels that took it"),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["smsclick_incidents.id"], name=op.f("fk_smsclick_alerts_incident_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_alerts")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_smsclick_alerts_due_at"), "smsclick_alerts", ["due_at"], unique=False)
    op.create_index(op.f("ix_smsclick_alerts_incident_id"), "smsclick_alerts", ["incident_id"], unique=False)
    op.create_table(
        "smsclick_events",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("message_id", BigId, nullable=False),
        sa.Column("at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("from_state", sa.String(length=12), nullable=False),
        sa.Column("to_state", sa.String(length=12), nullable=False),
        sa.Column("cause", sa.String(length=40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("description", sa.String(length=300), nullable=True),
        sa.Column("id_mensaje", BigId, nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["smsclick_messages.id"], name=op.f("fk_smsclick_events_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_events")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_smsclick_events_message_id"), "smsclick_events", ["message_id"], unique=False)


def downgrade() -> None:
    op.drop_table("smsclick_events")
    op.drop_table("smsclick_alerts")
    op.drop_table("smsclick_messages")
    op.drop_table("smsclick_incidents")
    op.drop_table("smsclick_heartbeats")
    op.drop_table("smsclick_gates")
