"""The sentences in English.

`{when}` is a time relative and absolute, a name of `Remedy` is what a person can do; other names in braces are data of
the case.
"""

from typing import Final

from worker.alerting.doubt_reasons import BY_HAND, ENGLISH
from worker.operator.waiting.codes import Code, Remedy

SENTENCES: Final = {
    Code.SEND_AT: "It waits for its own time and is sent {when}.",
    Code.QUIET_HOURS: "It waits for the end of the quiet hours of its recipient, {when}: its priority is low.",
    Code.RETRY: "It was not accepted and waits for its next try, {when}{refused}.",
    Code.HOLD_OPERATOR: "It waits because sending is held by an operator{person}; {resume}.",
    Code.HOLD_NO_BALANCE: "It waits because sending is held: no balance (-104). The balance is asked for again {when}.",
    Code.HOLD_KEY_REFUSED: "It waits because sending is held: the APIKEY is refused. The key is tried again {when}.",
    Code.HOLD_PROVIDER_DOWN: (
        "It waits because sending is held: the provider does not answer. The provider is asked again {when}."
    ),
    Code.HOLD_RESTORED: (
        "It waits because sending is held: a backup was restored, and what could have been sent since is reconciled."
    ),
    Code.HOLD_RESTORE_UNFINISHED: (
        "It waits because sending is held: a backup was restored and smsclick restored did not finish. Run it again."
    ),
    Code.CANARY: (
        "It is the one message that is tried while sending is held; its answer decides whether the others go. "
        "The answer is waited for until {when}."
    ),
    Code.CANARY_ELSEWHERE: "Message {id} is being tried: if it is accepted, sending goes on. It has until {when}.",
    Code.DUPLICATE: (
        "It waits for message {id}, which is in flight: another message with its phone and text, and a report could "
        "not tell them apart. It goes when that one ends."
    ),
    Code.OPTED_OUT: "Its phone is on the list of opt-outs: it fails as soon as a worker takes it, and no SMS leaves.",
    Code.NO_WORKER: "No worker makes progress, so nothing is sent. Start a worker (celery -A worker worker).",
    Code.NO_SWEEP: "No sweep runs, so nobody looks at it. Start beat and a worker (smsclick health says more).",
    Code.RATE_LIMIT: (
        "It waits for its place under the limit of {per_second} a second: {ahead} ahead of it, so about {when}."
    ),
    Code.NEXT: "It is sent as soon as a worker is free: it is the next in line.",
    Code.IN_LINE: "It is sent as soon as a worker is free: {ahead} ahead of it.",
    Code.VALIDITY_OVER: "Its validity ended {when}: the next sweep makes it expired, and it is not sent.",
    Code.VALIDITY_ENDS: "If it is not sent by then, it expires {when}.",
    Code.SENDING: (
        "It is being sent: a request may be in flight. Without a result the message becomes unknown {when} at the "
        "latest."
    ),
    Code.LEASE_OVER: (
        "Its worker gave no result in time, so nobody knows whether a request left: the next sweep makes it unknown."
    ),
    Code.UNKNOWN: (
        "What became of its attempt is not known. The provider's report is read for it {when}; it is not sent again "
        "while it could have been accepted{reason}."
    ),
    Code.UNKNOWN_PERSON: ("What became of its attempt is not known, and {decide}{reason}."),
    Code.SENT: "The provider accepted it and it waits for its final status: next status check {when}.",
    Code.REPLY: "It was delivered. For a reply its status is checked again {when}.",
    Code.LATE_STATUS: "It has no final status within the tracking window; a late one is looked for {when}.",
    Code.DELIVERED: "It was delivered {when}: this is final, and nothing more happens.",
    Code.REJECTED: "The provider rejected it {when}: this is final, and nothing more happens.",
    Code.FAILED: "It failed {when}{refused}: nothing more happens unless an operator retries it ({retry}).",
    Code.FAILED_OPTED_OUT: (
        "It was not sent, because its phone is on the list of opt-outs ({when}): nothing more happens unless an "
        "operator takes the phone off the list and retries it ({retry})."
    ),
    Code.EXPIRED: "Its validity ended before it could be sent ({when}): this is final, and nothing more happens.",
    Code.CANCELLED: "It was cancelled {when} before it was sent: this is final, and nothing more happens.",
    Code.UNDETERMINED: (
        "It has no final status, and its status was checked until long after the tracking window: nothing more happens."
    ),
    Code.ERASED: "Its phone and text were erased {when}.",
    Code.CALLBACK_PENDING: (
        "{receiver} has not acknowledged {type} yet: next call {when}, after {tries} that failed or never ended."
    ),
    Code.CALLBACK_GIVEN_UP: (
        "The callback {type} to {receiver} was given up {when} after {tries} calls; {call_again}."
    ),
    Code.ODD: "The row is odd: {why}",
}

WHY: Final = {doubt: each.format(by_hand="{decide_by_hand}") for doubt, each in ENGLISH.items()}

REMEDIES: Final = {
    Remedy.RESUME: "smsclick resume lifts this",
    Remedy.RETRY: "smsclick retry",
    Remedy.DECIDE: "only a person can decide: smsclick settle",
    Remedy.DECIDE_BY_HAND: BY_HAND,
    Remedy.CALL_AGAIN: "smsclick callbacks replay calls once more",
}
"""What a person can do, by the commands of a terminal."""

PHRASES: Final = {
    "in": "in {span} ({time})",
    "ago": "{span} ago ({time})",
    "now": "now",
    "unknown_time": "at a time that is not known",
    "person": " ({by})",
    "refused": " (last answer: {answer})",
    "reason": ". The reason: {reason}",
}
