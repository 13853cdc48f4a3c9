"""The causes of events: the fixed list of codes that `smsclick_events.cause` holds, and what people read instead."""

import enum


class Cause(enum.StrEnum):
    """Why a message changed."""

    CLAIMED = "claimed"
    QUIET_HOURS = "quiet_hours"
    RELEASED = "released"
    ANSWERED = "answered"
    LATE_ANSWER = "late_answer"
    LEASE_ENDED = "lease_ended"
    FOUND_IN_REPORT = "found_in_report"
    ABSENT_FROM_REPORT = "absent_from_report"
    INVALID = "invalid"
    OPTED_OUT = "opted_out"
    VALIDITY_ENDED = "validity_ended"
    STATUS_CHECKED = "status_checked"
    REPLIED = "replied"
    TRACKING_ENDED = "tracking_ended"
    RESTORED = "restored"
    OPERATOR = "operator"
    WITHDRAWN = "withdrawn"


PHRASES: dict[Cause, str] = {
    Cause.CLAIMED: "claimed by a worker",
    Cause.QUIET_HOURS: "waits for the end of the quiet hours",
    Cause.RELEASED: "released before the request left",
    Cause.ANSWERED: "the call ended",
    Cause.LATE_ANSWER: "answered after its claim was lost",
    Cause.LEASE_ENDED: "the worker was lost",
    Cause.FOUND_IN_REPORT: "found in the report",
    Cause.ABSENT_FROM_REPORT: "absent from the report",
    Cause.INVALID: "cannot be sent",
    Cause.OPTED_OUT: "the recipient opted out",
    Cause.VALIDITY_ENDED: "its validity ended",
    Cause.STATUS_CHECKED: "the provider gave a final status",
    Cause.REPLIED: "the recipient replied",
    Cause.TRACKING_ENDED: "no final status in time",
    Cause.RESTORED: "a backup was restored",
    Cause.OPERATOR: "an operator's command",
    Cause.WITHDRAWN: "withdrawn by its producer",
}
"""What `smsclick show` and Django's admin print for each cause.

That of `OPTED_OUT` is also the message's `last_error`, and what earlier releases stored as the description of such an
event, whose cause was `INVALID`: see `cause_of`.
"""

SENTENCES: dict[Cause, str] = {
    Cause.QUIET_HOURS: "waits for the end of the quiet hours",
    Cause.RELEASED: "released before the request left",
    Cause.LATE_ANSWER: "answered after its claim was lost",
    Cause.LEASE_ENDED: "worker lost",
    Cause.FOUND_IN_REPORT: "found in the report",
    Cause.ABSENT_FROM_REPORT: "absent from the report",
    Cause.INVALID: "cannot be sent",
    Cause.VALIDITY_ENDED: "validity ended",
    Cause.STATUS_CHECKED: "status asked",
    Cause.REPLIED: "the recipient replied",
    Cause.TRACKING_ENDED: "no final status in time",
    Cause.RESTORED: "a backup was restored",
    Cause.WITHDRAWN: "withdrawn by its producer",
}
"""What programs of release 0.1 store instead of the code, for the causes that are stored differently.

Migration 0015 rewrites these sentences. Readers still accept them, because programs of release 0.1 may run beside the
upgraded database for a while: they write sentences after the migration has ended.
"""

_CAUSES: dict[str, Cause] = {str(cause): cause for cause in Cause} | {text: cause for cause, text in SENTENCES.items()}


def cause_of(stored: str, description: str | None = None) -> Cause | None:
    """The cause of an event.

    Args:
        stored: the column `cause`: a code, or a sentence of release 0.1.
        description: the column `description`, by which an opt-out of an earlier release differs from other refusals.

    Returns:
        None for anything else, which only plain SQL can store.
    """
    cause = _CAUSES.get(stored)
    if cause is Cause.INVALID and description == PHRASES[Cause.OPTED_OUT]:
        return Cause.OPTED_OUT
    return cause


def stored_as(*causes: Cause) -> list[str]:
    """Every form in which the database may hold these causes, for a condition of a query."""
    return [form for cause in causes for form in (str(cause), SENTENCES.get(cause)) if form is not None]


def phrase(stored: str, description: str | None = None) -> str:
    """What a person reads for the column `cause`; text that is no cause is returned unchanged. Arguments as above."""
    cause = cause_of(stored, description)
    return stored if cause is None else PHRASES[cause]
