"""Numbers and spans of time in the words of a language, for templates."""

from typing import Final

from worker.alerting.wording import Language

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_DAYS: Final[dict[Language, tuple[str, str]]] = {"es": ("día", "días"), "en": ("day", "days")}


def number(value: float | None) -> str:
    """Return a number with separators: whole from ten on, with a decimal below; a hyphen where there is none."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def span(seconds: float | None, language: Language) -> str:
    """Return a span of time in its two largest units: `250 ms`, `3.2 s`, `5 min 10 s`, `2 h 5 min`, `3 días 4 h`."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole // _MINUTE, "min", whole % _MINUTE, "s")
    if whole < _DAY:
        return _two(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")
    days = whole // _DAY
    return _two(days, _DAYS[language][days != 1], whole % _DAY // _HOUR, "h")


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large:,} {unit} {small} {small_unit}" if small else f"{large:,} {unit}"
