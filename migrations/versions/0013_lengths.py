"""On MariaDB and MySQL a producer's words are refused where they are too long, also by INSERT IGNORE.

It cuts them to what the column holds, and two long keys with the same beginning were one message. So the columns hold
one character more than may be, and a constraint refuses that. Wider columns change no row there.
"""

import sqlalchemy as sa
from alembic import op

from smsclick._database.constraints import GUARDED_LENGTHS, MARIADB_LENGTHS

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLE = "smsclick_messages"
_COMMENTS = {
    "key": "the producer's idempotency key",
    "phone": "empty once erased",
    "rule_id": "ID_REGLA_INTERACTIVA",
}
_NEEDED = ("key", "phone")


def upgrade() -> None:
    if _concerned():
        _resize(1)
        ((name, condition),) = MARIADB_LENGTHS.items()
        op.execute(sa.text(f"ALTER TABLE {_TABLE} ADD CONSTRAINT ck_{_TABLE}_{name} CHECK ({condition})"))


def downgrade() -> None:
    if _concerned():
        for name in MARIADB_LENGTHS:
            op.execute(sa.text(f"ALTER TABLE {_TABLE} DROP CONSTRAINT ck_{_TABLE}_{name}"))
        _resize(0)


def _concerned() -> bool:
    return op.get_context().dialect.name in {"mysql", "mariadb"}


def _resize(more: int) -> None:
    for name, length in GUARDED_LENGTHS.items():
        op.alter_column(
            _TABLE,
            name,
            type_=sa.String(length + more),
            existing_nullable=name not in _NEEDED,
            existing_comment=_COMMENTS.get(name),
        )
