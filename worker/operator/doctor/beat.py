"""Check whether beat sends its ticks and a worker runs them: both must have happened a short time ago."""

from smsclick._database.engine import Database
from smsclick._values.times import span
from smsclick.settings import Settings
from worker.monitoring import progress_checks
from worker.operator.doctor.check import Check, Verdict

_NAME = "beat"
_TODO = "start `celery -A worker beat` and `celery -A worker worker`, or `smsclick up`; their logs say why they stop"


def check(database: Database, settings: Settings) -> Check:
    """Check the age of the sweep, which any worker runs, and of beat's ticks; it fails after three missed ones."""
    with database.read() as connection:
        ages = {name: progress_checks.since(connection, name) for name in (progress_checks.SWEEP, progress_checks.BEAT)}
    swept, ticked = ages.values()
    if swept is None:
        return Check(_NAME, Verdict.FAILED, "the sweep has never run", _TODO)
    found = f"the last sweep was {span(swept)} ago"
    limit = 3 * settings.sweep_seconds + 5
    if swept > limit:
        return Check(_NAME, Verdict.FAILED, found, _TODO)
    if ticked is None or ticked > limit:
        last = "none of beat's ticks has arrived" if ticked is None else f"beat's last tick was {span(ticked)} ago"
        return Check(_NAME, Verdict.FAILED, f"{found}, by a worker itself; {last}", _TODO)
    return Check(_NAME, Verdict.OK, found)
