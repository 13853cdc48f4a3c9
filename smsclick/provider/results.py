"""What SMSClick answers, as values: a send's result is one of three, and a query's data are dataclasses.

The bodies are read tolerantly (phones that are numbers, credits under either spelling, dates nobody can read)
and judged strictly. `classify_send` decides whether a message may ever be sent again, so it says `Accepted`
or `Refused` only where the answer proves it, and `Unknown` in every other case. Nothing here touches the
network, the clock or the disk, and nothing here raises outside `smsclick.errors`.
"""

from __future__ import annotations

import functools
import json
import math
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn, Self

from smsclick._values.phones import normalize_phone
from smsclick.errors import InvalidPhone, ProviderRefused, UnreadableAnswer, UnreadableBalance
from smsclick.provider.amounts import parse_amount
from smsclick.provider.codes import ACCEPTED, Action, Estatus, lookup
from smsclick.provider.echo import scrub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole HTTP answer, whatever it says.

    Attributes:
        status: The HTTP status.
        body: The body, decompressed.
        retry_after: Seconds that the answer asked to wait, if it did.
    """

    status: int
    body: bytes
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """No whole HTTP answer came.

    Attributes:
        kind: What happened, in a few words: "connection refused", "no answer in time".
        never_left: True only when it is proven that not one byte of the request was sent.
    """

    kind: str
    never_left: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has the message. It must never be sent again.

    Attributes:
        id_mensaje: The provider's id of the message, positive and below 2**63.
        credits_used: What it cost, if the answer says so readably.
        description: `descripcion`, cleaned and redacted.
        fraction: Whether the answer names a part of a credit, which counts as a whole one in `credits_used`.
    """

    id_mensaje: int
    credits_used: int | None
    description: str
    fraction: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider surely does not have the message.

    Attributes:
        code: `codigo`; None when the request provably never left.
        description: `descripcion`, cleaned and redacted; empty when there was no answer.
        action: What may be done about it.
        reason: Why, in English, for a person.
    """

    code: int | None
    description: str
    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say whether the provider has the message; only its report may decide.

    Attributes:
        reason: What was wrong with the answer, in English, for a person.
        code: `codigo`, where one could be read all the same.
        status: The HTTP status, where an answer came.
        retry_after: Seconds that the answer asked to wait, if it did.
    """

    reason: str
    code: int | None = None
    status: int | None = field(default=None, compare=False)
    retry_after: float | None = field(default=None, compare=False)


SendResult = Accepted | Refused | Unknown
"""What became of one `sendMsg`."""


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """What `getMsg` says of one message.

    Attributes:
        estatus: Where the message stands.
        phone: Ten digits where the provider's number allows it, else its digits; None if it gave none.
        text: `mensaje`, if it gave one.
        fecha_envio: When it was sent, in UTC; None if nobody can read the date.
        reply: What the customer answered (interactive messages only).
        replied_at: When, in UTC.
        description: `descripcion`, cleaned and redacted.
    """

    estatus: Estatus
    phone: str | None
    text: str | None
    fecha_envio: datetime | None
    reply: str | None
    replied_at: datetime | None
    description: str


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One message in a `report`.

    Attributes:
        id_mensaje: The provider's id, positive and below 2**63.
        phone: Ten digits where the provider's number allows it, else its digits.
        text: `mensaje`.
        fecha_envio: When it was sent, in UTC; None if nobody can read the date.
        estatus: Where the message stands; None if that is not one of the manual's 0 to 4.
        nombre_campania: Name of its campaign, if it has one.
        portafolio: Name of its portfolio, if it has one.
        reply: What the customer answered (interactive messages only).
        replied_at: When, in UTC.
        fecha_envio_later: The other moment that the date may mean, an hour after `fecha_envio`, where the clocks
            of the provider's zone showed that time twice (the end of summer time); else None.
    """

    id_mensaje: int
    phone: str
    text: str
    fecha_envio: datetime | None
    estatus: Estatus | None
    nombre_campania: str | None
    portafolio: str | None
    reply: str | None
    replied_at: datetime | None
    fecha_envio_later: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row of a `report` that does not say which message it is about. It proves nothing but that it is there.

    Attributes:
        id_mensaje: The provider's id, where that could be read.
        why: What is wrong with it, in English, without phone or text.
        fecha_envio: When it was sent, in UTC, where that could be read.
        phone: Digits, as in `ReportRow`, where they could be read.
    """

    id_mensaje: int | None
    why: str
    fecha_envio: datetime | None = None
    phone: str | None = field(default=None, repr=False)


