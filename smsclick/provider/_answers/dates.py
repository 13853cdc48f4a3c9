"""Dates as the provider reads and writes them: `DD-MM-AAAA HH:mm:ss` on the clocks of its zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from smsclick.errors import SettingsError

_DATE: Final = re.compile(r"(\d{1,2})-(\d{1,2})-(\d{4})\s+(\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)


def find_zone(timezone: str | ZoneInfo, *, example: str) -> ZoneInfo:
    """Return a zone by its name.

    Args:
        timezone: Its IANA name, or the zone itself.
        example: A name that the error gives as an example.

    Raises:
        SettingsError: There is no such zone.
    """
    try:
        return timezone if isinstance(timezone, ZoneInfo) else ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"there is no time zone {timezone!r}: an example is {example}") from None


def parse_date(value: object, zone: ZoneInfo) -> datetime | None:
    """Read a date of the provider.

    If the clocks show a time twice, the first of the two counts; one that they skip is read with the offset that held
    before.

    Args:
        value: What the JSON holds.
        zone: The zone of the provider's dates.

    Returns:
        The time in UTC, or None if the value is not a date.
    """
    match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    day, month, year, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):  # 31 February; the first or last hours of the calendar
        return None


def later_reading(first: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the second time at which the clocks of a zone show what they showed at `first`.

    Args:
        first: Aware.
        zone: The zone of the provider's dates.

    Returns:
        The later time in UTC, or None if the clocks show it only once.
    """
    local = first.astimezone(zone)
    if local.fold or local.utcoffset() == local.replace(fold=1).utcoffset():
        return None
    later = local.replace(fold=1).astimezone(UTC)
    return later if later > first else None


def format_date(time: datetime, zone: ZoneInfo) -> str:
    """Write a time as the provider does; the opposite of `parse_date`.

    Args:
        time: Aware. Fractions of a second are dropped.
        zone: The zone of the provider's dates.

    Returns:
        `DD-MM-AAAA HH:mm:ss`.
    """
    local = time.astimezone(zone)
    return f"{local:%d-%m}-{local.year:04d} {local:%H:%M:%S}"
