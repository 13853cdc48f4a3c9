"""What one ended call adds to the process's metrics and traces."""

from smsclick.provider.clock import clock
from smsclick.provider.results import Accepted, Refused, Unknown
from worker.lifecycle.attempt import Ended
from worker.metrics.process_metrics import ProcessMetrics
from worker.traces import tracer


def note(metrics: ProcessMetrics, ended: Ended, claimed_at: float, seconds: float) -> None:
    """Note a call; an attempt that ended before its call adds nothing.

    Args:
        metrics: of this process.
        ended: the attempt.
        claimed_at: a time of `smsclick.provider.clock.clock()` just before its claim.
        seconds: how long the call took, which ended just now.
    """
    outcome, claim = ended.outcome, ended.claim
    if not isinstance(outcome, Accepted | Refused | Unknown) or (isinstance(outcome, Refused) and outcome.withheld):
        return
    waited = None if claim.due_seconds is None else claim.due_seconds + clock() - seconds - claimed_at
    code = 1 if isinstance(outcome, Accepted) else outcome.code
    metrics.call_ended(type(outcome).__name__.lower(), code, seconds, waited)
    tracer.call_ended(claim.id, claim.attempt, claim.traceparent, outcome, seconds)
