"""The context of the producer's span, so that a message's spans join the producer's trace."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without a default: no database writes the rows again, and old code does not notice it.
    op.add_column(
        "smsclick_messages",
        sa.Column(
            "traceparent", sa.String(55), comment="of the producer's span (W3C Trace Context); NULL: it is not traced"
        ),
    )


def downgrade() -> None:
    op.drop_column("smsclick_messages", "traceparent")
