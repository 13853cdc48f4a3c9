"""Check whether messages are sent: how long the oldest one has waited, and when a result was last recorded."""

from smsclick._database.engine import Database
from smsclick._values.times import span
from smsclick.contract import Priority
from worker.account import account_state
from worker.monitoring import progress_checks
from worker.operator.doctor.check import Check, Verdict
from worker.sql.now import database_now

_NAME = "queue"


def check(database: Database, limits: progress_checks.Limits | None = None) -> Check:
    """Check the age of the oldest due message; every other check can pass while nothing is sent.

    Args:
        database: with our tables.
        limits: how long is too long; the limits of production by default.
    """
    limits = limits or progress_checks.Limits()
    with database.read() as connection:
        held = not account_state.read(connection).is_open
        age = progress_checks.oldest_due(connection, tuple(Priority))
        urgent = progress_checks.oldest_due(connection, (Priority.HIGH, Priority.NORMAL))
        now = database_now(connection)
        recorded = progress_checks.last_record(progress_checks.latest_events(connection), now)
    if age is None:
        return Check(_NAME, Verdict.OK, "no message waits for a worker")
    found = f"the oldest due message has waited for {span(age)}"
    if held:
        return Check(_NAME, Verdict.OK, f"{found}; sending is held")
    last = (
        "no result has ever been recorded" if recorded is None else f"the last result was recorded {span(recorded)} ago"
    )
    if age > limits.records and (recorded is None or recorded > limits.records):
        todo = "see the workers' logs: none runs, none makes progress, or the database refuses writes (a full disk?)"
        return Check(_NAME, Verdict.FAILED, f"{found}, and {last}", todo)
    if (urgent is not None and urgent > limits.due) or age > limits.low_due:
        todo = "start more workers, see whether the provider is slow, or raise SMSCLICK_MAX_PER_SECOND"
        return Check(_NAME, Verdict.WARNING, f"{found}; {last}", todo)
    return Check(_NAME, Verdict.OK, found)
