"""Callbacks to producers that are not tried any more."""

from collections.abc import Collection

from smsclick._database.engine import Database
from worker.callbacks import replay
from worker.callbacks.replay import CallbackState, StoredCallback, Wanted


def latest(database: Database, *, limit: int) -> list[StoredCallback]:
    """Return the callbacks that were given up, the latest first, at most `limit`."""
    return replay.given_up(database, limit=limit)


def again(database: Database, ids: Collection[int], *, actor: str) -> int:
    """Have given-up callbacks delivered again.

    Args:
        database: where they are.
        ids: of callbacks; those in another state are left alone.
        actor: who does it, for the audit record.

    Returns:
        How many are delivered again.
    """
    return replay.replay(database, Wanted(ids=ids, states=[CallbackState.GIVEN_UP]), actor=actor)
