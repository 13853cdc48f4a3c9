"""Call-backs to producers: what they are told of, until they have taken it."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "smsclick_callbacks",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False, comment="the same at every try, for the receiver"),
        sa.Column("message_id", BigId, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("target", sa.String(500), nullable=False),
        sa.Column("receiver", sa.String(255), comment="host or queue while it is not final, else NULL"),
        sa.Column(
            "data", sa.Text(), nullable=False, comment="JSON, what the message was then; no phone, text or reply"
        ),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column(
            "due_at", UtcDateTime(), server_default=default_now(), comment="next try, or the claim's end; NULL: final"
        ),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("delivered_at", UtcDateTime()),
        sa.Column("failed_at", UtcDateTime(), comment="when it was given up"),
        sa.Column("last_error", sa.String(300)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_callbacks")),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["smsclick_messages.id"],
            name=op.f("fk_smsclick_callbacks_message_id"),
            ondelete="CASCADE",
        ),
        **_MYSQL,
    )
    op.create_index(
        "ix_smsclick_callbacks_receiver",
        "smsclick_callbacks",
        ["receiver", "due_at"],
        postgresql_where=sa.text("receiver IS NOT NULL"),
        sqlite_where=sa.text("receiver IS NOT NULL"),
    )
    op.create_index("ix_smsclick_callbacks_message", "smsclick_callbacks", ["message_id", "receiver"])


def downgrade() -> None:
    op.drop_table("smsclick_callbacks")
