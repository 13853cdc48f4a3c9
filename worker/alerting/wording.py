"""The words of alerts in each language: catalogues as data, and how a text is made from them.

Spanish by default (`SMSCLICK_LANGUAGE`). Commands speak English in every language; only alerts and the page change.
Why a catalogue and not gettext: docs/decisions/0060-alerts-in-two-languages.md.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["es", "en"]
DEFAULT_LANGUAGE: Final[Language] = "es"


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
        details: the same details as in the English catalogue, in its order; see `worker.alerting.details`.
        runbook: the runbook's page, from the repository's root.
    """

    kinds: Mapping[str, KindText]
    phrases: Mapping[str, str]
    details: tuple[str, ...]
    runbook: str
