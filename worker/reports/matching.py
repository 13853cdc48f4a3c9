"""Which row of the provider's report is which attempt of ours. Pure functions.

The report does not show any key of ours, so phone, text and time decide. A row is an attempt if

- its phone is the attempt's, digit by digit,
- its text is the attempt's, equal or alike (`worker.lifecycle.fingerprint.tolerant`), after the words are removed that
  the provider puts around every text (`TextForm`),
- its date lies within the time in which the provider can have accepted the attempt, and
- no message of ours owns its id.

Two messages with the same content are never in flight together (`wire_key`), so a row fits one attempt of ours. A row
that another system sent with the same APIKEY is excluded by its date.
"""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Sequence

from smsclick.provider.results import ReportRow
from worker.lifecycle.fingerprint import digits, tolerant

CLOCK_TOLERANCE = dt.timedelta(seconds=90)
"""How far the provider's clock and the database's clock may be apart."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of unknown outcome.

    Attributes:
        message_id: our row's id.
        phone: as our row has it.
        text: as our row has it.
        since: the earliest time at which the provider can have accepted it, by the database's clock.
        until: when the call ended without an answer, by the database's clock.
    """

    message_id: int
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    since: dt.datetime
    until: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class TextForm:
    """Words that the provider puts around every text, as the control rows of a report show them."""

    prefix: str = dataclasses.field(default="", repr=False)
    suffix: str = dataclasses.field(default="", repr=False)

    def strip(self, theirs: str) -> str | None:
        """Remove these words from a text of the report; returns None where the text does not have them."""
        if len(theirs) < len(self.prefix) + len(self.suffix):
            return None
        if not theirs.startswith(self.prefix) or not theirs.endswith(self.suffix):
            return None
        return theirs[len(self.prefix) : len(theirs) - len(self.suffix)]

    def fits(self, ours: str, theirs: str) -> bool:
        """Return whether a text of the report is this text of ours with these words around it."""
        inner = self.strip(theirs)
        return inner is not None and (inner == ours or alike(inner, ours))


UNCHANGED_FORM = TextForm()
"""The form of a provider that shows texts as they were sent."""

_LONGEST_AFFIX_CHARACTERS = 60


def possible_forms(ours: str, theirs: str) -> list[TextForm]:
    """Return every form that makes that text of the report from this text of ours, the simplest form first."""
    found: list[TextForm] = []
    place = theirs.find(ours) if ours else -1
    if place >= 0 and len(theirs) - len(ours) <= 2 * _LONGEST_AFFIX_CHARACTERS:
        found.append(TextForm(theirs[:place], theirs[place + len(ours) :]))
    for length in range(1, min(_LONGEST_AFFIX_CHARACTERS, len(theirs)) + 1):
        found += [
            form
            for form in (TextForm(theirs[:length], ""), TextForm("", theirs[-length:]))
            if form not in found and form.fits(ours, theirs)
        ]
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """A row of the report that is an attempt of ours.

    Attributes:
        row: the row.
        how: by what the attempt was recognised, in a few words for the event.
    """

    row: ReportRow
    how: str

    def accepted_at(self, attempt: Attempt) -> dt.datetime:
        """Return when it was accepted: of two times that its date may mean, the one nearer to the attempt."""
        return min(possible_times(self.row), key=lambda at: abs(at - attempt.since))


_HOW_BY_TEXT = {(False, False): "phone and text equal", (True, False): "phone equal, text alike"}
_HOW_BY_FORM = "phone equal, text in the form that all others have"


