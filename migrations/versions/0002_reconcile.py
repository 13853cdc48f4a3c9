"""What settling by the report needs: one request on the wire for each phone and text, the breaker's count, the lag.

Plain ALTERs, no copies of tables: on SQLite a copy would drop the messages, and their events with them.
"""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _messages() -> list[sa.Column[object]]:
    return [
        sa.Column("wire_key", sa.String(32), comment="of phone and text while a request may be on the wire"),
        sa.Column("unknown_since", UtcDateTime(), comment="the latest moment at which the request can have left"),
    ]


def _gates() -> list[sa.Column[object]]:
    return [
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="calls without an answer, in a row",
        ),
        sa.Column("lag_id", BigId, comment="the message whose way into the report is being measured"),
        sa.Column("lag_since", UtcDateTime(), comment="when it was accepted"),
        sa.Column("report_lag", sa.Float(), comment="seconds from acceptance to the report, as last measured"),
        sa.Column("report_lag_at", UtcDateTime()),
    ]


def upgrade() -> None:
    for column in _messages():
        op.add_column("smsclick_messages", column)
    op.create_index("ix_smsclick_messages_sent_at", "smsclick_messages", ["sent_at"])
    op.create_index("ix_smsclick_messages_wire_key", "smsclick_messages", ["wire_key"], unique=True)
    for column in _gates():
        op.add_column("smsclick_gates", column)


def downgrade() -> None:
    for column in _gates():
        op.drop_column("smsclick_gates", column.name)
    op.drop_index("ix_smsclick_messages_wire_key", table_name="smsclick_messages")
    op.drop_index("ix_smsclick_messages_sent_at", table_name="smsclick_messages")
    for column in _messages():
        op.drop_column("smsclick_messages", column.name)
