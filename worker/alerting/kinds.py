"""Every kind of incident as data: what an alert says about it, and when it repeats, ends and reopens."""

import dataclasses

from smsclick.contract import HoldReason

_HOUR = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What is said about a kind of incident.

    Attributes:
        title: the news in a few words.
        advice: what to do.
        remind_seconds: how often it is said again while it lasts.
        quiet_seconds: where no single event ends it, how long nothing more must happen; None: something ends it.
        reopen_seconds: what comes back within this time after its end is the same incident.
    """

    name: str
    title: str
    advice: str
    remind_seconds: int = 4 * _HOUR
    quiet_seconds: int | None = None
    reopen_seconds: int = 1800


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            HoldReason.NO_BALANCE,
            "No balance (-104): sending is held",
            "Buy credits at SMSClick. Messages wait and nothing is lost; sending goes on by itself.",
            remind_seconds=_HOUR,
        ),
        Kind(
            HoldReason.KEY_REFUSED,
            "The APIKEY is refused: sending is held",
            "Check SMSCLICK_API_KEY against SMSClick's panel (HERRAMIENTAS > Componentes/APIS) and restart "
            "the workers. Messages wait and nothing is lost.",
            remind_seconds=_HOUR,
        ),
        Kind(
            HoldReason.PROVIDER_DOWN,
            "SMSClick does not answer: sending is held",
            "Messages wait and nothing is lost; sending goes on by itself when it answers again.",
            remind_seconds=_HOUR,
        ),
        Kind(
            "old_unknown",
            "Attempts of unknown outcome cannot be settled",
            "The detail says why, and what to do; `smsclick unknown` says it for each. They are not sent again until "
            "it is known that they were not accepted.",
        ),
        Kind(
            "report_lag",
            "The provider's report shows messages late, or not at all",
            "The detail says what was seen and what to do. Until it ends no attempt is taken for absent.",
        ),
        Kind(
            "restored",
            "A backup was restored: sending is held until what could have been sent since has been looked for",
            "Messages wait and nothing is sent twice; sending goes on by itself. `smsclick unknown` lists what the "
            "provider's report has not decided yet; `smsclick restored --missing-keys FILE` tells which keys are gone.",
        ),
        Kind(
            "low_balance",
            "The balance is low",
            "Buy credits at SMSClick before sending stops.",
            remind_seconds=24 * _HOUR,
        ),
        Kind(
            "unlisted_code",
            "Messages failed: the provider answers with a code that its manual does not list",
            "Ask SMSClick what it means; then `smsclick retry ID`.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "undetermined",
            "Messages have no final status within the tracking window",
            "See `smsclick export --state undetermined`; a later status still corrects them.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "lost_id",
            "The provider accepted an attempt whose message was settled otherwise",
            "The recipient may have got it twice; see `smsclick show ID`.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "odd_row",
            "Rows of smsclick_messages hold what no message may hold",
            "Correct the program that writes them by SQL; `smsclick show ID` names the columns. What waited with "
            "content that cannot be read has failed, the others go on.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "callback_failed",
            "A producer cannot be told what became of its messages",
            "Mend the receiver that the detail names, or SMSCLICK_WEBHOOK_HOSTS and SMSCLICK_WEBHOOK_SECRET. What is "
            "less than three days old is tried again by itself; the messages themselves are not affected.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=48 * _HOUR,
            reopen_seconds=24 * _HOUR,
        ),
        Kind(
            "no_ticks",
            "No ticks arrive: beat or the broker is away",
            "Start `celery -A worker beat`, and see that workers and beat reach the same broker. Messages are sent "
            "meanwhile; statuses, holds and unknown attempts wait.",
        ),
        Kind(
            "old_due",
            "Messages wait for long although sending is not held",
            "See `smsclick stats` and `smsclick doctor`: too few workers, a provider that is slow, or "
            "SMSCLICK_MAX_PER_SECOND is too low for what is sent.",
        ),
        Kind(
            "no_records",
            "Nothing is sent although messages wait",
            "See `smsclick doctor` and the workers' logs: no worker runs, none of them progresses, or the database "
            "cannot be written.",
            remind_seconds=_HOUR,
        ),
        Kind(
            "operator_hold",
            "Sending is held by hand",
            "`smsclick resume` lets messages go again; until then they wait, and some may expire.",
            reopen_seconds=0,
        ),
        Kind(
            "many_unknown",
            "Many attempts end without an answer that can be read",
            "Ask SMSClick, and check the network and SMSCLICK_READ_TIMEOUT. Each of them waits for the report: see "
            "`smsclick unknown`.",
        ),
        Kind(
            "many_absent",
            "Many attempts are absent from the provider's report and are sent again",
            "Compare `smsclick show ID` of one of them with SMSClick's panel. If the panel has it: `smsclick hold`, "
            "raise SMSCLICK_SETTLE_SECONDS, and ask SMSClick how late its report shows a message.",
            remind_seconds=_HOUR,
        ),
        Kind(
            "clock_step",
            "The database's clock was set",
            "Let NTP slew the clock of the database's machine instead of setting it (chrony: no `makestep` after the "
            "start). Due times, leases and the waits of unknown attempts were moved with it; messages whose validity "
            "ended by the new time have expired.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "bad_call",
            "A call to the task smsclick.enqueue or smsclick.cancel was refused",
            "Correct the producer; the reason stands in the detail.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
    )
}
"""Every kind of incident, as data."""