def match_rows(
    attempts: Sequence[Attempt],
    rows: Iterable[ReportRow],
    owned: Collection[int],
    *,
    form: TextForm = UNCHANGED_FORM,
    read_at: dt.datetime | None = None,
) -> dict[int, Match]:
    """Match attempts and rows one to one.

    Equal texts are matched before alike ones, and near dates before distant ones.

    Args:
        attempts: attempts of unknown outcome.
        rows: rows of the report.
        owned: ids that messages of ours already have.
        form: the words that this report puts around every text.
        read_at: when the report was requested. The provider may accept a request long after the call was given up, so
            rows dated up to then count. None: only rows dated within the attempt count.

    Returns:
        The match of each message id that has one. A row matches at most one message.
    """
    by_phone = _by_phone(rows, owned)
    pairs: list[tuple[bool, dt.timedelta, int, int, ReportRow]] = []
    for attempt in attempts:
        for row in by_phone.get(digits(attempt.phone), []):
            inner = form.strip(row.text)
            if inner is None or not _surely_within(attempt, row, read_at):
                continue
            equal = inner == attempt.text
            if equal or alike(attempt.text, inner):
                pairs.append((not equal, _distance(attempt, row), row.id_mensaje, attempt.message_id, row))
    found: dict[int, Match] = {}
    matched: set[int] = set()
    for only_alike, _, id_mensaje, message_id, row in sorted(pairs, key=lambda pair: pair[:4]):
        if message_id not in found and id_mensaje not in matched:
            found[message_id] = Match(row, _HOW_BY_TEXT.get((only_alike, form is not UNCHANGED_FORM), _HOW_BY_FORM))
            matched.add(id_mensaje)
    return found


def possibly_present(
    attempts: Sequence[Attempt],
    rows: Iterable[ReportRow],
    owned: Collection[int],
    *,
    form: TextForm = UNCHANGED_FORM,
    read_at: dt.datetime | None = None,
) -> set[int]:
    """Find attempts that a row may be, but not for sure: phone and text fit, date or form do not prove it.

    Args:
        attempts: those without a match.
        rows: rows of the report.
        owned: ids that messages have, including those that `match_rows` has just found.
        form: as in `match_rows`.
        read_at: as in `match_rows`.

    Returns:
        Their message ids.
    """
    by_phone = _by_phone(rows, owned)
    return {
        attempt.message_id
        for attempt in attempts
        for row in by_phone.get(digits(attempt.phone), [])
        if _perhaps_within(attempt, row, read_at)
        and (alike(attempt.text, row.text) or form.fits(attempt.text, row.text))
    }


def possible_times(row: ReportRow, read_at: dt.datetime | None = None) -> list[dt.datetime]:
    """Return the times that a row's date may mean.

    Args:
        row: a row of the report.
        read_at: when the report was requested; a time later than this, plus the tolerance, is not possible.

    Returns:
        No time, one, or two. Two where the provider's local clock showed that hour twice (end of summer time).
    """
    both = (row.fecha_envio, row.fecha_envio_later)
    return [at for at in both if at is not None and (read_at is None or at <= read_at + CLOCK_TOLERANCE)]


def alike(ours: str, theirs: str) -> bool:
    """Return whether two texts are the same in their tolerant form."""
    return tolerant(ours) == tolerant(theirs)


def _by_phone(rows: Iterable[ReportRow], owned: Collection[int]) -> dict[str, list[ReportRow]]:
    found: dict[str, list[ReportRow]] = {}
    for row in rows:
        if row.id_mensaje not in owned:
            found.setdefault(row.phone, []).append(row)
    return found


def _within(attempt: Attempt, at: dt.datetime, read_at: dt.datetime | None) -> bool:
    until = attempt.until if read_at is None else max(attempt.until, read_at)
    return attempt.since - CLOCK_TOLERANCE <= at <= until + CLOCK_TOLERANCE


def _surely_within(attempt: Attempt, row: ReportRow, read_at: dt.datetime | None) -> bool:
    """Whether the attempt can have been accepted at every time that the row's date may mean."""
    possible = possible_times(row, read_at)
    return bool(possible) and all(_within(attempt, at, read_at) for at in possible)


def _perhaps_within(attempt: Attempt, row: ReportRow, read_at: dt.datetime | None) -> bool:
    """Whether the attempt can have been accepted at one of those times, or the row has no readable date."""
    return row.fecha_envio is None or any(_within(attempt, at, read_at) for at in possible_times(row, read_at))


def _distance(attempt: Attempt, row: ReportRow) -> dt.timedelta:
    return min(abs(at - attempt.since) for at in possible_times(row))