def classify_send(answer: HttpAnswer | TransportFailure, *, hide: Iterable[str] = ()) -> SendResult:
    """Decide what became of a send.

    *Accepted*: the body is one readable JSON object with `codigo` 1 and a usable `id_mensaje`, whatever the
    HTTP status. *Refused*: a readable error code that nothing in the answer puts in doubt, or proof that the
    request never left. *Unknown*: everything else, without exception; in particular whatever else carries
    `codigo` 1 anywhere.

    Args:
        answer: What the transport brought.
        hide: Words that must not appear in a description even if the provider echoes them: key, phone, text.

    Returns:
        One of the three. Never raises.
    """
    if isinstance(answer, TransportFailure):
        if answer.never_left:
            return Refused(None, "", Action.RETRY, f"{answer.kind}; the request never left")
        return Unknown(f"{answer.kind}; the request may have arrived")
    reply = _load(answer.body)
    if isinstance(reply, str):
        why = _REDIRECTS if _is_redirect(answer.status) else reply
        return Unknown(f"HTTP {answer.status}, {why}", None, answer.status, answer.retry_after)
    code = codigo(reply)
    if code == ACCEPTED:
        return _accepted(answer.status, reply, hide)
    return _refused(answer, reply, code, hide)


def parse_status(answer: HttpAnswer, zone: ZoneInfo, *, hide: Iterable[str] = ()) -> MessageStatus:
    """Read the answer of `getMsg` (manual: "API Estatus de mensajes enviados").

    Args:
        answer: The HTTP answer.
        zone: The zone of the provider's dates.
        hide: Words that must not appear in a description even if the provider echoes them.

    Returns:
        The message's status.

    Raises:
        ProviderRefused: The answer carries another code than 1.
        UnreadableAnswer: It is no such answer, or its `estatus_mensaje` is not one of 0 to 4.
    """
    reply = _data(answer, hide)
    estatus = _estatus(reply.get("estatusmensaje"))
    if estatus is None:
        unreadable(answer, "estatus_mensaje is not one of 0 to 4")
    return MessageStatus(
        estatus=estatus,
        phone=_phone(reply.get("telefono")),
        text=_text(reply.get("mensaje")),
        fecha_envio=parse_date(reply.get("fechaenvio"), zone),
        reply=_optional(reply.get("respuesta")),
        replied_at=parse_date(reply.get("fecharespuesta"), zone),
        description=_clean(reply.get("descripcion"), hide),
    )


def parse_report(answer: HttpAnswer, zone: ZoneInfo, *, hide: Iterable[str] = ()) -> list[ReportRow | UnreadableRow]:
    """Read the answer of `report` (manual: "API Reporte").

    Args:
        answer: The HTTP answer.
        zone: The zone of the provider's dates.
        hide: Words that must not appear in a description even if the provider echoes them.

    Returns:
        The rows in the provider's order; none where `mensajes` is null or empty. A row that cannot be read comes
        as an `UnreadableRow`: the others are as true as without it.

    Raises:
        ProviderRefused: The answer carries another code than 1.
        UnreadableAnswer: It is no such answer.
    """
    reply = _data(answer, hide, unquote=True)
    return [report_row(row, zone) for row in report_list(reply, answer)]


def parse_credits(answer: HttpAnswer, *, hide: Iterable[str] = ()) -> Decimal:
    """Read the answer of `credits` (manual: "API Crédito").

    Args:
        answer: The HTTP answer.
        hide: Words that must not appear in a description even if the provider echoes them.

    Returns:
        Credits available; most providers count whole ones.

    Raises:
        ProviderRefused: The answer carries another code than 1.
        UnreadableBalance: It is such an answer, but nobody can read its `creditos` as an amount.
        UnreadableAnswer: It is no such answer.
    """
    balance = parse_amount(_data(answer, hide).get("creditos"))
    if balance is None:
        raise UnreadableBalance(f"HTTP {answer.status}, creditos is not an amount", answer.status, answer.retry_after)
    return balance


def parse_date(value: object, zone: ZoneInfo) -> datetime | None:
    """Read a date of the provider: `DD-MM-AAAA HH:mm:ss` on the clocks of its zone.

    An hour that the clocks show twice is taken as the first of both; one that they skip is read with the
    offset that held before.

    Args:
        value: What the JSON holds.
        zone: The zone of the provider's dates.

    Returns:
        The moment in UTC, or None if it cannot be read as one.
    """
    match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    day, month, year, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):  # 31 February; the first or last hours of the calendar
        return None


