"""Which contents have an attempt in flight: messages with one of these are not sent, and no second one may claim it."""

import itertools
from collections.abc import Iterable

import sqlalchemy as sa

from smsclick.contract import messages
from worker.sql.bulk import among

_FINGERPRINTS_PER_QUERY = 500


def fingerprints_in_flight(connection: sa.Connection, fingerprints: Iterable[str]) -> set[str]:
    """Return those of these content fingerprints that a message in flight has."""
    found: set[str] = set()
    rest = iter(fingerprints)
    while part := list(itertools.islice(rest, _FINGERPRINTS_PER_QUERY)):
        query = sa.select(messages.c.wire_key).where(among(connection, messages.c.wire_key, part))
        found |= set(connection.scalars(query))
    return found
