"""Celery 5.7.0: beat measures its periods by the machine's wall clock.

Fault: when the clock is set back by half an hour, beat sends no ticks for half an hour (celery/celery#6742).

Workaround: entries whose schedule is a number of seconds measure it by the monotonic clock.

Remove it when an entry of Celery's own beat stays due after the clock was set back.
"""

import datetime as dt
import time
from typing import Any

from celery import beat
from celery.schedules import schedule as every

_STARTED_AT = dt.datetime.now(dt.UTC)
_STARTED = time.monotonic()


def monotonic_now() -> dt.datetime:
    """The wall-clock time at which this process started plus the seconds since, by the monotonic clock."""
    return _STARTED_AT + dt.timedelta(seconds=time.monotonic() - _STARTED)


class MonotonicEntry(beat.ScheduleEntry):
    """An entry of beat's schedule that measures a period in seconds by the monotonic clock."""

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - Celery's
        seconds = given.get("schedule")
        if isinstance(seconds, int | float):
            given["schedule"] = every(dt.timedelta(seconds=seconds), nowfun=monotonic_now, app=given.get("app"))
        super().__init__(**given)
