"""The words of alerts in each language: catalogues as data, and how a text is made from them.

Spanish by default (`SMSCLICK_LANGUAGE`). Commands speak English in every language; only alerts and the page change.
Why a catalogue and not gettext: docs/decisions/0060-alerts-in-two-languages.md.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["es", "en"]
DEFAULT_LANGUAGE: Final[Language] = "es"


class DetailCode(enum.StrEnum):
    """What the detail of an incident says; `worker.alerting.details.detail` makes the stored line of it."""

    NEVER = "never"
    NO_TICK_FOR = "no_tick_for"
    NO_TICK_EVER = "no_tick_ever"
    LAST_AGO = "last_ago"
    OLDEST_FOR = "oldest_for"
    LAST_RESULT_AGO = "last_result_ago"
    FOR = "for"
    OF_ATTEMPTS = "of_attempts"
    CALLS_IN_A_ROW = "calls_in_a_row"
    CREDITS_LEFT = "credits_left"
    CREDITS_LAST_FOR = "credits_last_for"
    REJECTED_SHARE = "rejected_share"
    CREDITS_CHARGED = "credits_charged"
    SLOW_CALLS = "slow_calls"
    NO_WORKER_FOR = "no_worker_for"
    NO_WORKER_EVER = "no_worker_ever"
    FIRST_ROW = "first_row"
    FIRST_MESSAGE = "first_message"
    SINCE = "since"
    CLOCK_FORWARD = "clock_forward"
    CLOCK_BACK = "clock_back"


@dataclasses.dataclass(frozen=True, slots=True)
class KindText:
    """What the alerts of one kind of incident say.

    Attributes:
        title: the problem in a few words.
        meaning: what it means.
        touches: what it affects, and what it does not.
        advice: what to do.
    """

    title: str
    meaning: str
    touches: str
    advice: str


@dataclasses.dataclass(frozen=True, slots=True)
class Catalogue:
    """All words of one language. Placeholders stand in braces and are the same in each language.

    Attributes:
        kinds: the text of each kind of incident, by its name.
        phrases: the other sentences and labels of an alert.
        details: the sentence of each detail; see `worker.alerting.details`.
        runbook: the runbook's page, from the repository's root.
    """

    kinds: Mapping[str, KindText]
    phrases: Mapping[str, str]
    details: Mapping[DetailCode, str]
    runbook: str
