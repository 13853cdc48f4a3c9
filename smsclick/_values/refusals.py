"""Why an input is refused, as a code with values; and the English sentence for each code.

Every check of a message or a file gives one of these codes. Commands, logs and the API print the English sentence,
which is made here. The page has its own sentences for the same codes, so it never reads an English one.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class RefusalCode(enum.StrEnum):
    """What is wrong with an input. The letters before the first underscore say with which part of it."""

    PHONE_EMPTY = "phone_empty"
    PHONE_TYPE = "phone_type"
    PHONE_NO_NUMBER = "phone_no_number"
    PHONE_AMOUNT = "phone_amount"
    PHONE_NOT_MEXICAN = "phone_not_mexican"
    PHONE_AMBIGUOUS = "phone_ambiguous"
    PHONE_TOLL_FREE = "phone_toll_free"
    PHONE_NOT_IN_USE = "phone_not_in_use"

    TEXT_TYPE = "text_type"
    TEXT_EMPTY = "text_empty"
    TEXT_INVISIBLE = "text_invisible"
    TEXT_TOO_LONG = "text_too_long"
    TEXT_CHARACTER = "text_character"

    TIME_FORM = "time_form"
    TIME_NO_ZONE = "time_no_zone"
    TIME_CALENDAR = "time_calendar"
    TIME_PAST = "time_past"
    TIME_EXPIRES_TOO_EARLY = "time_expires_too_early"
    TTL_WITH_EXPIRES_AT = "ttl_with_expires_at"
    TTL_FORM = "ttl_form"
    TTL_CALENDAR = "ttl_calendar"
    TTL_NOT_POSITIVE = "ttl_not_positive"

    FIELD_TYPE = "field_type"
    FIELD_TOO_LONG = "field_too_long"
    FIELD_CHARACTER = "field_character"
    FIELD_CHOICE = "field_choice"
    FIELD_UNKNOWN = "field_unknown"
    FIELD_UNKNOWN_HIDDEN = "field_unknown_hidden"
    FIELDS_MISSING = "fields_missing"

    KEY_EMPTY = "key_empty"
    KEY_IN_USE = "key_in_use"
    KEY_TWICE = "key_twice"

    CALLBACK_SCHEME = "callback_scheme"
    CALLBACK_TASK = "callback_task"
    CALLBACK_OURS = "callback_ours"
    CALLBACK_CHARACTER = "callback_character"
    CALLBACK_ADDRESS = "callback_address"
    CALLBACK_HOST = "callback_host"
    CALLBACK_LOGIN = "callback_login"

    LINE_MANY_FIELDS = "line_many_fields"
    LINE_FEW_FIELDS = "line_few_fields"
    LINE_NAMELESS_FIELD = "line_nameless_field"
    LINE_CARRIAGE_RETURN = "line_carriage_return"
    LINE_QUOTES = "line_quotes"
    LINE_TOO_LONG = "line_too_long"
    LINE_NO_JSON = "line_no_json"
    LINE_UNREADABLE_JSON = "line_unreadable_json"
    LINE_NO_JSON_OBJECT = "line_no_json_object"

    COLUMN_UNKNOWN = "column_unknown"
    COLUMN_UNKNOWN_HIDDEN = "column_unknown_hidden"
    COLUMN_TWICE = "column_twice"

    FILE_EMPTY = "file_empty"
    FILE_JSON_ARRAY = "file_json_array"
    FILE_HEADER_UNREADABLE = "file_header_unreadable"
    FILE_NO_HEADER = "file_no_header"
    FILE_HEADER_LACKS = "file_header_lacks"
    FILE_UTF_32 = "file_utf_32"
    FILE_UTF_16_BROKEN = "file_utf_16_broken"
    FILE_TWO_ENCODINGS = "file_two_encodings"
    FILE_ENCODING_UNKNOWN = "file_encoding_unknown"
    FILE_TOO_MANY_LINES = "file_too_many_lines"

    OTHER = "other"
    """Of an error that has a sentence alone, such as one about an option of a command."""


class Names(tuple[str, ...]):
    """Names in a sentence. The format says what stands between them: `{names:, }`, `{names: and }`."""

    __slots__ = ()

    def __format__(self, between: str) -> str:
        """Return the names with these letters between them."""
        return between.join(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why an input is refused. Its text is the English sentence, without a whole phone or a message's text.

    Attributes:
        code: what is wrong.
        field: the field that it is wrong with, which stands before the sentence; empty where the sentence names it.
        values: what differs from input to input, by the names of the placeholders in the sentences.
    """

    code: RefusalCode
    field: str = ""
    values: Mapping[str, str | int | Names] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, code: RefusalCode, field: str = "", **values: str | int | Names) -> Refusal:
        """Return a refusal with its values."""
        return cls(code, field, values)

    def sentence(self, catalogue: Mapping[RefusalCode, str] | None = None) -> str:
        """Return the sentence without the field.

        Args:
            catalogue: the sentences of a language; None is English.
        """
        return (ENGLISH if catalogue is None else catalogue)[self.code].format_map(self.values)

    def text(self, catalogue: Mapping[RefusalCode, str] | None = None) -> str:
        """Return the sentence with the field before it, as `sentence`."""
        sentence = self.sentence(catalogue)
        return f"{self.field}: {sentence}" if self.field else sentence

    def __str__(self) -> str:
        """Return the English sentence with the field before it."""
        return self.text()


