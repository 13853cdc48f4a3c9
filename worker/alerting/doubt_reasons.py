"""What each `Doubt` says to an operator: why an attempt stays `unknown`, and what to do. Data, and a lookup."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from worker.lifecycle import on_report
from worker.lifecycle.doubt import Doubt


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """Why an attempt stays `unknown`, and what to do; each one line without a full stop.

    Attributes:
        why: the reason.
        advice: what to do; `{by_hand}` stands where a person may decide by hand.
    """

    why: str
    advice: str

    @property
    def todo(self) -> str:
        """What to do, by the commands of a terminal."""
        return self.advice.format(by_hand=BY_HAND)


BY_HAND = "decide each by hand: smsclick settle ID --accepted ID_MENSAJE or --not-accepted"
REASONS = {
    Doubt.TOO_YOUNG: Reason(
        "it is younger than SMSCLICK_SETTLE_SECONDS, within which the report may still show it",
        "wait",
    ),
    Doubt.NO_REPORT: Reason(
        "the provider's report fails or cannot be read",
        "try `smsclick report FROM TO` for the time of the attempt and ask SMSClick; it is read again by itself",
    ),
    Doubt.NO_CONTROLS: Reason(
        "no control rows: too few messages of known id were accepted before and after it to test the report with",
        "wait for further messages to be sent, or {by_hand}",
    ),
    Doubt.NOT_YET: Reason(
        "messages that were accepted after it are not in the report yet",
        "wait: it is read again by itself",
    ),
    Doubt.MISSING: Reason(
        "the report lacks messages that were accepted for sure (it may be capped)",
        "compare `smsclick report FROM TO` with SMSClick's panel and ask them; {by_hand}",
    ),
    Doubt.CAPPED: Reason(
        "the end of the report may be cut off: no control row stands behind so many rows",
        "wait for further messages to be sent, or {by_hand}",
    ),
    Doubt.PHONES: Reason(
        "phones are masked or changed in the report, so no row can be recognised",
        "ask SMSClick for whole phones in reports; {by_hand}",
    ),
    Doubt.TEXTS: Reason(
        "texts have another form in the report, and not the same words around each",
        "compare `smsclick report FROM TO` with what was sent and ask SMSClick; {by_hand}",
    ),
    Doubt.DATES: Reason(
        "dates are shifted in the report",
        "check SMSCLICK_TIMEZONE and the zone files of this machine (smsclick doctor), then restart the workers",
    ),
    Doubt.ODD: Reason(
        "the report has rows that cannot be read, of the same phone or of none, and each could be it",
        "look at them with `smsclick report FROM TO`; {by_hand}",
    ),
    Doubt.LAG: Reason(
        "the incident report_lag is open: the report shows messages late, or not at all",
        "see that incident; the report is read again by itself",
    ),
    Doubt.CLOCK: Reason(
        "no process watched the database's clock all the time since the attempt, so its age is not known",
        "wait: SMSCLICK_SETTLE_SECONDS after the workers' start it is judged",
    ),
    Doubt.ACCOUNT: Reason(
        "the APIKEY has changed since it was sent, and the report does not prove that the account is the same",
        "restore the old key until they are reconciled, or {by_hand}",
    ),
    Doubt.SIMILAR: Reason(
        "the report has a row of equal phone and text that could be it, but not for sure",
        "look at it with `smsclick report FROM TO`; {by_hand}",
    ),
    Doubt.REPEATED_HOUR: Reason(
        "the provider's clock shows this hour twice (end of summer time), so a date may mean two times",
        "wait: the report is read again when the hour is over",
    ),
    Doubt.TOO_LONG: Reason(
        "it is so old that the report from then to now is too long to be read at once",
        "{by_hand}",
    ),
    Doubt.TWICE: Reason(
        f"the report did not have it {on_report.MOST_ABSENCES} times already: a person decides",
        "ask SMSClick why its report lacks attempts of this message; {by_hand}",
    ),
    Doubt.WITHOUT_ID: Reason(
        "the provider said that it accepted it, but gave no id that could be kept",
        "find it in SMSClick's panel; {by_hand}",
    ),
}

ENGLISH: Final[Mapping[Doubt, str]] = {doubt: f"{each.why}; {each.advice}" for doubt, each in REASONS.items()}
"""Reason and advice in one sentence; `{by_hand}` as in `Reason.advice`."""


def reason(code: str | None) -> Reason | None:
    """Return the reason of a code as the table stores it; None for no code, or one of a newer version."""
    return REASONS[Doubt(code)] if code in set(Doubt) else None
