"""This process as a worker's, and all of its ticks by name, for whoever wants to see what they do to a database."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from celery import signals

from smsclick._database.columns import db_now
from smsclick.contract import State, accounts, heartbeats, messages
from smsclick.settings import get_settings
from tests.factories import KEY, LONG_AGO, insert
from tests.processes import wait_until
from worker.alerting import incidents
from worker.app import app, pump, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from smsclick._database.engine import Database
    from worker.runtime import Runtime

app.loader.import_default_modules()
TICKS = sorted(name for name in app.tasks if name.startswith("smsclick."))
"""Every task of ours that Celery knows."""

_keys = itertools.count(1)


@contextlib.contextmanager
def as_worker(database_url: str, base_url: str, **variables: str) -> Iterator[Runtime]:
    """The runtime that the tasks of this process use meanwhile; no worker receives its wake-ups."""
    given = {"DATABASE_URL": database_url, "SMSCLICK_BASE_URL": base_url, "SMSCLICK_API_KEY": KEY} | variables
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    get_settings.cache_clear()
    try:
        yield runtime()
    finally:
        signals.worker_shutdown.send(sender=None)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        get_settings.cache_clear()


def make_due(database: Database) -> None:
    """Make every tick due, release the account's hold, and add an alert event to deliver."""
    with database.begin() as connection:
        connection.execute(sa.delete(heartbeats))
        connection.execute(sa.update(accounts).values(probe_at=LONG_AGO, hold_reason=None, failures=0, lag_id=None))
        incidents.close(connection, "bad_call")
        incidents.report(connection, "bad_call")


def arguments(database: Database, tick: str) -> Mapping[str, Any]:
    """What a tick is called with: due ids where it takes ids.

    Raises:
        LookupError: a tick that nobody has said this of.
    """
    known: dict[str, Mapping[str, Any]] = {
        "smsclick.send": {"ids": _due(database, State.QUEUED)},
        "smsclick.echo": {"name": f"echo:{os.getpid()}-{next(_keys)}"},
        "smsclick.poll": {"ids": _due(database, State.SENT)},
        "smsclick.enqueue": {"phone": "5551402211", "text": "by name", "key": f"by-name-{os.getpid()}-{next(_keys)}"},
        "smsclick.cancel": {"key": _waiting(database) if tick == "smsclick.cancel" else ""},
    }
    wanted = inspect.signature(app.tasks[tick].run).parameters.values()
    missing = [each for each in wanted if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    if missing and tick not in known:
        raise LookupError(f"say in tests.ticks.arguments with what {tick} is called")
    return known.get(tick, {})


def run(held: Runtime, tick: str, called: Mapping[str, Any]) -> None:
    """Run a tick to the end of what it sets going: the pump stops when it has sent all that woke it.

    It would go on with everything that is due, and this process's runtime ends with it.
    """
    app.tasks[tick].run(**called)
    if tick == "smsclick.send":
        woken = len(called["ids"])
        wait_until(lambda: held.recorder.recorded >= woken, what=f"{woken} results")
        pump().close()
        held.recorder.close()


def _due(database: Database, state: State) -> list[int]:
    with database.read() as connection:
        query = sa.select(messages.c.id).where(messages.c.state == state, messages.c.due_at <= db_now())
        return list(connection.scalars(query.order_by(messages.c.due_at).limit(10)))


def _waiting(database: Database) -> str:
    """The key of a message that waits; made where there is none."""
    with database.begin() as connection:
        query = sa.select(messages.c.key).where(messages.c.state == State.QUEUED, messages.c.due_at <= db_now())
        found = connection.scalar(query.order_by(messages.c.due_at).limit(1))
    if found is not None:
        return str(found)
    (made,) = insert(database)
    with database.read() as connection:
        return str(connection.scalar(sa.select(messages.c.key).where(messages.c.id == made)))
