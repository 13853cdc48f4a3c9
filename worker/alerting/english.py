"""The alerts' words in English. `worker.alerting.spanish` has the same keys and placeholders."""

from typing import Final

from smsclick.contract import HoldReason
from worker.alerting.english_details import DETAILS
from worker.alerting.wording import Catalogue, KindText

_NOTHING_LOST: Final = "Messages wait and nothing is lost."

CATALOGUE: Final = Catalogue(
    runbook="docs/runbook.md",
    phrases={
        "opened": "{title}",
        "reminder": "still: {title}",
        "reopened": "again: {title}",
        "closed": "over: {title}",
        "comes_and_goes": "It comes and goes. The end is alerted once it has been over for {span}.",
        "meaning": "What it means: {text}",
        "touches": "What it affects: {text}",
        "advice": "What to do: {text}",
        "runbook": "Runbook: {text}",
        "detail": "Detail: {text}",
        "since": "Since {since}.",
        "ended": "Began {since}, ended {ended}.",
        "waiting": "Messages waiting: {count}.",
        "or_more": "{count} or more",
        "footer": "Installation: {installation}. Incident: {kind} ({number}). Severity: {severity}.",
        "critical": "critical",
        "warning": "warning",
        "info": "information",
        "test_title": "test alert",
        "test_body": "`smsclick doctor --alert-test` was run. Nothing is wrong; this channel receives alerts.",
        "database_title": "the database cannot be used",
        "database_over_title": "over: the database cannot be used",
        "database_body": "A worker has not been able to write for {seconds} seconds; nothing is sent and nothing is "
        "lost. See its log and `smsclick doctor`.",
        "database_over_body": "The worker goes on.",
    },
    details=DETAILS,
    kinds={
        HoldReason.NO_BALANCE: KindText(
            "No balance (-104): sending is held",
            "SMSClick refuses messages because the account has no credits left.",
            f"Nothing is sent. {_NOTHING_LOST} Those whose validity ends meanwhile expire.",
            "Buy credits at SMSClick. Sending goes on by itself.",
        ),
        HoldReason.KEY_REFUSED: KindText(
            "The APIKEY is refused: sending is held",
            "SMSClick does not accept the key (-100 or -101): it is wrong, was replaced, or was blocked.",
            f"Nothing is sent, and no status can be asked for. {_NOTHING_LOST}",
            "Check SMSCLICK_API_KEY against SMSClick's panel (HERRAMIENTAS > Componentes/APIS). A key from "
            "SMSCLICK_API_KEY_FILE is read again by itself; after a change of the variable restart the workers.",
        ),
        HoldReason.PROVIDER_DOWN: KindText(
            "SMSClick does not answer: sending is held",
            "Several calls in a row ended without an answer, so no more are made.",
            f"Nothing is sent. {_NOTHING_LOST} The calls without an answer are looked for in SMSClick's report.",
            "See whether this machine reaches SMSClick (`smsclick doctor`), and ask SMSClick. Sending goes on by "
            "itself when it answers again.",
        ),
        "old_unknown": KindText(
            "Attempts of unknown outcome could not be reconciled",
            "SMSClick's report should have shown by now whether these attempts were accepted, and did not.",
            "These messages wait. None of them is sent again until it is certain that it was not accepted.",
            "The detail says why and what to do; `smsclick unknown` says it for each attempt.",
        ),
        "report_lag": KindText(
            "The provider's report shows messages late, or not at all",
            "A message that was accepted for sure is missing in the report for longer than expected.",
            "Until it ends, no attempt counts as absent: those of unknown outcome wait.",
            "The detail says what was seen and what to do.",
        ),
        "restored": KindText(
            "A backup was restored: sending is held until the attempts made since the backup are reconciled",
            "The database is older than what was sent: some messages may have been sent already.",
            "Nothing is sent until they are looked for, and nothing is sent twice.",
            "Sending goes on by itself. `smsclick unknown` lists the attempts still to be reconciled; `smsclick "
            "restored --missing-keys FILE` lists the keys that are gone.",
        ),
        "low_balance": KindText(
            "The balance is low",
            "The account has fewer credits than SMSCLICK_LOW_BALANCE.",
            "Nothing yet: messages are sent while there are credits.",
            "Buy credits at SMSClick before sending stops.",
        ),
        "balance_ends": KindText(
            "The balance will soon be used up",
            "At the rate of the last hour the credits last for less than a day.",
            "Nothing yet: messages are sent while there are credits.",
            "Buy credits at SMSClick, or see whether something sends more than it should (`smsclick stats`).",
        ),
        "credits_differ": KindText(
            "SMSClick charges other credits than expected",
            "The credits in SMSClick's answers are not those that the lengths of the texts predict.",
            "Messages are sent as ever; they cost more or less than planned.",
            "Compare the texts and `credits_used` of some messages (`smsclick export`), and ask SMSClick how it "
            "counts.",
        ),
        "many_rejected": KindText(
            "More messages are rejected than usual",
            "SMSClick accepted these messages, but more of them than usual ended as Rechazado.",
            "Their recipients did not get them. Others are sent as ever.",
            "See which they are (`smsclick export --state rejected`): one phone company, one text, one list? Ask "
            "SMSClick why.",
        ),
        "provider_slow": KindText(
            "SMSClick answers slowly",
            "Half of the calls of the last minutes took longer than a few seconds.",
            "Messages are sent, but later: more of them wait at the same time.",
            "See `smsclick stats`. If the backlog grows, ask SMSClick; more workers help only if calls are waiting "
            "for a free place.",
        ),
        "unlisted_code": KindText(
            "Messages failed: the provider answers with a code that its manual does not list",
            "SMSClick refused these messages eight times in a row with a code that nobody knows.",
            "These messages have failed. Others are sent as ever.",
            "Ask SMSClick what it means; then `smsclick retry ID`.",
        ),
        "undetermined": KindText(
            "Messages have no final status within the tracking window",
            "SMSClick accepted them and never said what became of them.",
            "Nobody knows whether their recipients got them. A later status still corrects them.",
            "See `smsclick export --state undetermined`, and ask SMSClick.",
        ),
        "lost_id": KindText(
            "The provider accepted an attempt whose message already had another result",
            "An answer came after somebody or the report had decided otherwise.",
            "The recipient may have got the message twice.",
            "See `smsclick show ID`.",
        ),
        "odd_row": KindText(
            "Rows of smsclick_messages hold values that no message may have",
            "A program writes messages by SQL and leaves out or breaks something.",
            "A waiting message whose content cannot be read has failed; the others are sent.",
            "Correct that program; `smsclick show ID` names the columns.",
        ),
        "callback_failed": KindText(
            "Callbacks to a producer are not acknowledged",
            "The receiver that the detail names did not answer, or refused the calls.",
            "That producer does not learn what became of its messages. The messages are not affected.",
            "Fix the receiver, or SMSCLICK_WEBHOOK_HOSTS and SMSCLICK_WEBHOOK_SECRET. Callbacks less than three days "
            "old are tried again by themselves.",
        ),
        "no_ticks": KindText(
            "No ticks arrive: beat or the broker is away",
            "For minutes no tick of beat has arrived, or no worker has swept.",
            "Workers look for work by themselves meanwhile, less often. Where nobody has swept, no worker runs.",
            "Start `celery -A worker beat`, and see that workers and beat reach the same broker.",
        ),
        "old_due": KindText(
            "Messages wait for a long time although sending is not held",
            "More messages come than can be sent, or something holds them up.",
            "Messages leave late, and some may expire.",
            "See `smsclick stats` and `smsclick doctor`: too few workers, a slow provider, or a "
            "SMSCLICK_MAX_PER_SECOND that is too low.",
        ),
        "no_records": KindText(
            "Nothing is sent although messages wait",
            "No result of any attempt has been recorded for minutes.",
            f"Nothing is sent. {_NOTHING_LOST}",
            "See `smsclick doctor` and the workers' logs: no worker runs, none makes progress, or the database cannot "
            "be written.",
        ),
        "no_workers": KindText(
            "No worker makes progress",
            "Beat runs, but no worker has shown a sign of progress for minutes.",
            f"Nothing is sent, and no status is asked for. {_NOTHING_LOST}",
            "Start `celery -A worker worker`; if it runs, see its log and `smsclick health --worker`.",
        ),
        "operator_hold": KindText(
            "Sending is held by hand",
            "Somebody ran `smsclick hold`.",
            "Nothing is sent; messages wait, and some may expire.",
            "`smsclick resume` resumes sending.",
        ),
        "many_unknown": KindText(
            "Many attempts end without a readable answer",
            "The network or SMSClick breaks calls off before they are answered.",
            "Each of these messages waits until the report says whether it was accepted.",
            "Ask SMSClick, and check the network and SMSCLICK_READ_TIMEOUT. See `smsclick unknown`.",
        ),
        "many_absent": KindText(
            "Many attempts are absent from the provider's report and are sent again",
            "Either SMSClick loses messages, or its report shows them later than SMSCLICK_SETTLE_SECONDS.",
            "In the second case recipients may get messages twice.",
            "Compare `smsclick show ID` of one of them with SMSClick's panel. If the panel shows it: `smsclick hold`, "
            "raise SMSCLICK_SETTLE_SECONDS, and ask SMSClick how late its report shows a message.",
        ),
        "clock_step": KindText(
            "The database's clock was set",
            "The clock by which all due times are decided has jumped.",
            "Due times, leases and the waits of unknown attempts were moved with it; messages whose validity ended by "
            "the new time have expired.",
            "Let NTP slew the clock of the database's machine instead of setting it (chrony: no `makestep` after the "
            "start).",
        ),
        "bad_call": KindText(
            "A call to the task smsclick.enqueue or smsclick.cancel was refused",
            "A producer calls by name with something that cannot be a message.",
            "That message is not sent. Others are not affected.",
            "Correct the producer; the detail says why. `smsclick deadletters list` shows the call.",
        ),
    },
)
