"""Keep what is simulated apart from what is real: a database belongs to the simulator or to an account, forever.

`up --simulate` takes only an empty database or its own, and marks it; other workers refuse a marked one. Otherwise real
messages would be "delivered" by the simulator, and invented ones would go to somebody's phone.
"""

import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._database.urls import shown
from smsclick.contract import ACCOUNT, accounts, heartbeats, messages
from smsclick.errors import NotAllowed

_RECENT = dt.timedelta(minutes=5)
_ADVICE = "name another database, for example DATABASE_URL=sqlite:///var/simulated.db"


def mark(database: Database) -> None:
    """Note that this database is the simulator's from now on.

    Raises:
        NotAllowed: it holds messages of a real account, or a worker of one uses it.
    """
    where = shown(database.engine.url)

    def work(connection: sa.Connection) -> str | None:
        account_state = sa.select(accounts.c.simulated_at, db_now().label("now")).where(accounts.c.account == ACCOUNT)
        found = connection.execute(account_state.with_for_update()).one()
        if found.simulated_at is not None:
            return None
        if connection.execute(sa.select(messages.c.id).limit(1)).first() is not None:
            return f"the database {where} holds messages that are no simulator's: it would swallow them"
        recent = sa.select(heartbeats.c.name).where(heartbeats.c.at > found.now - _RECENT).limit(1)
        if connection.execute(recent).first() is not None:
            return f"a worker uses the database {where}: it would send what is meant for the simulator"
        connection.execute(sa.update(accounts).where(accounts.c.account == ACCOUNT).values(simulated_at=db_now()))
        return None

    refusal = database.transact(work)
    if refusal is not None:
        raise NotAllowed(f"up --simulate: {refusal}; {_ADVICE}")


def refuse(database: Database) -> None:
    """Raises `NotAllowed` where this database is the simulator's: for workers that send to SMSClick itself."""
    with database.read() as connection:
        simulated_at = connection.scalar(sa.select(accounts.c.simulated_at).where(accounts.c.account == ACCOUNT))
    if simulated_at is not None:
        where = shown(database.engine.url)
        raise NotAllowed(
            f"the database {where} was used by `up --simulate`, and its messages must not go out for real; {_ADVICE}, "
            "or delete it"
        )
