"""The words for what a message waits for: times relative and in the installation's zone. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from smsclick._values.times import span
from worker.alerting.wording import Language
from worker.lifecycle.doubt import Doubt
from worker.operator.waiting import english, spanish
from worker.operator.waiting.codes import Remedy, Waiting

_SENTENCES: Final = {"en": english.SENTENCES, "es": spanish.SENTENCES}
_WHY: Final = {"en": english.WHY, "es": spanish.WHY}
_PHRASES: Final = {"en": english.PHRASES, "es": spanish.PHRASES}
_REMEDIES: Final = {"en": english.REMEDIES, "es": spanish.REMEDIES}
_NOW_SECONDS: Final = 0.5
UTC: Final = ZoneInfo("UTC")


def sentence(
    waiting: Waiting,
    now: dt.datetime,
    *,
    language: Language = "en",
    zone: ZoneInfo = UTC,
    remedies: Mapping[Remedy, str] | None = None,
) -> str:
    """Return one case as a sentence.

    Args:
        waiting: the case.
        now: the time of the reading; times are said relative to it.
        language: of the sentence.
        zone: of absolute times.
        remedies: the words for what a person can do, in the same language; None names the commands of a terminal.
    """
    data = dict(waiting.data)
    phrases = _PHRASES[language]
    answer = " ".join(part for part in (data.get("code", ""), data.get("why", "")) if part)
    doubt = data.get("reason", "")
    by_person = {each.value: words for each, words in (remedies or _REMEDIES[language]).items()}
    optional = {
        "person": phrases["person"].format(by=data["by"]) if data.get("by") else "",
        "refused": phrases["refused"].format(answer=answer) if answer else "",
        "reason": phrases["reason"].format(reason=_WHY[language][Doubt(doubt)].format(**by_person)) if doubt else "",
    }
    words = _SENTENCES[language][waiting.code]
    return words.format(**(data | optional | by_person), when=when(waiting.until, now, language=language, zone=zone))


def say(waiting: Sequence[Waiting], now: dt.datetime, *, language: Language = "en", zone: ZoneInfo = UTC) -> str:
    """Return all cases of one message as sentences, the one that says what it waits for first."""
    return " ".join(sentence(each, now, language=language, zone=zone) for each in waiting)


def when(time: dt.datetime | None, now: dt.datetime, *, language: Language, zone: ZoneInfo) -> str:
    """Return a time in words: relative, and absolute in the zone."""
    phrases = _PHRASES[language]
    if time is None:
        return phrases["unknown_time"]
    left = (time - now).total_seconds()
    if abs(left) < _NOW_SECONDS:
        return phrases["now"]
    local = time.astimezone(zone)
    absolute = f"{local:%Y-%m-%d %H:%M:%S} {zone.key}"
    return phrases["in" if left > 0 else "ago"].format(span=span(max(1.0, abs(left))), time=absolute)
