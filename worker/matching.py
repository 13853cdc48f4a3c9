"""Which id of the provider's report belongs to which attempt: a pure function, and the forms of a text it compares.

The report has no key of ours, so phone, text and time must do. Twins (equal phone and text) are never on the wire
together, see `wire_key`, so a match is never ambiguous among our own; ids that other systems sent under the same APIKEY
are told apart by their time.
"""

import dataclasses
import datetime as dt
import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from smsclick.errors import InvalidPhone
from smsclick.phones import normalize_phone
from smsclick.replies import ReportRow

SLACK = dt.timedelta(seconds=90)
"""By how much the provider's clock may differ from the database's."""

_TEN_DIGITS = re.compile(r"[0-9]{10}")
_DROPPED = re.compile("[^bcdfghjklmpqrstvwxyz0-9]+")
_FOLLOWS = "[\x80-\xbf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore") + "]"
_MISREAD = re.compile(f"[\xc2-\xdf]{_FOLLOWS}|[\xe0-\xef]{_FOLLOWS}{{2}}|[\xf0-\xf4]{_FOLLOWS}{{3}}")
_COMPARED = 50
"""Characters of the tolerant form that are compared.

A provider may cut a text after its first credit (150), of which some 65 are consonants and digits in Spanish.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of unknown outcome: accepted, if at all, between `since` and `until` by the database's clock."""

    message_id: int
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    since: dt.datetime
    until: dt.datetime


def tolerant(text: str) -> str:
    """The form in which texts are compared where they are not equal to the letter.

    Only consonants and digits, without case, and only the first 50 of them: what remains when a provider writes `ñ`
    and `á` as `n` and `a`, as `?` or not at all, reads UTF-8 as Latin-1, folds spaces, changes quotes or cuts. Vowels
    and `n` are left out because what becomes of their accents is not known.
    """
    plain = unicodedata.normalize("NFKD", _mended(text)).casefold()
    return _DROPPED.sub("", plain)[:_COMPARED]


def wire_key(phone: str, text: str) -> str:
    """What two messages that a report could confuse have in common: equal phones, and texts of equal tolerant form."""
    return hashlib.blake2b(f"{digits(phone)}\n{tolerant(text)}".encode(), digest_size=16).hexdigest()


def match(
    attempts: Sequence[Attempt], rows: Iterable[ReportRow], owned: Collection[int]
) -> dict[int, tuple[ReportRow, bool]]:
    """Match attempts and rows one to one.

    Args:
        attempts: of unknown outcome.
        rows: of the report.
        owned: ids that a message of ours has already.

    Returns:
        By message id its row, and whether the text was equal to the letter. Equal texts go first, then the nearest in
        time; an id settles at most one message.
    """
    by_phone: dict[str, list[ReportRow]] = {}
    for row in rows:
        if row.id_mensaje not in owned:
            by_phone.setdefault(row.phone, []).append(row)
    pairs: list[tuple[bool, dt.timedelta, int, int, ReportRow]] = []
    for attempt in attempts:
        for row in by_phone.get(digits(attempt.phone), []):
            strict = row.text == attempt.text
            if _in_window(attempt, row) and (strict or _alike(attempt.text, row.text)):
                pairs.append((not strict, _distance(attempt, row), row.id_mensaje, attempt.message_id, row))
    found: dict[int, tuple[ReportRow, bool]] = {}
    taken: set[int] = set()
    for loose, _, id_mensaje, message_id, row in sorted(pairs, key=lambda pair: pair[:4]):
        if message_id not in found and id_mensaje not in taken:
            found[message_id] = (row, not loose)
            taken.add(id_mensaje)
    return found


def undated(attempts: Sequence[Attempt], rows: Iterable[ReportRow], owned: Collection[int]) -> set[int]:
    """The message ids of attempts that a row without a readable date may be: not found, but not absent either."""
    without = [row for row in rows if row.fecha_envio is None and row.id_mensaje not in owned]
    return {
        attempt.message_id
        for attempt in attempts
        for row in without
        if row.phone == digits(attempt.phone) and _alike(attempt.text, row.text)
    }


def digits(phone: str) -> str:
    """A phone as the provider knows it, or as it is where it is none."""
    if _TEN_DIGITS.fullmatch(phone):
        return phone  # as enqueue stores it; parsing costs a hundred times more
    try:
        return normalize_phone(phone)
    except InvalidPhone:
        return phone  # of a plain INSERT; it will not be sent


def _mended(text: str) -> str:
    """The text before its UTF-8 was read as Windows-1252 or Latin-1, where that is what happened."""
    return text if text.isascii() else _MISREAD.sub(_read_again, text)


def _read_again(misread: re.Match[str]) -> str:
    try:
        return b"".join(char.encode("latin-1" if char <= "\xff" else "cp1252") for char in misread[0]).decode()
    except UnicodeError:
        return misread[0]


def _alike(ours: str, theirs: str) -> bool:
    return tolerant(ours) == tolerant(theirs)


def _in_window(attempt: Attempt, row: ReportRow) -> bool:
    # A row whose date nobody can read proves nothing about when it was accepted.
    return row.fecha_envio is not None and attempt.since - SLACK <= row.fecha_envio <= attempt.until + SLACK


def _distance(attempt: Attempt, row: ReportRow) -> dt.timedelta:
    if row.fecha_envio is None:
        return dt.timedelta.max
    return abs(row.fecha_envio - attempt.since)