def format_date(moment: datetime, zone: ZoneInfo) -> str:
    """Write a moment as the provider does; the opposite of `parse_date`.

    Args:
        moment: An aware datetime. Fractions of a second are dropped.
        zone: The zone of the provider's dates.

    Returns:
        `DD-MM-AAAA HH:mm:ss`.
    """
    local = moment.astimezone(zone)
    return f"{local:%d-%m}-{local.year:04d} {local:%H:%M:%S}"


# What follows reads JSON, for `smsclick.provider.streaming` too. A body is a tree of `JsonObject`, lists and scalars.

_DATE: Final = re.compile(r"(\d{1,2})-(\d{1,2})-(\d{4})\s+(\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)
_CODE: Final = re.compile(r"0|-?[1-9][0-9]{0,9}")
_DIGITS: Final = re.compile(r"([0-9]{1,19})(?:\.0{1,20})?")
_WHOLE_LITERAL: Final = re.compile(r"(-?[0-9]{1,19})\.0{1,20}")
_HIDDEN_ONE: Final = re.compile(r"codigo[\W_]*0*1(?![0-9])")
_NOT_STORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object with its names folded (`creditosUsados` and `creditos_usados` are one name).

    Attributes:
        names: The names as they came.
        fields: Folded name to value; of a repeated name, the first value that is not null.
        repeated: Folded names that came more than once.
    """

    names: tuple[str, ...]
    fields: dict[str, object]
    repeated: frozenset[str]

    def get(self, name: str) -> object:
        """Return the value of a folded name, or None."""
        return self.fields.get(name)


def fold(name: str) -> str:
    """Return a name without case, accents and anything but letters and digits."""
    return _fold_short(name) if len(name) <= 40 else _fold_any(name)


def _fold_any(name: str) -> str:
    return "".join(c for c in _unaccented(name) if c.isalnum())


_fold_short = functools.lru_cache(maxsize=256)(_fold_any)


def json_object(pairs: list[tuple[str, object]]) -> JsonObject:
    """Return an object of its names and values as they came."""
    fields: dict[str, object] = {}
    repeated = set()
    for name, value in pairs:
        folded = fold(name)
        if folded in fields:
            repeated.add(folded)
        if fields.get(folded) is None:
            fields[folded] = value
    return JsonObject(tuple(name for name, _ in pairs), fields, frozenset(repeated))


class JsonFloat(float):
    """A JSON number with a decimal point or an exponent, which remembers how it was written.

    Attributes:
        literal: As written, in one spelling of exponents.
    """

    __slots__ = ("literal",)

    literal: str

    def __new__(cls, literal: str) -> Self:
        """Read a literal of JSON."""
        number = super().__new__(cls, literal)
        number.literal = str(Decimal(literal))
        return number

    @property
    def whole(self) -> int | None:
        """The integer that `12.0` is; None where there is more behind the point, or an exponent."""
        match = _WHOLE_LITERAL.fullmatch(self.literal)
        return int(match[1]) if match else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


_DECODER: Final = json.JSONDecoder(object_pairs_hook=json_object, parse_float=JsonFloat, parse_constant=_no_constant)


def _decode(body: bytes) -> str:
    """Return a body as text. The manual names no encoding, and its samples are full of accents."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1")


def _load(body: bytes, *, unquote: bool = False) -> JsonObject | str:
    """Return a body's one JSON object, or in a few words why it is none."""
    text = _decode(body)
    if unquote and text.startswith('"{""'):
        # The manual's own sample of a report is one quoted CSV cell, quotes doubled.
        text = text.rstrip()[1:-1].replace('""', '"')
    try:
        tree = _DECODER.decode(text)
    except (ValueError, ArithmeticError, RecursionError):  # also numbers longer than Python converts
        return "the body is not readable JSON" if body.strip() else "the body is empty"
    return tree if isinstance(tree, JsonObject) else "the body is not a JSON object"


_REDIRECTS: Final = "a redirect, which is never followed: check SMSCLICK_BASE_URL"
"""Not its `Location`: that may hold what was sent."""


def _is_redirect(status: int) -> bool:
    return 300 <= status < 400


