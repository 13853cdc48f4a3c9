"""The provider's dates, on the clocks of its zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from smsclick.provider._answers.dates import format_date, parse_date
from tests.manual_answers import MEXICO, TIJUANA

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

# Dates.


@pytest.mark.parametrize(
    ("text", "zone", "time"),
    [
        ("12-08-2017 17:34:56", MEXICO, datetime(2017, 8, 12, 22, 34, 56, tzinfo=UTC)),
        ("12-08-2026 17:34:56", MEXICO, datetime(2026, 8, 12, 23, 34, 56, tzinfo=UTC)),
        (" 1-2-2026 3:04:05 ", MEXICO, datetime(2026, 2, 1, 9, 4, 5, tzinfo=UTC)),
        ("02-11-2025 01:30:00", TIJUANA, datetime(2025, 11, 2, 8, 30, tzinfo=UTC)),
        ("09-03-2025 02:30:00", TIJUANA, datetime(2025, 3, 9, 10, 30, tzinfo=UTC)),
    ],
    ids=["summer time", "no summer time any more", "short", "an hour that comes twice", "an hour that is skipped"],
)
def test_a_date_is_read_on_the_providers_clocks(text: str, zone: ZoneInfo, time: datetime) -> None:
    assert parse_date(text, zone) == time


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "NULL",
        "2017-08-12 17:34:56",
        "31-02-2026 00:00:00",
        "00-00-0000 00:00:00",
        "01-01-2026 24:00:00",
        "31-12-9999 23:59:59",
        "12-08-2017",
    ],
)
def test_a_date_that_nobody_can_read_is_none(value: object) -> None:
    assert parse_date(value, MEXICO) is None


def test_a_date_is_written_as_the_provider_writes_it() -> None:
    time = datetime(2018, 1, 20, 6, 0, 0, 999_999, tzinfo=UTC)
    assert format_date(time, MEXICO) == "20-01-2018 00:00:00"
