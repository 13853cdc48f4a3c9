"""The worker's side of `smsclick doctor`'s echo probe.

Doctor inserts a row into its database and sends probes through the broker. A worker that receives one counts it in its
own database, so a probe that is not counted in doctor's database went to a worker of another database.
"""

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import heartbeats


def answer(database: Database, name: str) -> bool:
    """Count a probe.

    Args:
        database: of this worker.
        name: of the row in `smsclick_heartbeats` that doctor inserted.

    Returns:
        Whether the row is in this database.
    """
    counted = sa.update(heartbeats).where(heartbeats.c.name == name).values(progress=heartbeats.c.progress + 1)
    with database.begin() as connection:
        return bool(connection.execute(counted).rowcount)
