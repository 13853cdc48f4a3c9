"""Check whether beat sends its ticks and a worker runs them: the sweep must have run a short time ago."""

from smsclick._database.engine import Database
from smsclick._values.times import span
from smsclick.settings import Settings
from worker.operator import recent_heartbeats
from worker.operator.doctor.check import Check, Verdict

_NAME = "beat"
_TODO = "start `celery -A worker beat` and `celery -A worker worker`, or `smsclick up`; their logs say why they stop"


def check(database: Database, settings: Settings) -> Check:
    """Check the age of the sweep's heartbeat; it fails after three missed sweeps."""
    with database.read() as connection:
        beats = recent_heartbeats.read(connection, named="sweep")
    sweep = next((beat for beat in beats if beat.name == "sweep"), None)
    if sweep is None:
        return Check(_NAME, Verdict.FAILED, "the sweep has never run", _TODO)
    found = f"the last sweep was {span(sweep.age_seconds)} ago"
    if sweep.age_seconds > 3 * settings.sweep_seconds + 5:
        return Check(_NAME, Verdict.FAILED, found, _TODO)
    return Check(_NAME, Verdict.OK, found)
