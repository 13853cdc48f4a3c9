"""The database's clock under watch; incidents that reopen; holds that do not flap."""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_ZERO = sa.text("0")


def upgrade() -> None:
    op.create_table(
        "smsclick_clocks",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column(
            "seen_at", UtcDateTime, nullable=False, server_default=default_now(), comment="read last by any process"
        ),
        sa.Column("trusted_since", UtcDateTime, comment="since when the time that went by was measured without a gap"),
        sa.Column("stepped_ms", BigId, nullable=False, server_default=_ZERO, comment="sum of all steps seen"),
        sa.Column("shift_ms", BigId, comment="of a step back: by how much due times are still to be moved"),
        sa.Column("shift_stage", sa.SmallInteger, comment="which due times are being moved"),
        sa.Column("shift_after", UtcDateTime, comment="up to here those of this stage are moved"),
        sa.PrimaryKeyConstraint("name", name="pk_smsclick_clocks"),
        **_MYSQL,
    )
    for column in (
        sa.Column("ends_at", UtcDateTime, comment="once closed: until then it reopens as the same incident"),
        sa.Column("reopened", sa.Integer, nullable=False, server_default=_ZERO, comment="how often it came back"),
    ):
        op.add_column("smsclick_incidents", column)
    op.add_column("smsclick_alerts", sa.Column("claimed_until", UtcDateTime, comment="until then somebody delivers it"))
    for column in (
        sa.Column("opened_at", UtcDateTime, comment="when an automatic hold ended last"),
        sa.Column("relapses", sa.Integer, nullable=False, server_default=_ZERO, comment="holds soon after another"),
        sa.Column(
            "canaries", sa.Integer, nullable=False, server_default=_ZERO, comment="canaries accepted in this hold"
        ),
    ):
        op.add_column("smsclick_gates", column)


def downgrade() -> None:
    # Before these columns an incident that is closed has no key.
    op.execute("UPDATE smsclick_incidents SET open_key = NULL WHERE closed_at IS NOT NULL")
    for table, names in (
        ("smsclick_gates", ("canaries", "relapses", "opened_at")),
        ("smsclick_alerts", ("claimed_until",)),
        ("smsclick_incidents", ("reopened", "ends_at")),
    ):
        for name in names:
            op.drop_column(table, name)
    op.drop_table("smsclick_clocks")
