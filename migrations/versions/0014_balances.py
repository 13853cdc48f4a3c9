"""The balance as it was read, so that it can be compared with what was charged."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "smsclick_balances",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("account_fingerprint", sa.String(16), nullable=False, comment="of the APIKEY; one-way"),
        sa.Column("amount", BigId, comment="whole credits; NULL: not readable as such"),
        sa.Column("first_asked_at", UtcDateTime(), nullable=False),
        sa.Column("first_answered_at", UtcDateTime(), nullable=False),
        sa.Column("last_asked_at", UtcDateTime(), nullable=False, comment="of the last reading that gave the same"),
        sa.Column("last_answered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_balances")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("smsclick_balances")
