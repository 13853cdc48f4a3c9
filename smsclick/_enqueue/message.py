"""A message before it is stored: validated first, so that bad input is refused with one clear line."""

import dataclasses
import datetime as dt
import re
import unicodedata
import uuid
from collections.abc import Mapping
from typing import Any

from smsclick._database.constraints import AFTER_LAST_TIME, FIRST_TIME
from smsclick._values.callback import parse_callback
from smsclick._values.phones import normalize_phone
from smsclick._values.refusals import Names, Refusal, RefusalCode
from smsclick._values.texts import clean_text
from smsclick.contract import IfAbsent, Priority
from smsclick.errors import InvalidField, InvalidTime

COLUMNS = (
    "phone",
    "text",
    "key",
    "send_at",
    "expires_at",
    "ttl",
    "priority",
    "rule_id",
    "if_absent",
    "callback",
    "reference",
)
"""The columns that a message may have, in the order of the contract."""

SPANISH = {"telefono": "phone", "mensaje": "text", "clave": "key"}
"""Spanish names of columns."""

_LIMITS = {"key": 200, "rule_id": 40, "callback": 500, "reference": 200}
_NAME = re.compile(r"[a-z][a-z_]{0,29}")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_FIRST = dt.datetime.fromisoformat(FIRST_TIME).replace(tzinfo=dt.UTC)
_AFTER_LAST = dt.datetime.fromisoformat(AFTER_LAST_TIME).replace(tzinfo=dt.UTC)
"""The times that the tables can hold, see `smsclick._database.constraints`."""
_TOLERATED_PAST = dt.timedelta(minutes=1)
"""A `send_at` that is this much in the past still counts as now."""


@dataclasses.dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that may be stored. Make it with `NewMessage.of`, which validates.

    Attributes:
        valid_for: a validity that begins when the message is stored, by the database's clock; `expires_at` is then an
            estimate.
    """

    key: str
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    send_at: dt.datetime | None
    expires_at: dt.datetime | None
    priority: Priority
    rule_id: str | None
    if_absent: IfAbsent
    callback: str | None
    reference: str | None
    valid_for: dt.timedelta | None = None

    @classmethod
    def of(
        cls,
        *,
        phone: str | int,
        text: str,
        key: str | None = None,
        send_at: dt.datetime | str | None = None,
        expires_at: dt.datetime | str | None = None,
        ttl: float | dt.timedelta | None = None,
        priority: Priority | str | None = None,
        rule_id: str | int | None = None,
        if_absent: IfAbsent | str | None = None,
        callback: str | None = None,
        reference: str | None = None,
        now: dt.datetime | None = None,
        zone: dt.tzinfo | None = None,
    ) -> "NewMessage":
        """Validate the parts of a message.

        Args:
            phone: a Mexican number in any usual form.
            text: what to send.
            key: the producer's idempotency key, unique forever; without one a random key is made.
            send_at: not before this; aware, or ISO 8601 with a zone. None: now.
            expires_at: not after this.
            ttl: the same as seconds, or a timedelta, from `send_at` or else from now; one of the two may be given.
            priority: `high`, `normal` (default) or `low`.
            rule_id: ID_REGLA_INTERACTIVA of the manual, for messages that expect a reply.
            if_absent: what to do if an attempt is surely not in the provider's report: `resend` (default) or `fail`.
            callback: the task or webhook that receives what becomes of the message:
                `celery:app.tasks.sms_changed@queue` or `https://…`.
            reference: the producer's own words, returned with the record.
            now: the time from which `ttl` and the checks count; None is this machine's clock.
            zone: the zone of times that name none; None refuses such times.

        Returns:
            The validated message.

        Raises:
            InvalidMessage: one line says what was wrong (`InvalidPhone`, `InvalidText`, `InvalidTime`, `InvalidField`).
        """
        now = now or dt.datetime.now(dt.UTC)
        sends = _time("send_at", send_at, zone)
        expires = _time("expires_at", expires_at, zone)
        if sends is not None and sends < now - _TOLERATED_PAST:
            raise InvalidTime(Refusal.of(RefusalCode.TIME_PAST, "send_at", time=sends.isoformat()))
        valid_for = None
        if ttl is not None:
            if expires is not None:
                raise InvalidTime(Refusal.of(RefusalCode.TTL_WITH_EXPIRES_AT, "ttl"))
            expires = _later(sends or now, ttl)
            valid_for = expires - now if sends is None else None
        if expires is not None and expires <= max(now, sends or now):
            raise InvalidTime(Refusal.of(RefusalCode.TIME_EXPIRES_TOO_EARLY, "expires_at", time=expires.isoformat()))
        return cls(
            key=_word("key", key) or str(uuid.uuid4()),
            phone=normalize_phone(phone),
            text=clean_text(text),
            send_at=sends,
            expires_at=expires,
            priority=_priority(priority),
            rule_id=_word("rule_id", None if rule_id is None else str(rule_id)),
            if_absent=_if_absent(if_absent),
            callback=_callback(callback),
            reference=_word("reference", reference),
            valid_for=valid_for,
        )

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], *, now: dt.datetime | None = None, zone: dt.tzinfo | None = None
    ) -> "NewMessage":
        """Validate a record of a file or a task: empty values count as not given, unknown columns are refused.

        Args:
            values: by the columns' names, English or Spanish.
            now: as for `of`.
            zone: as for `of`.
        """
        named: dict[str, Any] = {}
        for given, value in values.items():
            name = canonical(given)
            if name not in COLUMNS:
                names = Names(COLUMNS)
                if _NAME.fullmatch(name):
                    raise InvalidField(Refusal.of(RefusalCode.FIELD_UNKNOWN, name=name, names=names))
                # A value that is no name may be a phone or a text in the wrong place, so it is not shown.
                raise InvalidField(Refusal.of(RefusalCode.FIELD_UNKNOWN_HIDDEN, names=names))
            if name in named:
                raise InvalidField(Refusal.of(RefusalCode.COLUMN_TWICE, name=name))
            named[name] = value
        filled = {name: value for name, value in named.items() if value is not None and value != ""}
        missing = [name for name in ("phone", "text") if name not in filled]
        if missing:
            raise InvalidField(Refusal.of(RefusalCode.FIELDS_MISSING, names=Names(missing)))
        if isinstance(ttl := filled.get("ttl"), str) and _NUMBER.fullmatch(ttl.strip()):
            filled["ttl"] = float(ttl)
        return cls.of(**filled, now=now, zone=zone)


def canonical(name: object, synonyms: Mapping[str, str] = SPANISH) -> str:
    """Return the contract's name of a column, given in any case, with accents or blanks, or as a Spanish synonym."""
    plain = unicodedata.normalize("NFKD", str(name).strip().strip("\ufeff").lower())
    plain = re.sub(r"[\s-]+", "_", "".join(c for c in plain if not unicodedata.combining(c)))
    return synonyms.get(plain, plain)


