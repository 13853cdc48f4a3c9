"""Times and durations as text, for people and in records."""

import datetime as dt
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from smsclick.errors import InvalidField, InvalidTime


def iso(time: dt.datetime | None) -> str | None:
    """Return the time as ISO 8601 in UTC."""
    return None if time is None else time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def parse_time(option: str, word: str) -> dt.datetime:
    """Return the aware time that `word` writes in ISO 8601.

    Raises:
        InvalidTime: `word` is no time or has no zone; the line names the option.
    """
    try:
        time = dt.datetime.fromisoformat(word.strip())
    except ValueError:
        raise InvalidTime(f"{option}: not a time; write ISO 8601, like 2026-12-01T09:30:00-06:00") from None
    if time.tzinfo is None:
        raise InvalidTime(f"{option}: it has no time zone; add one, like 2026-12-01T09:30:00-06:00")
    return time


def span(seconds: float) -> str:
    """Return a duration in its two largest units, like `12 s`, `3 min 20 s`, `2 d 4 h`."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def parse_time_or_day(word: str, zone: ZoneInfo, *, end_of_day: bool = False) -> dt.datetime:
    """Return a time as a person writes it.

    Args:
        word: ISO 8601, or the provider's DD-MM-AAAA HH:mm:ss; the time of day may be left out.
        zone: the zone of a word that names none.
        end_of_day: whether a day alone means its end instead of its beginning.

    Raises:
        InvalidTime: the word is no time.
    """
    text = word.strip()
    provider_form = re.fullmatch(r"(\d{2})-(\d{2})-(\d{4})(?:[ T](.+))?", text)
    if provider_form:
        day, month, year, clock = provider_form.groups()
        text = f"{year}-{month}-{day}" + (f"T{clock}" if clock else "")
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidTime(f"{word!r} is no time: write 2026-11-22T09:30:00 or 22-11-2026 09:30:00") from None
    if end_of_day and re.search(r"[ T:]", text) is None:
        time = time.replace(hour=23, minute=59, second=59)
    return time if time.tzinfo is not None else time.replace(tzinfo=zone)


def parse_zone(word: str, option: str) -> ZoneInfo:
    """Return a time zone by its name.

    Args:
        word: The name.
        option: The option that it was given for, for the error.

    Raises:
        InvalidField: no time zone has this name.
    """
    try:
        return ZoneInfo(word.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidField(f"{option}: there is no time zone of this name; an example is America/Mexico_City") from None
