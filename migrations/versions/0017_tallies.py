"""Counters and gauges of the workers, for the metrics. Counting begins with this release."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "smsclick_tallies",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(40), nullable=False, comment="of what is counted; several rows add up"),
        sa.Column("label", sa.String(120), nullable=False, comment="which of these, in words of ours"),
        sa.Column("amount", BigId, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_tallies")),
        **_MYSQL,
    )
    zero = sa.text("0")
    op.create_table(
        "smsclick_worker_gauges",
        sa.Column("worker", sa.String(120), nullable=False, comment="host and process"),
        sa.Column("at", UtcDateTime(), nullable=False, server_default=default_now()),
        sa.Column(
            "calls_allowed", sa.Integer, nullable=False, server_default=zero, comment="how many may be in flight"
        ),
        sa.Column("calls_in_flight", sa.Integer, nullable=False, server_default=zero),
        sa.Column("results_waiting", sa.Integer, nullable=False, server_default=zero, comment="not recorded yet"),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_smsclick_worker_gauges")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("smsclick_worker_gauges")
    op.drop_table("smsclick_tallies")
