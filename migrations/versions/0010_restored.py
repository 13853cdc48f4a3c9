"""Sending is held after a restore until what could have been sent since the backup has been looked for."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("smsclick_gates") as batch:
        batch.add_column(
            sa.Column("restored_since", UtcDateTime(), comment="what could have been sent since is looked for; holds")
        )
        batch.add_column(sa.Column("restored_at", UtcDateTime(), comment="when all of that was unknown; NULL: not yet"))


def downgrade() -> None:
    with op.batch_alter_table("smsclick_gates") as batch:
        batch.drop_column("restored_at")
        batch.drop_column("restored_since")
