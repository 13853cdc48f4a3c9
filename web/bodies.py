"""What comes in and goes out, as JSON: the models behind the OpenAPI description."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from smsclick.contract import State
from worker.operator.waiting.codes import Code

MOST_MESSAGES: Final = 1000
"""Messages of one request."""

LARGEST_ID: Final = 2**63 - 1
_LARGEST_PHONE_NUMBER: Final = 10**15

Word = Annotated[str, Field(max_length=200)]
Time = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]


class OneMessage(BaseModel):
    """One message: the columns of a record, by their English or Spanish names."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "allOf": [
                {"oneOf": [{"required": ["phone"]}, {"required": ["telefono"]}]},
                {"oneOf": [{"required": ["text"]}, {"required": ["mensaje"]}]},
                {"not": {"required": ["key", "clave"]}},
                {"not": {"required": ["expires_at", "ttl"]}},
            ],
            "examples": [{"phone": "55 5140 2211", "text": "Tu pedido va en camino", "key": "order-1234:shipped"}],
        },
    )

    phone: Annotated[str, Field(max_length=40)] | Annotated[int, Field(ge=0, lt=_LARGEST_PHONE_NUMBER)] = Field(
        default="", description="A Mexican number in any usual form."
    )
    telefono: Annotated[str, Field(max_length=40)] | Annotated[int, Field(ge=0, lt=_LARGEST_PHONE_NUMBER)] = Field(
        default="", description="The same as `phone`."
    )
    text: str = Field(default="", max_length=10_000, description="What to send.")
    mensaje: str = Field(default="", max_length=10_000, description="The same as `text`.")
    key: Word | None = Field(default=None, description="Idempotency key: the same key is the same message, forever.")
    clave: Word | None = Field(default=None, description="The same as `key`.")
    send_at: Annotated[str, Field(max_length=40)] | None = Field(
        default=None, description="Not before; ISO 8601 with a zone."
    )
    expires_at: Annotated[str, Field(max_length=40)] | None = Field(
        default=None, description="Not after; ISO 8601 with a zone."
    )
    ttl: Annotated[float, Field(gt=0, le=315_360_000)] | None = Field(
        default=None, description="Not later than so many seconds after `send_at` or now; instead of `expires_at`."
    )
    priority: Literal["high", "normal", "low"] | None = Field(default=None, description="Who goes first.")
    rule_id: Annotated[str, Field(max_length=40)] | Annotated[int, Field(ge=0, le=LARGEST_ID)] | None = Field(
        default=None, description="ID_REGLA_INTERACTIVA, if you expect a reply."
    )
    if_absent: Literal["resend", "fail"] | None = Field(
        default=None, description="What to do if the provider certainly did not accept an attempt."
    )
    callback: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="Who is called with its states: `celery:task@queue` or `https://…`."
    )
    reference: Word | None = Field(default=None, description="Your own words, returned with the record.")


class ManyMessages(BaseModel):
    """Up to 1,000 messages. Each is stored or refused by itself."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    messages: list[Any] = Field(min_length=1, max_length=MOST_MESSAGES)


class ManyMessagesDescribed(BaseModel):
    """Up to 1,000 messages. Each is stored or refused by itself: the answer has one result or one problem for each."""

    # Anything may stand in the list: what is no message is refused by itself, and the others are stored.
    messages: list[OneMessage | Any] = Field(min_length=1, max_length=MOST_MESSAGES)


class Stored(BaseModel):
    """A message that is committed."""

    id: int
    key: str
    state: State
    new: bool = Field(description="False if the same key came before with the same phone and text.")


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


class Event(BaseModel):
    """A change of a message's state."""

    at: str
    from_state: str
    to_state: str
    cause: str
    attempt: int
    code: int | None
    description: str | None
    id_mensaje: int | None


class Record(BaseModel):
    """A message. Times are ISO 8601 in UTC; an unreadable value of an odd row is a word in parentheses."""

    model_config = ConfigDict(extra="allow")

    id: int
    key: str
    phone: str
    text: str
    state: str
    id_mensaje: int | str | None
    estatus_mensaje: int | str | None
    attempts: int | str
    credits_used: int | str | None
    last_code: int | str | None
    last_error: str | None
    created_at: str
    sent_at: str | None
    final_at: str | None
    reply: str | None
    replied_at: str | None
    reference: str | None


class WaitingShown(BaseModel):
    """One thing that a message waits for, or that is true of it now."""

    code: Code
    until: str | None = Field(description="Until when, or when it is looked at next; null where it is not known.")


class RecordWithHistory(Record):
    """A message with its history."""

    next: str = Field(description="What it waits for and until when, in words.")
    waiting: list[WaitingShown] = Field(description="The same for programs, in the order of the words.")
    events: list[Event]


class RecordPage(BaseModel):
    """A part of a list, the newest message first."""

    messages: list[Record]
    cursor: str | None = Field(description="Give it as `cursor` for the next page, which can be empty; null: the end.")


class Changed(BaseModel):
    """A message after an operator's act."""

    id: int
    state: State


class IncidentShown(BaseModel):
    """An open incident."""

    kind: str
    subject: str
    title: str
    advice: str
    opened_at: str
    occurrences: int
    detail: str


class HoldShown(BaseModel):
    """Why nothing is sent."""

    reasons: list[str]
    since: str | None
    by_operator: bool


class Account(BaseModel):
    """Whether messages are sent, and what an operator should know."""

    at: str
    states: dict[str, int]
    estimated: list[str] = Field(description="States whose count is an estimate, because there are very many.")
    oldest_due_seconds: float | None
    hold: HoldShown | None
    balance: int | None
    balance_at: str | None
    incidents: list[IncidentShown]


class HoldAnswer(BaseModel):
    """Whether sending is held after the act, and why."""

    held: bool
    changed: bool = Field(description="False if it was so before.")
    reasons: list[str]


class Alive(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"]


class ListQuery(BaseModel):
    """The filters of a list of messages."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    phone: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    state: list[State] = Field(default=[], max_length=len(State), description="One state, or several.")
    reference: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    since: Time | None = Field(default=None, description="Stored at this time or later; ISO 8601 with a zone.")
    until: Time | None = Field(default=None, description="Stored at this time or earlier; ISO 8601 with a zone.")
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Annotated[str, Field(pattern="^[1-9][0-9]{0,18}$")] | None = Field(
        default=None, description="Of the page before."
    )
