"""Sends on the test's own thread with the functions of production: claim, attempt, record; one call after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker.lifecycle.attempt import Ended
from worker.sending import attempts

if TYPE_CHECKING:
    from collections.abc import Collection

    from worker.context import Context

_CLAIM_ROWS = 10


def send(context: Context, ids: Collection[int]) -> int:
    """Send the messages of `ids` that are due, then all others; returns how many attempts ended.

    Raises:
        DatabaseUnavailable: nothing could be claimed.
    """
    most = min(_CLAIM_ROWS, context.limiter.claim_limit or _CLAIM_ROWS)
    ended = attempt(context, attempts.claim(context, sorted(ids)[:_CLAIM_ROWS], most))
    while not context.stopping.is_set():
        batch = attempts.claim(context, None, most)
        if not batch.claims:
            break
        ended += attempt(context, batch)
    return ended


def attempt(context: Context, batch: attempts.Batch) -> int:
    """Attempt each claim; returns how many attempts ended."""
    asyncio.run(_attempt(context, batch))
    return len(batch.claims)


async def _attempt(context: Context, batch: attempts.Batch) -> None:
    async with context.senders() as sender:
        for index, each in enumerate(batch.claims):
            permit = await attempts.permit(context, each, batch.claimed_at, first=index == 0)
            ended = permit if isinstance(permit, Ended) else await attempts.call(sender, permit)
            context.recorder.record(ended)
