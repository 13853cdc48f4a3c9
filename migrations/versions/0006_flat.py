"""What keeps ticks flat at ten million rows: an index for the oldest unknown attempt, and an earlier autovacuum.

On PostgreSQL the index is made CONCURRENTLY, outside of a transaction, so that producers go on inserting meanwhile;
MariaDB's InnoDB does so by itself. The reasons stand in docs/decisions/0021-flat-in-size.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEX = "ix_smsclick_messages_unknown_since"
_WHERE = sa.text("unknown_since IS NOT NULL")
_VACUUM = {
    "smsclick_messages": {
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_vacuum_threshold": "100000",
        "autovacuum_analyze_scale_factor": "0.01",
        "autovacuum_analyze_threshold": "50000",
        "vacuum_index_cleanup": "on",
    },
    "smsclick_events": {
        "autovacuum_vacuum_insert_scale_factor": "0.05",
    },
}


def _is_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"


def upgrade() -> None:
    if not _is_postgresql():
        op.create_index(_INDEX, "smsclick_messages", ["unknown_since"], sqlite_where=_WHERE)
        return
    for table, settings in _VACUUM.items():
        op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in settings.items())})")
    with op.get_context().autocommit_block():
        # It blocks nobody, so it may wait for whoever has a transaction open; one that was cut off left it invalid.
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}")
        op.create_index(
            _INDEX, "smsclick_messages", ["unknown_since"], postgresql_where=_WHERE, postgresql_concurrently=True
        )
        op.execute("SET lock_timeout = '10s'")


def downgrade() -> None:
    op.drop_index(_INDEX, table_name="smsclick_messages")
    if _is_postgresql():
        for table, settings in _VACUUM.items():
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})")
