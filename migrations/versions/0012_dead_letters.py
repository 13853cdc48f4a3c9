"""Broker messages that could not become messages of ours, kept with their content."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "smsclick_dead_letters",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("queue", sa.String(200), nullable=False),
        sa.Column("task", sa.String(200), nullable=False, comment="the name that was called"),
        sa.Column("task_id", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False, comment="why it could not be a message; no phone, no text"),
        sa.Column(
            "content", sa.Text(), nullable=False, comment="JSON, as the broker had it: may hold a phone and a text"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_dead_letters")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("smsclick_dead_letters")
