"""The users of the page and their sessions."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "smsclick_users",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(100), nullable=False, comment="with which the person signs in to the page"),
        sa.Column("role", sa.String(20), nullable=False, comment="viewer or operator"),
        sa.Column(
            "password_hash", sa.String(200), nullable=False, comment="Argon2id, with its parameters and its salt"
        ),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("signed_in_at", UtcDateTime(), comment="the latest time"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_users")),
        sa.UniqueConstraint("name", name=op.f("uq_smsclick_users_name")),
        **_MYSQL,
    )
    op.create_table(
        "smsclick_web_sessions",
        sa.Column(
            "hash", sa.String(64), nullable=False, comment="SHA-256 of the cookie's secret, in hexadecimal digits"
        ),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), server_default=default_now(), nullable=False, comment="to the minute"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_smsclick_web_sessions")),
        **_MYSQL,
    )
    for column in ("user_id", "created_at"):
        name = op.f(f"ix_smsclick_web_sessions_{column}")
        op.create_index(name, "smsclick_web_sessions", [column])


def downgrade() -> None:
    op.drop_table("smsclick_web_sessions")
    op.drop_table("smsclick_users")
