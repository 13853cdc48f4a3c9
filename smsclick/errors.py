"""Every error that `smsclick` raises, as one tree.

```
SmsclickError
├── SettingsError               a setting is missing or wrong
├── InvalidMessage              a message that cannot be sent as it was given (also a ValueError)
│   ├── InvalidPhone
│   ├── InvalidText
│   ├── InvalidTime
│   └── InvalidField
├── KeyConflict                 the key belongs to a message with other content
├── MessageNotFound             an operator named a message that does not exist
├── NotAllowed                  an operator's command that the message's state does not allow
├── UnreadableRow               a row has a value that no program can read
├── DatabaseUnavailable
├── DatabaseNotMigrated
├── BrokerUnavailable
└── ProviderError               a query to SMSClick (getMsg, report, credits) brought no data
    ├── ProviderUnreachable     no answer came
    ├── UnreadableAnswer        an answer came that proves nothing
    │   └── UnreadableBalance   ... but that the key works
    └── ProviderRefused         a readable answer with an error code
```

The text of each error is one line for a person: what was wrong and what to do. It never has the API key, a whole
phone or a message's text, so that it may be logged. All errors can be pickled, because they pass between processes.

A send has no errors here: `sendMsg` answers with a value (`smsclick.provider.results`).
"""

# ruff: noqa: N818  (the tree's names are words of the contract's sentences; an "Error" suffix would add nothing)
from __future__ import annotations

from smsclick._values.refusals import Refusal, RefusalCode
from smsclick.provider.codes import lookup
from smsclick.provider.failures import FailureKind

__all__ = [
    "BrokerUnavailable",
    "DatabaseNotMigrated",
    "DatabaseUnavailable",
    "InvalidField",
    "InvalidMessage",
    "InvalidPhone",
    "InvalidText",
    "InvalidTime",
    "KeyConflict",
    "MessageNotFound",
    "NotAllowed",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnreachable",
    "SettingsError",
    "SmsclickError",
    "UnreadableAnswer",
    "UnreadableBalance",
    "UnreadableRow",
]


class SmsclickError(Exception):
    """The base of every error that `smsclick` raises on purpose.

    Attributes:
        advice: What to do about the problem, where it is kept apart; the error's text ends with it. Empty otherwise.
    """

    def __init__(self, *arguments: object, advice: str = "") -> None:
        super().__init__(*arguments)
        self.advice = advice

    @property
    def problem(self) -> str:
        """What is wrong: the error's text without the advice."""
        return super().__str__() if self.advice else str(self)

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.advice}" if self.advice else super().__str__()


class SettingsError(SmsclickError):
    """A setting is missing or wrong; the text names the variable, what was wrong and an example."""


class InvalidMessage(SmsclickError, ValueError):
    """A message cannot be sent as it was given. Nothing was stored."""

    def __init__(self, *arguments: object, advice: str = "") -> None:
        super().__init__(*(str(each) if isinstance(each, Refusal) else each for each in arguments), advice=advice)
        # Pickle makes the error from its text and puts this back afterwards.
        self._refusal = next((each for each in arguments if isinstance(each, Refusal)), None)

    @property
    def refusal(self) -> Refusal:
        """What is wrong as a code with values, for programs of ours that say it in another language."""
        return self._refusal or Refusal.of(RefusalCode.OTHER, sentence=str(self))


class InvalidPhone(InvalidMessage):
    """The phone is not a Mexican number."""


class InvalidText(InvalidMessage):
    """The text is empty, too long, or holds characters that no phone can show."""


class InvalidTime(InvalidMessage):
    """A time has no zone, is in the past, or ends before it begins."""


class InvalidField(InvalidMessage):
    """Another field of the message or query has a value that it cannot have."""


class KeyConflict(SmsclickError):
    """The same key came again with another phone or text. Nothing was stored, and nothing will be sent.

    Attributes:
        key: The producer's key.
        message_id: The id of the message that has this key.
    """

    def __init__(self, key: str, message_id: int) -> None:
        super().__init__(key, message_id)
        self.key = key
        self.message_id = message_id

    @property
    def refusal(self) -> Refusal:
        """What is wrong as a code with values, as of an `InvalidMessage`."""
        return Refusal.of(RefusalCode.KEY_IN_USE, key=repr(self.key), message=self.message_id)

    def __str__(self) -> str:
        return str(self.refusal)


class MessageNotFound(SmsclickError):
    """No message has this id or key."""


class NotAllowed(SmsclickError):
    """The message's state does not allow what the operator asked for."""


class UnreadableRow(SmsclickError):
    """A row has a value that no program can read. The text says what kind of value, and never shows it."""


class DatabaseUnavailable(SmsclickError):
    """The database does not answer."""


class DatabaseNotMigrated(SmsclickError):
    """The database answers, but its tables are missing or of another version."""


class BrokerUnavailable(SmsclickError):
    """The broker does not answer. Messages that are committed are safe; they wait for the sweep."""


class ProviderError(SmsclickError):
    """A query to SMSClick brought no data. It changed nothing at SMSClick, so it may be repeated."""


class ProviderUnreachable(ProviderError):
    """No answer came.

    Attributes:
        never_left: True when it is proven that not one byte of the request was sent (name not resolved,
            connection refused or not made in time, TLS handshake failed); False when it may have arrived.
        kind: What happened, for programs; the text is for a person.
    """

    def __init__(
        self,
        reason: str,
        never_left: bool,  # noqa: FBT001  (positional, so that it pickles)
        kind: FailureKind = FailureKind.NETWORK,
    ) -> None:
        super().__init__(reason, never_left, kind)
        self.reason = reason
        self.never_left = never_left
        self.kind = kind

    def __str__(self) -> str:
        return f"SMSClick did not answer: {self.reason}"


class UnreadableAnswer(ProviderError):
    """An answer came that proves nothing: 5xx, 429, a redirect, HTML, cut or odd JSON, a broken row.

    Attributes:
        status: The HTTP status, if there was one.
        retry_after: Seconds that the answer asked to wait, if it did.
    """

    def __init__(self, reason: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, status, retry_after)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    @property
    def is_redirect(self) -> bool:
        """Whether the answer named another address, which is never followed: it would get the key."""
        return self.status is not None and 300 <= self.status < 400

    def __str__(self) -> str:
        return f"SMSClick's answer could not be read: {self.reason}"


class UnreadableBalance(UnreadableAnswer):
    """`credits` was answered with code 1, so the key works, but nobody can read the amount."""


class ProviderRefused(ProviderError):
    """A readable answer with an error code of the manual, or one that it does not list.

    Attributes:
        code: `codigo`; `smsclick.provider.codes.lookup` says what it means.
        description: `descripcion`, cleaned and redacted as far as we know what was sent; for a person's eyes only.
    """

    def __init__(self, code: int, description: str) -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description

    def __str__(self) -> str:
        # Not the provider's description: this may be logged, and the description may repeat the request.
        return f"SMSClick refused the query with {self.code} ({lookup(self.code).meaning})"
