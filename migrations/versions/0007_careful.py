"""An index for the retention of undetermined messages, and the mark of a database that a simulator has used."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEX = "ix_smsclick_messages_erase_undetermined"
_COLUMNS = ["erased_at", "sent_at"]
_WHERE = sa.text("state = 'undetermined' AND erased_at IS NULL")


def upgrade() -> None:
    op.add_column(
        "smsclick_gates",
        sa.Column("simulated_at", UtcDateTime(), comment="since when these messages are a simulator's"),
    )
    if op.get_context().dialect.name != "postgresql":
        op.create_index(_INDEX, "smsclick_messages", _COLUMNS, sqlite_where=_WHERE)
        return
    with op.get_context().autocommit_block():
        # As in 0006: it blocks nobody, so it may wait for whoever has a transaction open.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}")
        op.create_index(_INDEX, "smsclick_messages", _COLUMNS, postgresql_where=_WHERE, postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index(_INDEX, table_name="smsclick_messages")
    op.drop_column("smsclick_gates", "simulated_at")