_TEN_DIGITS: Final = "give ten digits, for example 5551402211 or +52 55 5140 2211"
_CALLBACKS: Final = "write celery:app.tasks.sms_changed@queue or https://example.com/sms"
_UTF_8: Final = "save the file as UTF-8 (in Excel: CSV UTF-8)"

ENGLISH: Final[Mapping[RefusalCode, str]] = {
    RefusalCode.PHONE_EMPTY: f"the phone is empty: {_TEN_DIGITS}",
    RefusalCode.PHONE_TYPE: f"the phone must be text or a whole number, not {{type}}: {_TEN_DIGITS}",
    RefusalCode.PHONE_NO_NUMBER: f"the phone {{phone}} is not a number: {_TEN_DIGITS}",
    RefusalCode.PHONE_AMOUNT: (
        "the phone {phone} is written as an amount, and digits of it may be lost: make its column text before you save "
        "the file"
    ),
    RefusalCode.PHONE_NOT_MEXICAN: f"the phone {{phone}} is not a Mexican number: {_TEN_DIGITS}",
    RefusalCode.PHONE_AMBIGUOUS: (
        f"the phone {{phone}} can be read in several ways (an extension, a second number?): {_TEN_DIGITS}"
    ),
    RefusalCode.PHONE_TOLL_FREE: "the phone {phone} is a toll-free or premium number, which no SMS reaches",
    RefusalCode.PHONE_NOT_IN_USE: f"the phone {{phone}} is not in use in Mexico's numbering plan: {_TEN_DIGITS}",
    RefusalCode.TEXT_TYPE: "the text must be text, not {type}",
    RefusalCode.TEXT_EMPTY: "the text is empty: give at least one visible character",
    RefusalCode.TEXT_INVISIBLE: "the text shows nothing: give at least one visible character",
    RefusalCode.TEXT_TOO_LONG: "the text has {count} characters: shorten it to {most}",
    RefusalCode.TEXT_CHARACTER: (
        "the text holds the character {character} at position {position}, which no phone can show: remove it (a wrong "
        "encoding is a common cause)"
    ),
    RefusalCode.TIME_FORM: "not a time; write ISO 8601, like 2026-12-01T09:30:00-06:00",
    RefusalCode.TIME_NO_ZONE: "{time} has no time zone; add one, like {time}-06:00",
    RefusalCode.TIME_CALENDAR: "{time} is outside the calendar; give a nearer time",
    RefusalCode.TIME_PAST: "{time} is in the past; leave it out to send now",
    RefusalCode.TIME_EXPIRES_TOO_EARLY: ("{time} is over before the message may be sent; give a later time"),
    RefusalCode.TTL_WITH_EXPIRES_AT: "expires_at is given as well; give one of the two",
    RefusalCode.TTL_FORM: "not a number of seconds; write one, like 300",
    RefusalCode.TTL_CALENDAR: "reaches beyond the calendar; give fewer seconds",
    RefusalCode.TTL_NOT_POSITIVE: "must be more than 0 seconds",
    RefusalCode.FIELD_TYPE: "must be text",
    RefusalCode.FIELD_TOO_LONG: "has {count} characters, at most {most} fit",
    RefusalCode.FIELD_CHARACTER: "holds a character that cannot be printed; remove it",
    RefusalCode.FIELD_CHOICE: "it is none of {names:, }",
    RefusalCode.FIELD_UNKNOWN: "unknown column {name}; there are: {names:, }",
    RefusalCode.FIELD_UNKNOWN_HIDDEN: "unknown column; there are: {names:, }",
    RefusalCode.FIELDS_MISSING: "{names: and } missing: every message needs a phone and a text",
    RefusalCode.KEY_EMPTY: "is empty; give the key that the message was enqueued with",
    RefusalCode.KEY_IN_USE: (
        "the key {key} already belongs to message {message}, which has another phone or text: use a new key for a new "
        "message"
    ),
    RefusalCode.KEY_TWICE: "the key {key} comes twice in this file, with another phone or text",
    RefusalCode.CALLBACK_SCHEME: f"names neither a Celery task nor a webhook; {_CALLBACKS}",
    RefusalCode.CALLBACK_TASK: (
        "a task is named with its queue, like celery:app.tasks.sms_changed@queue, in plain letters"
    ),
    RefusalCode.CALLBACK_OURS: ("tasks and queues of smsclick itself cannot be called; name one of your own app"),
    RefusalCode.CALLBACK_CHARACTER: "the address holds a character that must be percent-encoded",
    RefusalCode.CALLBACK_ADDRESS: f"is no address; {_CALLBACKS}",
    RefusalCode.CALLBACK_HOST: f"the address has no host that could be called; {_CALLBACKS}",
    RefusalCode.CALLBACK_LOGIN: ("leave user, password and # out of the address; calls are signed instead"),
    RefusalCode.LINE_MANY_FIELDS: (
        "{count} fields where the header has {most}; put a text that holds a separator in quotes"
    ),
    RefusalCode.LINE_FEW_FIELDS: "{count} fields where the header has {most}",
    RefusalCode.LINE_NAMELESS_FIELD: "a field stands in a column that has no name",
    RefusalCode.LINE_CARRIAGE_RETURN: "a carriage return outside of quotes",
    RefusalCode.LINE_QUOTES: (
        "a quote is not closed, or a quoted field goes on after its end (write quotes inside one twice)"
    ),
    RefusalCode.LINE_TOO_LONG: "longer than {most} KiB",
    RefusalCode.LINE_NO_JSON: "not JSON from character {position} on",
    RefusalCode.LINE_UNREADABLE_JSON: "not a JSON object of a message",
    RefusalCode.LINE_NO_JSON_OBJECT: "not a JSON object: write one like {{…phone…, …text…, …key…}} a line",
    RefusalCode.COLUMN_UNKNOWN: "unknown column {name}; there are {names:, }",
    RefusalCode.COLUMN_UNKNOWN_HIDDEN: "unknown column at position {position}; there are {names:, }",
    RefusalCode.COLUMN_TWICE: "the column {name} comes twice",
    RefusalCode.FILE_EMPTY: "the file is empty: a CSV needs a header line like {example}",
    RefusalCode.FILE_JSON_ARRAY: "the file is one JSON array: write one JSON object a line instead",
    RefusalCode.FILE_HEADER_UNREADABLE: "the header cannot be read: write one like {example}",
    RefusalCode.FILE_NO_HEADER: "the first line is no header: it must name columns of {names:, }",
    RefusalCode.FILE_HEADER_LACKS: "the header lacks {names: and }: write one like {example}",
    RefusalCode.FILE_UTF_32: f"the file is UTF-32, which is not read here: {_UTF_8}",
    RefusalCode.FILE_UTF_16_BROKEN: f"the file begins as UTF-16 but is not: {_UTF_8}",
    RefusalCode.FILE_TWO_ENCODINGS: f"the file is in two encodings at once: {_UTF_8}",
    RefusalCode.FILE_ENCODING_UNKNOWN: f"the file's encoding cannot be recognised: {_UTF_8}",
    RefusalCode.FILE_TOO_MANY_LINES: "the file has more than {most:,} lines: use smsclick import for it",
    RefusalCode.OTHER: "{sentence}",
}
"""The sentences that people read in commands, errors and the API; they are as public as the errors are."""
