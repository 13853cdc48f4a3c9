"""What an absence must be earned with: the account of an attempt, why it stays unknown, how often it was absent.

Plain ALTERs of columns that may be NULL or have a default: no table is copied and no row is written.
"""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("unknown_reason", sa.String(24), comment="why the report could not tell, see worker.trust.Doubt"),
        sa.Column("account_fingerprint", sa.String(16), comment="of the APIKEY of the last attempt; one-way"),
        sa.Column(
            "absences",
            sa.SmallInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="attempts that a report did not have",
        ),
        sa.Column("absent_since", UtcDateTime(), comment="start of the first attempt that a report did not have"),
        sa.Column(
            "id_source", sa.String(8), comment="who said id_mensaje: report or person; NULL: the answer of sendMsg"
        ),
    ]


def upgrade() -> None:
    for column in _columns():
        op.add_column("smsclick_messages", column)


def downgrade() -> None:
    for column in _columns():
        op.drop_column("smsclick_messages", column.name)
