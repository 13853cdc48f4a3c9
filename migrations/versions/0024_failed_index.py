"""An index of the failed messages, so that a set of them is counted without a look at every message.

MariaDB needs none: its index of due messages is not partial, and has the failed ones too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_TABLE = "smsclick_messages"
_INDEX = "ix_smsclick_messages_failed"
_WHERE = sa.text("state = 'failed'")


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    if dialect == "sqlite":
        op.create_index(_INDEX, _TABLE, ["id"], sqlite_where=_WHERE)
    elif dialect == "postgresql":
        with op.get_context().autocommit_block():
            # As in 0006: it blocks nobody, so it may wait for whoever has a transaction open.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}")
            op.create_index(_INDEX, _TABLE, ["id"], postgresql_where=_WHERE, postgresql_concurrently=True)


def downgrade() -> None:
    if op.get_context().dialect.name in {"postgresql", "sqlite"}:
        op.drop_index(_INDEX, table_name=_TABLE)
