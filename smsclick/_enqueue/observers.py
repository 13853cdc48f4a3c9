"""The functions that observe every `enqueue` of this process: the outboxes of `smsclick.testing` in tests."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

observers: list[Callable[[sa.Connection, Sequence[str]], None]] = []
"""Each is called in the caller's transaction, with the connection and the keys of the newly stored messages."""
