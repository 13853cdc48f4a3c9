"""What a person can do about a message on the page: its own buttons and views, where a terminal has commands."""

from collections.abc import Mapping
from typing import Final

from worker.alerting.wording import Language
from worker.operator.waiting.codes import Remedy

REMEDIES: Final[Mapping[Language, Mapping[Remedy, str]]] = {
    "es": {
        Remedy.RESUME: "en Operar se reanuda",
        Remedy.RETRY: "«Reintentar»",
        Remedy.DECIDE: "solo una persona puede decidirlo, en esta página",
        Remedy.DECIDE_BY_HAND: "decida a mano en esta página",
        Remedy.CALL_AGAIN: "en Operar, Avisos, se llama otra vez",
    },
    "en": {
        Remedy.RESUME: "Operate resumes it",
        Remedy.RETRY: "“Retry”",
        Remedy.DECIDE: "only a person can decide, on this page",
        Remedy.DECIDE_BY_HAND: "decide by hand on this page",
        Remedy.CALL_AGAIN: "Operate, Callbacks, calls once more",
    },
}
