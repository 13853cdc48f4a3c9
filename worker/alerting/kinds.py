"""Every kind of incident as data: what its alerts say, how often they repeat, when it ends by itself and reopens.

To add a kind: add it to `KINDS`, and to the table in docs/operations.md.
"""

import dataclasses

from smsclick.contract import HoldReason

_HOUR_SECONDS = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of incident.

    Attributes:
        name: as stored in `smsclick_incidents.kind`.
        title: the problem in a few words.
        advice: what an operator can do.
        remind_seconds: the time between two reminders while the incident is open.
        quiet_seconds: the incident ends when the problem has not occurred for this long; None where the code that
            reported it also closes it.
        reopen_seconds: a problem that occurs again within this time after the end reopens the same incident.
    """

    name: str
    title: str
    advice: str
    remind_seconds: int = 4 * _HOUR_SECONDS
    quiet_seconds: int | None = None
    reopen_seconds: int = 1800


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            HoldReason.NO_BALANCE,
            "No balance (-104): sending is held",
            "Buy credits at SMSClick. Messages wait and nothing is lost; sending goes on by itself.",
            remind_seconds=_HOUR_SECONDS,
        ),
        Kind(
            HoldReason.KEY_REFUSED,
            "The APIKEY is refused: sending is held",
            "Check SMSCLICK_API_KEY against SMSClick's panel (HERRAMIENTAS > Componentes/APIS) and restart "
            "the workers. Messages wait and nothing is lost.",
            remind_seconds=_HOUR_SECONDS,
        ),
        Kind(
            HoldReason.PROVIDER_DOWN,
            "SMSClick does not answer: sending is held",
            "Messages wait and nothing is lost; sending goes on by itself when it answers again.",
            remind_seconds=_HOUR_SECONDS,
        ),
        Kind(
            "old_unknown",
            "Attempts of unknown outcome could not be reconciled",
            "The detail says why and what to do; `smsclick unknown` says it for each attempt. A message is not sent "
            "again until it is certain that its attempt was not accepted.",
        ),
        Kind(
            "report_lag",
            "The provider's report shows messages late, or not at all",
            "The detail says what was seen and what to do. Until it ends, no attempt counts as absent.",
        ),
        Kind(
            "restored",
            "A backup was restored: sending is held until the attempts made since the backup are reconciled",
            "Messages wait and nothing is sent twice; sending goes on by itself. `smsclick unknown` lists the "
            "attempts still to be reconciled; `smsclick restored --missing-keys FILE` lists the keys that are gone.",
        ),
        Kind(
            "low_balance",
            "The balance is low",
            "Buy credits at SMSClick before sending stops.",
            remind_seconds=24 * _HOUR_SECONDS,
        ),
        Kind(
            "unlisted_code",
            "Messages failed: the provider answers with a code that its manual does not list",
            "Ask SMSClick what it means; then `smsclick retry ID`.",
            remind_seconds=24 * _HOUR_SECONDS,
            quiet_seconds=24 * _HOUR_SECONDS,
        ),
        Kind(
            "undetermined",
            "Messages have no final status within the tracking window",
            "See `smsclick export --state undetermined`; a later status still corrects them.",
            remind_seconds=24 * _HOUR_SECONDS,
            quiet_seconds=24 * _HOUR_SECONDS,
        ),
        Kind(
            "lost_id",
            "The provider accepted an attempt whose message already had another result",
            "The recipient may have got it twice; see `smsclick show ID`.",
            remind_seconds=24 * _HOUR_SECONDS,
            quiet_seconds=24 * _HOUR_SECONDS,
        ),
        Kind(
            "odd_row",
            "Rows of smsclick_messages hold values that no message may have",
            "Correct the program that writes them by SQL; `smsclick show ID` names the columns. A waiting message "
            "whose content cannot be read has failed; the others are sent.",
            remind_seconds=24 * _HOUR_SECONDS,
            quiet_seconds=24 * _HOUR_SECONDS,
        ),
        Kind(
            "callback_failed",
            "Callbacks to a producer are not acknowledged",
            "Fix the receiver that the detail names, or SMSCLICK_WEBHOOK_HOSTS and SMSCLICK_WEBHOOK_SECRET. Callbacks "
            "less than three days old are tried again by themselves; the messages are not affected.",
            remind_seconds=24 * _HOUR_SECONDS,
            quiet_seconds=48 * _HOUR_SECONDS,
            reopen_seconds=24 * _HOUR_SECONDS,
        ),
        Kind(
            "no_ticks",
            "No ticks arrive: beat or the broker is away",
            "Start `celery -A worker beat`, and see that workers and beat reach the same broker. Messages are sent "
            "meanwhile; statuses, holds and unknown attempts wait.",
        ),
        Kind(
            "old_due",
            "Messages wait for a long time although sending is not held",
            "See `smsclick stats` and `smsclick doctor`: too few workers, a slow provider, or a "
            "SMSCLICK_MAX_PER_SECOND that is too low.",
        ),
        Kind(
            "no_records",
            "Nothing is sent although messages wait",
            "See `smsclick doctor` and the workers' logs: no worker runs, none makes progress, or the database cannot "
            "be written.",
            remind_seconds=_HOUR_SECONDS,
        ),
        Kind(
            "operator_hold",
            "Sending is held by hand",
            "`smsclick resume` resumes sending; until then messages wait, and some may expire.",
            reopen_seconds=0,
        ),
        Kind(
            "many_unknown",
            "Many attempts end without a readable answer",
            "Ask SMSClick, and check the network and SMSCLICK_READ_TIMEOUT. Each of them waits for the "
            "report: see `smsclick unknown`.",
        ),
        Kind(
            "many_absent",
            "Many attempts are absent from the provider's report and are sent again",
            "Compare `smsclick show ID` of one of them with SMSClick's panel. If the panel shows it: `smsclick hold`, "
            "raise SMSCLICK_SETTLE_SECONDS, and ask SMSClick how late its report shows a message.",
            remind_seconds=_HOUR_SECONDS,
        ),
        Kind(
            "clock_step",
            "The database's clock was set",
            "Let NTP slew the clock of the database's machine instead of setting it (chrony: no `makestep` after the "
            "start). Due times, leases and the waits of unknown attempts were moved with it; messages whose validity "
            "ended by the new time have expired.",
            remind_seconds=24 * _HOUR_SECONDS,
            quiet_seconds=24 * _HOUR_SECONDS,
        ),
        Kind(
            "bad_call",
            "A call to the task smsclick.enqueue or smsclick.cancel was refused",
            "Correct the producer; the detail says why. `smsclick deadletters list` shows the call.",
            remind_seconds=24 * _HOUR_SECONDS,
            quiet_seconds=24 * _HOUR_SECONDS,
        ),
    )
}
"""Every kind of incident, by its name."""
