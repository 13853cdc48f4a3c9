"""What the state machine's changes add to the counters (`worker.metrics.tallies`). Pure."""

from collections import Counter
from collections.abc import Iterable

from smsclick._values.causes import Cause
from smsclick.contract import State
from worker.lifecycle.model import Change
from worker.metrics import histograms
from worker.metrics.tallies import Tally

EVENTS = "events"
"""Events by states before and after, and cause."""
CREDITS = "credits"
"""Credits that the provider's answers say it charged."""
UNPRICED = "unpriced"
"""Messages that became `sent` without an answer that says what they cost."""
FINAL_SECONDS = "final_seconds"
"""From the acceptance to the final status that the provider gave."""

_FINAL = (State.DELIVERED, State.REJECTED)


def of(changes: Iterable[Change]) -> Counter[Tally]:
    """What these changes add; those without a note keep no event and add nothing."""
    found: Counter[Tally] = Counter()
    for change in changes:
        if change.note is None:
            continue
        was, becomes = change.was, change.becomes
        found[EVENTS, label(was.state, becomes.state, change.note.cause)] += 1
        if becomes.credits_used is not None and becomes.credits_used != was.credits_used:
            found[CREDITS, ""] += max(0, becomes.credits_used - (was.credits_used or 0))
        if becomes.state is was.state:
            continue
        if becomes.state is State.SENT and becomes.credits_used is None:
            found[UNPRICED, ""] += 1
        if becomes.state in _FINAL and becomes.final_at is not None and becomes.sent_at is not None:
            seconds = (becomes.final_at - becomes.sent_at).total_seconds()
            for part, amount in histograms.counts(seconds, histograms.SLOW_SECONDS).items():
                found[FINAL_SECONDS, f"{becomes.state} {part}"] += amount
    return found


def label(before: State, after: State, cause: Cause) -> str:
    """The label of an event."""
    return f"{before} {after} {cause}"
