"""What was sent, charged, delivered and rejected in each ten minutes, so that no figure reads all messages."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _count(name: str, comment: str | None = None) -> sa.Column[int]:
    return sa.Column(name, BigId, nullable=False, server_default=sa.text("0"), comment=comment)


def upgrade() -> None:
    op.create_table(
        "smsclick_usage",
        sa.Column("begins_at", UtcDateTime(), nullable=False, comment="of the ten minutes that are counted here"),
        _count("sent", "messages accepted by the provider"),
        _count("credits", "charged for them, as answered"),
        _count("predicted", "credits expected for the same"),
        _count("delivered"),
        _count("rejected"),
        sa.Column("counted_to", BigId, nullable=False, comment="id of the last event that is counted"),
        sa.PrimaryKeyConstraint("begins_at", name=op.f("pk_smsclick_usage")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("smsclick_usage")
