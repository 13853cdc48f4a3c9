"""Times and durations as they are written, for people and in records."""

import datetime as dt

from smsclick.errors import InvalidTime


def iso(moment: dt.datetime | None) -> str | None:
    """ISO 8601 in UTC."""
    return None if moment is None else moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def parse_time(option: str, word: str) -> dt.datetime:
    """The aware time that `word` writes in ISO 8601; `InvalidTime`, which names the option, where it is none."""
    try:
        moment = dt.datetime.fromisoformat(word.strip())
    except ValueError:
        raise InvalidTime(f"{option}: not a time; write ISO 8601, like 2026-12-01T09:30:00-06:00") from None
    if moment.tzinfo is None:
        raise InvalidTime(f"{option}: it has no time zone; add one, like 2026-12-01T09:30:00-06:00")
    return moment


def span(seconds: float) -> str:
    """A duration in its two largest units, like `12 s`, `3 min 20 s`, `2 d 4 h`."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"
