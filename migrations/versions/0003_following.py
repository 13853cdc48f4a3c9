"""What following by report needs: watermarks, and the budget of getMsg. Its index is made in 0006."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "smsclick_watermarks",
        sa.Column(
            "name", sa.String(40), primary_key=True, comment="of the age of messages that its reports answer for"
        ),
        sa.Column("due_at", UtcDateTime(), nullable=False, server_default=default_now(), comment="when to read next"),
        sa.Column("lease_until", UtcDateTime(), comment="until then somebody reads"),
        sa.Column("read_at", UtcDateTime(), comment="when the last whole report was asked for"),
        sa.Column(
            "cursor_at",
            UtcDateTime(),
            comment="sent_at up to which the round under way has come; NULL: a new round",
        ),
        sa.Column("density", sa.Float(), comment="rows of the report for each second of its span, as learned"),
        sa.Column("reads", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column(
            "failures",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("0"),
            comment="reports that failed, in a row",
        ),
        sa.Column("probe_id", BigId, comment="id_mensaje of a final message that the next report must have"),
        sa.Column("probe_at", UtcDateTime(), comment="when that message was sent"),
        sa.Column("distrusted_until", UtcDateTime(), comment="until then getMsg is asked instead"),
        **_MYSQL,
    )
    op.create_table(
        "smsclick_budgets",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("tokens", sa.Float(), nullable=False, comment="requests that may leave now, over all workers"),
        sa.Column("at", UtcDateTime(), nullable=False, server_default=default_now(), comment="when they were counted"),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("smsclick_budgets")
    op.drop_table("smsclick_watermarks")
