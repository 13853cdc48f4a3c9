"""The sentences of incidents' details in English: one for each `DetailCode`, each doubt and each code that holds."""

from collections.abc import Mapping
from typing import Final

from smsclick.provider.codes import CODES, Action
from worker.alerting.doubt_reasons import BY_HAND, ENGLISH
from worker.alerting.wording import DetailCode

HOLDING: Final = {Action.HOLD_KEY, Action.HOLD_NO_BALANCE}
"""What a code makes of the account."""

DETAILS: Final[Mapping[str, str]] = {
    DetailCode.HOLD: "{code}: {meaning}",
    DetailCode.NO_ANSWERS: "{count} calls in a row without an answer",
    DetailCode.BALANCE: "{left} credits, the limit is {limit}",
    DetailCode.BALANCE_LASTS: "{left} credits last for {span} at {rate} credits an hour",
    DetailCode.CREDITS: "{charged} credits charged in the last hour where {predicted} were expected",
    DetailCode.REJECTED: "{share} of the final messages of the last hour, usually {usual}",
    DetailCode.SLOW: "half of the calls of the last minutes took longer than {seconds} s",
    DetailCode.ATTEMPTS: "{count} of the last {ended} attempts",
    DetailCode.NO_SWEEP: "never",
    DetailCode.SWEPT: "the last one {span} ago",
    DetailCode.NO_TICK: "no tick of beat has ever arrived",
    DetailCode.TICKED: "no tick of beat for {span}",
    DetailCode.OLDEST: "the oldest for {span}",
    DetailCode.RECORDED: "the last result {span} ago",
    DetailCode.LASTS: "for {span}",
    DetailCode.NO_WORKER: "no worker has ever run",
    DetailCode.NO_WORKER_FOR: "no worker for {span}",
    DetailCode.FIRST: "first: message {id}",
    DetailCode.FIRST_COLUMNS: "first: message {id}, columns {columns}",
    DetailCode.UNLISTED: "codigo {code}",
    DetailCode.MESSAGES: "messages {ids}",
    DetailCode.ACCEPTED: "message {id}, id_mensaje {id_mensaje}",
    DetailCode.DELETED: "deleted messages and their id_mensaje: {pairs}",
    DetailCode.CLOCK_FORWARD: "set forward by about {seconds} s",
    DetailCode.CLOCK_BACK: "set back by about {seconds} s",
    DetailCode.RESTORED: "since {since} UTC",
    DetailCode.RESTORE_FOUND: "run: smsclick restored --since {since} (message {id} waits, and was sent)",
    DetailCode.OLD_UNKNOWN_ONE: "1 attempt (message {ids}): {why}",
    DetailCode.OLD_UNKNOWN: "{count} attempts (message {ids}): {why}",
    DetailCode.OLD_UNKNOWN_MIXED: "attempts: {count} (message {ids}): {why}; for other reasons: {others}",
    DetailCode.LAG: "message of {seconds} s ago is not shown, where the window is {window} s: {why}",
    DetailCode.LAG_AHEAD: (
        "the provider's dates are {seconds} s ahead of ours; check SMSCLICK_TIMEZONE and the zone files of "
        "this machine (smsclick doctor)"
    ),
    DetailCode.LAG_BEHIND: (
        "the provider's dates are {seconds} s behind ours; check SMSCLICK_TIMEZONE and the zone files of this"
        " machine (smsclick doctor)"
    ),
    DetailCode.LAG_LACKS: (
        "the report has others of the same time and lacks this one; compare `smsclick report FROM TO` with "
        "SMSClick's panel and ask them"
    ),
    DetailCode.LAG_NOTHING: (
        "the report shows nothing of that time yet; if it comes late, set SMSCLICK_SETTLE_SECONDS well above "
        "the lag that `smsclick stats` shows"
    ),
    DetailCode.BAD_CALL: "{why} (task {task})",
    DetailCode.BAD_TASK: "{why}",
    DetailCode.REFUSED: "refused ({refusal}); `smsclick deadletters list` says why",
    DetailCode.NOT_STORED: "the database cannot hold it ({error})",
    DetailCode.DEFECT: "a defect of this program ({error}); its log has more",
    DetailCode.NO_TASK_MESSAGE: "it is no task message",
    DetailCode.UNKNOWN_TASK: "it calls an unknown task",
    DetailCode.NOT_PARSED: "it cannot be parsed ({error})",
    DetailCode.NOT_DECODED: "it cannot be decoded ({error})",
    DetailCode.RECEIVER: "{receiver}: {why}; first: message {id}",
    DetailCode.CALL_STATUS: "HTTP {status}",
    DetailCode.CALL_REDIRECTED: "HTTP {status}: redirects are not followed",
    DetailCode.CALL_GONE: "410 Gone: the receiver wants no more",
    DetailCode.CALL_NO_ANSWER: "no answer in time",
    DetailCode.CALL_CERTIFICATE: "the certificate was not accepted",
    DetailCode.CALL_TLS: "TLS failed",
    DetailCode.CALL_BROKE: "the connection broke",
    DetailCode.CALL_NOT_MADE: "no connection could be made",
    DetailCode.CALL_LATE: "no connection in time",
    DetailCode.CALL_NO_HTTP: "the answer is not HTTP",
    DetailCode.CALL_NO_HOST: "the host's name was not resolved",
    DetailCode.CALL_UNSIGNED: "SMSCLICK_WEBHOOK_SECRET is not set, and webhooks are signed",
    DetailCode.CALL_NO_BROKER: "a Celery task can only be called through a broker: set CELERY_BROKER_URL",
    DetailCode.CALL_NO_QUEUE: "the broker has no such queue; start the app that consumes it",
    DetailCode.CALL_NOT_PUBLISHED: "the broker did not accept it ({error})",
    DetailCode.CALL_NO_TARGET: "its address cannot be used ({refusal}); `smsclick callbacks list` says why",
    DetailCode.CALL_NOT_HTTPS: (
        "refused: the address is not https; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true allows http "
        "(name the hosts in SMSCLICK_WEBHOOK_HOSTS)"
    ),
    DetailCode.CALL_NOT_NAMED: "refused: the host is not among SMSCLICK_WEBHOOK_HOSTS; add it there",
    DetailCode.CALL_PRIVATE: (
        "refused: the host's address is private or reserved; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true allows it "
        "(name the hosts in SMSCLICK_WEBHOOK_HOSTS)"
    ),
    DetailCode.CALL_DEFECT: "a defect of the worker; its log says more",
    **{f"doubt.{doubt}": why.format(by_hand=BY_HAND) for doubt, why in ENGLISH.items()},
    **{f"codigo.{code.code}": code.meaning for code in CODES if code.action in HOLDING},
}
