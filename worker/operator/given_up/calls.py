"""Dead letters: calls of producers that could not become messages."""

from smsclick._database.engine import Database
from worker.intake import dead_letters
from worker.intake.dead_letters import DeadLetter


def latest(database: Database, *, limit: int) -> list[DeadLetter]:
    """Return the latest ones, newest first, at most `limit`; their content may hold a phone and a text."""
    return list(dead_letters.listed(database, limit=limit))


def store(database: Database, letter: int, *, actor: str) -> bool:
    """Store the message of a call after all; False where it still cannot be one.

    Args:
        database: where it is.
        letter: id of the dead letter.
        actor: who does it, for the audit record.
    """
    ((_, became),) = dead_letters.retry(database, [letter], actor=actor)
    return isinstance(became, int)


def drop(database: Database, letter: int, *, actor: str) -> bool:
    """Delete a call; False where there was none. Arguments as of `store`."""
    return bool(dead_letters.drop(database, [letter], actor=actor))