def _trusted(status: int) -> bool:
    """Whether an error with this HTTP status is the provider's own word and not a fault on the way."""
    return 200 <= status < 300 or (400 <= status < 500 and status not in (408, 429))


def _doubt(reply: JsonObject) -> str | None:
    """Say what in a body puts its error code in doubt, or None if nothing does."""
    for value in _walk(reply):
        if isinstance(value, JsonObject):
            if value.repeated:
                return "a name comes twice"
            if any("codigo" in name for name in value.fields if value is not reply or name != "codigo"):
                return "more than one codigo"
            if not _is_no_id(value.get("idmensaje")):
                return "an error code with an id_mensaje"
        elif isinstance(value, str) and any(_HIDDEN_ONE.search(_unaccented(each)) for each in _readings(value)):
            return "an error code that mentions codigo 1"
    return None


def _readings(text: str) -> Iterator[str]:
    """Yield a text, and what it says where one broken byte elsewhere made us read UTF-8 as another encoding."""
    yield text
    if not text.isascii():
        for encoding in ("cp1252", "latin-1"):
            yield text.encode(encoding, "ignore").decode("utf-8", "ignore")


def _is_no_id(value: object) -> bool:
    """Whether a field says that there is no message: absent, null, or a blank, as errors of other calls have theirs."""
    if isinstance(value, str):
        return value.strip().lower() in {"", "0", "null"}
    if isinstance(value, JsonFloat):
        return value.whole == 0
    return value is None or (value == 0 and type(value) is int)


def _walk(root: object) -> Iterator[object]:
    """Yield every value of a tree, without recursion: the provider chooses how deep it is."""
    left = [root]
    while left:
        value = left.pop()
        yield value
        if isinstance(value, JsonObject):
            left.extend(value.fields.values())
        elif isinstance(value, list):
            left.extend(value)


def _accepted(status: int, reply: JsonObject, hide: Iterable[str]) -> Accepted | Unknown:
    id_mensaje = _id(reply.get("idmensaje"))
    if id_mensaje is None or reply.repeated & {"codigo", "idmensaje"}:
        return Unknown(f"HTTP {status}, codigo 1 without one usable id_mensaje", ACCEPTED, status)
    charged = parse_amount(reply.get("creditosusados"))
    fraction = charged is not None and charged != charged.to_integral_value()
    return Accepted(id_mensaje, _credits_used(charged), _clean(reply.get("descripcion"), hide), fraction)


def _refused(answer: HttpAnswer, reply: JsonObject, code: int | None, hide: Iterable[str]) -> Refused | Unknown:
    status = answer.status
    if code is None:
        why = _REDIRECTS if _is_redirect(status) else "no readable codigo"
        return Unknown(f"HTTP {status}, {why}", None, status, answer.retry_after)
    if not _trusted(status):
        why = _REDIRECTS if _is_redirect(status) else "which proves nothing"
        return Unknown(f"HTTP {status}, {why}", code, status, answer.retry_after)
    if doubt := _doubt(reply):
        return Unknown(f"HTTP {status}, {doubt}", code, status, answer.retry_after)
    row = lookup(code)
    return Refused(code, _clean(reply.get("descripcion"), hide), row.action, row.meaning)


def _data(answer: HttpAnswer, hide: Iterable[str], *, unquote: bool = False) -> JsonObject:
    """Return the object of a query's answer with `codigo` 1, or raise."""
    return judged(_load(answer.body, unquote=unquote), answer, hide)


def judged(reply: JsonObject | str, answer: HttpAnswer, hide: Iterable[str]) -> JsonObject:
    """Return what was read of a query's answer (or why nothing could be) if it carries `codigo` 1, or raise."""
    if not _trusted(answer.status):
        unreadable(answer, "which proves nothing")
    if isinstance(reply, str):
        unreadable(answer, reply)
    code = codigo(reply)
    if code is None or reply.repeated:
        unreadable(answer, "no readable codigo" if code is None else "a name comes twice")
    if code != ACCEPTED:
        raise ProviderRefused(code, _clean(reply.get("descripcion"), hide))
    if answer.status >= 300:
        unreadable(answer, "codigo 1 with an HTTP error")
    return reply


def unreadable(answer: HttpAnswer, why: str) -> NoReturn:
    """Raise what says why an answer proves nothing."""
    why = _REDIRECTS if _is_redirect(answer.status) else why
    raise UnreadableAnswer(f"HTTP {answer.status}, {why}", answer.status, answer.retry_after)