def valid_key(value: object) -> str:
    """Return a key as `enqueue` stores it, to look a message up.

    Raises:
        InvalidField: no message can have this key.
    """
    key = _word("key", value)
    if key is None:
        raise InvalidField(Refusal.of(RefusalCode.KEY_EMPTY, "key"))
    return key


def _time(name: str, value: object, zone: dt.tzinfo | None) -> dt.datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            raise InvalidTime(Refusal.of(RefusalCode.TIME_FORM, name)) from None
    if not isinstance(value, dt.datetime):
        raise InvalidTime(Refusal.of(RefusalCode.TIME_FORM, name))
    if zone is not None and value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidTime(Refusal.of(RefusalCode.TIME_NO_ZONE, name, time=value.isoformat()))
    try:
        found = value.astimezone(dt.UTC)
    except OverflowError:
        found = None
    if found is None or not _FIRST <= found < _AFTER_LAST:
        raise InvalidTime(Refusal.of(RefusalCode.TIME_CALENDAR, name, time=value.isoformat()))
    return found


def _later(start: dt.datetime, ttl: object) -> dt.datetime:
    if isinstance(ttl, bool) or not isinstance(ttl, int | float | dt.timedelta):
        raise InvalidTime(Refusal.of(RefusalCode.TTL_FORM, "ttl"))
    try:
        end = start + (ttl if isinstance(ttl, dt.timedelta) else dt.timedelta(seconds=ttl))
    except (OverflowError, ValueError):
        raise InvalidTime(Refusal.of(RefusalCode.TTL_CALENDAR, "ttl")) from None
    if end >= _AFTER_LAST:
        raise InvalidTime(Refusal.of(RefusalCode.TTL_CALENDAR, "ttl"))
    if end <= start:
        raise InvalidTime(Refusal.of(RefusalCode.TTL_NOT_POSITIVE, "ttl"))
    return end


def _word(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidField(Refusal.of(RefusalCode.FIELD_TYPE, name))
    value = value.strip()
    if len(value) > _LIMITS[name]:
        raise InvalidField(Refusal.of(RefusalCode.FIELD_TOO_LONG, name, count=len(value), most=_LIMITS[name]))
    if not value.isprintable():
        raise InvalidField(Refusal.of(RefusalCode.FIELD_CHARACTER, name))
    return value or None


def _callback(value: object) -> str | None:
    word = _word("callback", value)
    if word is not None:
        parse_callback(word)
    return word


def _priority(value: Priority | str | None) -> Priority:
    if value is None:
        return Priority.NORMAL
    try:
        return value if isinstance(value, Priority) else Priority[str(value).strip().upper()]
    except KeyError:
        # The value is not shown: in a line whose fields are shifted it is the text.
        names = Names(("high", "normal", "low"))
        raise InvalidField(Refusal.of(RefusalCode.FIELD_CHOICE, "priority", names=names)) from None


def _if_absent(value: IfAbsent | str | None) -> IfAbsent:
    if value is None:
        return IfAbsent.RESEND
    try:
        return IfAbsent(str(value).strip().lower())
    except ValueError:
        raise InvalidField(Refusal.of(RefusalCode.FIELD_CHOICE, "if_absent", names=Names(("resend", "fail")))) from None
