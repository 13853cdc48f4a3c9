"""Warnings of what goes on: one a minute for each cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsclick._logs.event_log import EventLog
from smsclick.errors import DatabaseUnavailable
from worker.threads.log_limit import LimitedLog

if TYPE_CHECKING:
    import pytest


def test_the_first_is_said_at_once_and_then_one_a_minute_for_each_cause(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    limited = LimitedLog(EventLog("limited"), lambda: now[0])
    for second in range(61):
        now[0] = float(second)
        limited.warning("tick_stopped", DatabaseUnavailable("read-only"), tick="sweep")
        if second == 30:
            limited.warning("tick_stopped", DatabaseUnavailable("full"), tick="sweep")
    assert [record.getMessage() for record in caplog.records] == [
        "A tick stopped; the next one goes on. tick=sweep error=read-only",
        "A tick stopped; the next one goes on. tick=sweep error=full",
        "A tick stopped; the next one goes on. tick=sweep error=read-only left_out=59",
    ]