def report_list(reply: JsonObject, answer: HttpAnswer) -> list[object]:
    """Return a report's `mensajes`, null being none, or raise."""
    if "mensajes" not in reply.fields:
        unreadable(answer, "a report without mensajes")
    rows = reply.get("mensajes")
    if rows is not None and not isinstance(rows, list):
        unreadable(answer, "a report whose mensajes is not a list")
    return rows or []


def report_row(row: object, zone: ZoneInfo) -> ReportRow | UnreadableRow:
    """Return a row of a report; an `UnreadableRow` if it lacks what identifies a message or has it in doubt."""
    if not isinstance(row, JsonObject):
        return UnreadableRow(None, "it is no object")
    if row.repeated:
        return UnreadableRow(None, "a name comes twice")
    id_mensaje = _id(row.get("idmensaje"))
    phone = _phone(row.get("telefono"))
    text = _text(row.get("mensaje"))
    sent_at = row.get("fechaenvio")
    first = parse_date(sent_at, zone)
    if id_mensaje is None or phone is None or text is None:
        found = (("id_mensaje", id_mensaje), ("telefono", phone), ("mensaje", text))
        why = f"no readable {' and '.join(name for name, value in found if value is None)}"
        return UnreadableRow(id_mensaje, why, first, phone)
    return ReportRow(
        id_mensaje=id_mensaje,
        phone=phone,
        text=text,
        fecha_envio=first,
        estatus=_estatus(row.get("estatusmensaje")),
        nombre_campania=_optional(row.get("nombrecampania")),
        portafolio=_optional(row.get("portafolio")),
        reply=_optional(row.get("respuestacliente")),
        replied_at=parse_date(row.get("fecharespuesta"), zone),
        fecha_envio_later=None if first is None else _other_reading(first, zone),
    )


def _other_reading(first: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the later moment at which the clocks of a zone show the same time once more, or None."""
    local = first.astimezone(zone)
    if local.fold or local.utcoffset() == local.replace(fold=1).utcoffset():
        return None
    later = local.replace(fold=1).astimezone(UTC)
    return later if later > first else None


def codigo(reply: JsonObject) -> int | None:
    """Return the code, under no other spelling than the manual's: too much hangs on it."""
    return _code(reply.get("codigo")) if "codigo" in reply.names else None


def _code(value: object) -> int | None:
    if isinstance(value, str) and _CODE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, JsonFloat):
        value = value.whole
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < 2**31 else None


def _id(value: object) -> int | None:
    if isinstance(value, str) and (match := _DIGITS.fullmatch(value.strip())):
        value = int(match[1])
    if isinstance(value, JsonFloat):
        value = value.whole
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 2**63 else None


def _credits_used(charged: Decimal | None) -> int | None:
    """Return what a message cost; a part of a credit counts as a whole one, so that a forecast is never too low."""
    return math.ceil(charged) if charged is not None and 0 <= charged < 2**31 else None


def _estatus(value: object) -> Estatus | None:
    number = _code(value)
    return Estatus(number) if number is not None and 0 <= number <= 4 else None


def _phone(value: object) -> str | None:
    """Return a phone as digits; the provider gives it as a number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = value if isinstance(value, str) else str(value)
    if len(text) == 10 and text.isascii() and text.isdigit():
        return text
    try:
        return normalize_phone(text)
    except InvalidPhone:  # the account's other messages may have gone anywhere
        return re.sub(r"[^0-9]", "", text)[:20] or None


def _text(value: object) -> str | None:
    """Return a text. One that is all digits may come back as a number, as phones do."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value.literal if isinstance(value, JsonFloat) else str(value)
    return _NOT_STORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _optional(value: object) -> str | None:
    """Return a text that may be absent: null, empty, or the text "NULL" of the manual's `respuesta`."""
    text = (_text(value) or "").strip()
    return None if text.upper() in ("", "NULL") else text


def _unaccented(text: str) -> str:
    if text.isascii():
        return text.casefold()
    # The dotless i is what a Turkish machine makes of "CODIGO" in lower case.
    plain = unicodedata.normalize("NFKD", text).casefold().replace("\N{LATIN SMALL LETTER DOTLESS I}", "i")
    return "".join(c for c in plain if not unicodedata.combining(c))


def _clean(value: object, hide: Iterable[str]) -> str:
    """Return a description as one short line without phones, keys and texts that the provider may echo."""
    return scrub(value, hide) if isinstance(value, str) else ""
