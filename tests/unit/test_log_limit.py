"""Warnings of what goes on: one a minute for each cause."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from smsclick.errors import DatabaseUnavailable
from worker.threads.log_limit import LimitedLog

if TYPE_CHECKING:
    import pytest


def test_the_first_is_said_at_once_and_then_one_a_minute_for_each_cause(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    limited = LimitedLog(logging.getLogger("limited"), lambda: now[0])
    for second in range(61):
        now[0] = float(second)
        limited.warning("%s stopped: %s", DatabaseUnavailable("read-only"), "sweep")
        if second == 30:
            limited.warning("%s stopped: %s", DatabaseUnavailable("full"), "sweep")
    assert [record.getMessage() for record in caplog.records] == [
        "sweep stopped: read-only",
        "sweep stopped: full",
        "sweep stopped: read-only left_out=59",
    ]
