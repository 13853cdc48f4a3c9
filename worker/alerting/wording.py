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
    """What a detail of an incident says. Those that begin with `call_` say why a callback was not acknowledged."""

    HOLD = "hold"
    NO_ANSWERS = "no_answers"
    BALANCE = "balance"
    BALANCE_LASTS = "balance_lasts"
    CREDITS = "credits"
    REJECTED = "rejected"
    SLOW = "slow"
    ATTEMPTS = "attempts"
    NO_SWEEP = "no_sweep"
    SWEPT = "swept"
    NO_TICK = "no_tick"
    TICKED = "ticked"
    OLDEST = "oldest"
    RECORDED = "recorded"
    LASTS = "lasts"
    NO_WORKER = "no_worker"
    NO_WORKER_FOR = "no_worker_for"
    FIRST = "first"
    FIRST_COLUMNS = "first_columns"
    UNLISTED = "unlisted"
    MESSAGES = "messages"
    ACCEPTED = "accepted"
    DELETED = "deleted"
    CLOCK_FORWARD = "clock_forward"
    CLOCK_BACK = "clock_back"
    RESTORED = "restored"
    RESTORE_FOUND = "restore_found"
    OLD_UNKNOWN_ONE = "old_unknown_one"
    OLD_UNKNOWN = "old_unknown"
    OLD_UNKNOWN_MIXED = "old_unknown_mixed"
    LAG = "lag"
    LAG_AHEAD = "lag_ahead"
    LAG_BEHIND = "lag_behind"
    LAG_LACKS = "lag_lacks"
    LAG_NOTHING = "lag_nothing"
    BAD_CALL = "bad_call"
    BAD_TASK = "bad_task"
    REFUSED = "refused"
    NOT_STORED = "not_stored"
    DEFECT = "defect"
    NO_TASK_MESSAGE = "no_task_message"
    UNKNOWN_TASK = "unknown_task"
    NOT_PARSED = "not_parsed"
    NOT_DECODED = "not_decoded"
    RECEIVER = "receiver"
    CALL_STATUS = "call_status"
    CALL_REDIRECTED = "call_redirected"
    CALL_GONE = "call_gone"
    CALL_NO_ANSWER = "call_no_answer"
    CALL_CERTIFICATE = "call_certificate"
    CALL_TLS = "call_tls"
    CALL_BROKE = "call_broke"
    CALL_NOT_MADE = "call_not_made"
    CALL_LATE = "call_late"
    CALL_NO_HTTP = "call_no_http"
    CALL_NO_HOST = "call_no_host"
    CALL_UNSIGNED = "call_unsigned"
    CALL_NO_BROKER = "call_no_broker"
    CALL_NO_QUEUE = "call_no_queue"
    CALL_NOT_PUBLISHED = "call_not_published"
    CALL_NO_TARGET = "call_no_target"
    CALL_NOT_HTTPS = "call_not_https"
    CALL_NOT_NAMED = "call_not_named"
    CALL_PRIVATE = "call_private"
    CALL_DEFECT = "call_defect"


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
    details: Mapping[str, str]
    runbook: str
