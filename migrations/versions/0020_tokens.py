"""The tokens of the HTTP API."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "smsclick_tokens",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(100), nullable=False, comment="what it is for, in its creator's words"),
        sa.Column("hash", sa.String(64), nullable=False, comment="SHA-256 of the token, in hexadecimal digits"),
        sa.Column("scopes", sa.String(40), nullable=False, comment="send, read, operate; separated by blanks"),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), comment="to the minute"),
        sa.Column("revoked_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_smsclick_tokens_name")),
        sa.UniqueConstraint("hash", name=op.f("uq_smsclick_tokens_hash")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def downgrade() -> None:
    op.drop_table("smsclick_tokens")
