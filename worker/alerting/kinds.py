"""Every kind of incident as data: how grave it is, how often it is reminded of, when it ends by itself and reopens.

To add a kind: add it to `KINDS`, its words to `worker.alerting.english` and `worker.alerting.spanish`, a line to the
table in docs/operations.md, and a section to docs/runbook.md and docs/es/runbook.md.
"""

import dataclasses
import enum

from smsclick.contract import HoldReason
from worker.alerting.catalogues import catalogue
from worker.alerting.wording import KindText

_HOUR_SECONDS = 3600
_DAY_SECONDS = 24 * _HOUR_SECONDS


class Severity(enum.StrEnum):
    """How grave an incident is."""

    CRITICAL = "critical"
    """Messages are not sent."""
    WARNING = "warning"
    """Some messages, or what is known of them, need somebody soon."""
    INFO = "info"
    """For somebody's attention."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of incident.

    Attributes:
        name: as stored in `smsclick_incidents.kind`.
        severity: how grave it is.
        remind_seconds: the time between two reminders while the incident is open.
        quiet_seconds: the incident ends when the problem has not occurred for this long; None where the code that
            reported it also closes it.
        reopen_seconds: a problem that occurs again within this time after the end reopens the same incident.
    """

    name: str
    severity: Severity = Severity.WARNING
    remind_seconds: int = 4 * _HOUR_SECONDS
    quiet_seconds: int | None = None
    reopen_seconds: int = 1800

    def text(self, language: str = "en") -> KindText:
        """What its alerts say; its bare name for a kind of a newer release."""
        known = catalogue(language).kinds.get(self.name)
        return known or KindText(self.name, "", "", "")

    @property
    def title(self) -> str:
        """The problem in a few English words, for commands."""
        return self.text().title

    @property
    def advice(self) -> str:
        """What an operator can do, in English, for commands."""
        return self.text().advice


def known_or_new(name: str) -> Kind:
    """The kind of this name; one with defaults where a newer release has stored it."""
    return KINDS.get(name) or Kind(name)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(HoldReason.NO_BALANCE, Severity.CRITICAL, remind_seconds=_HOUR_SECONDS),
        Kind(HoldReason.KEY_REFUSED, Severity.CRITICAL, remind_seconds=_HOUR_SECONDS),
        Kind(HoldReason.PROVIDER_DOWN, Severity.CRITICAL, remind_seconds=_HOUR_SECONDS),
        Kind("old_unknown"),
        Kind("report_lag"),
        Kind("restored"),
        Kind("low_balance", remind_seconds=_DAY_SECONDS),
        # A rate follows the hours of the day: what is over in the evening is the same problem in the morning.
        Kind("balance_ends", remind_seconds=_DAY_SECONDS, reopen_seconds=_DAY_SECONDS),
        Kind("credits_differ", remind_seconds=_DAY_SECONDS, reopen_seconds=_DAY_SECONDS),
        Kind("many_rejected", reopen_seconds=2 * _HOUR_SECONDS),
        Kind("provider_slow", reopen_seconds=2 * _HOUR_SECONDS),
        Kind("unlisted_code", remind_seconds=_DAY_SECONDS, quiet_seconds=_DAY_SECONDS),
        Kind("undetermined", remind_seconds=_DAY_SECONDS, quiet_seconds=_DAY_SECONDS),
        Kind("lost_id", remind_seconds=_DAY_SECONDS, quiet_seconds=_DAY_SECONDS),
        Kind("odd_row", remind_seconds=_DAY_SECONDS, quiet_seconds=_DAY_SECONDS),
        Kind(
            "callback_failed", remind_seconds=_DAY_SECONDS, quiet_seconds=2 * _DAY_SECONDS, reopen_seconds=_DAY_SECONDS
        ),
        Kind("no_ticks"),
        Kind("old_due"),
        Kind("no_records", Severity.CRITICAL, remind_seconds=_HOUR_SECONDS),
        Kind("no_workers", Severity.CRITICAL, remind_seconds=_HOUR_SECONDS),
        Kind("operator_hold", reopen_seconds=0),
        Kind("many_unknown"),
        Kind("many_absent", remind_seconds=_HOUR_SECONDS),
        Kind("clock_step", Severity.INFO, remind_seconds=_DAY_SECONDS, quiet_seconds=_DAY_SECONDS),
        Kind("bad_call", remind_seconds=_DAY_SECONDS, quiet_seconds=_DAY_SECONDS),
    )
}
"""Every kind of incident, by its name."""
