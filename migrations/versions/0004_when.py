"""When and whether a message is sent: phones that are never written to, and the limit over all workers."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "smsclick_optouts",
        sa.Column("phone", sa.String(length=10), nullable=False, comment="ten digits; never written to"),
        sa.Column("created_at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True, comment="how it came here, in words"),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_smsclick_optouts")),
        **_MYSQL,
    )
    op.create_table(
        "smsclick_limits",
        sa.Column("name", sa.String(length=40), nullable=False, comment="of what is limited over all workers together"),
        sa.Column("next_at", BigId, nullable=False, comment="when the next one may go, in microseconds since 1970"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_smsclick_limits")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("smsclick_limits")
    op.drop_table("smsclick_optouts")
