"""The counters of each of the last minutes, and who holds the account and why."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import UtcDateTime

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "smsclick_minutes",
        sa.Column(
            "minute", UtcDateTime(), nullable=False, comment="in which the counters were read; about the last two hours"
        ),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.Column("counters", sa.Text(), nullable=False, comment="JSON: sums of smsclick_tallies at that time"),
        sa.PrimaryKeyConstraint("minute", name=op.f("pk_smsclick_minutes")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.add_column("smsclick_gates", sa.Column("operator_hold_by", sa.String(100), comment="which person holds it"))
    op.add_column("smsclick_gates", sa.Column("operator_hold_why", sa.String(200), comment="in that person's words"))


def downgrade() -> None:
    op.drop_column("smsclick_gates", "operator_hold_why")
    op.drop_column("smsclick_gates", "operator_hold_by")
    op.drop_table("smsclick_minutes")
