"""Which id of the provider's report belongs to which attempt: a pure function, and the forms of a text it compares.

The report has no key of ours, so phone, text and time must do. In-flight duplicates (equal phone and text) are never
sent together, see `wire_key`, so a match is never ambiguous among our own; ids that other systems sent under the same
APIKEY are told apart by their time.
"""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Sequence

from smsclick.provider.results import ReportRow
from worker.lifecycle.fingerprint import digits, tolerant

SLACK = dt.timedelta(seconds=90)
"""By how much the provider's clock may differ from the database's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of unknown outcome: accepted, if at all, between `since` and `until` by the database's clock."""

    message_id: int
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    since: dt.datetime
    until: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """Words that a provider puts around every text, as the control rows of a report show them."""

    prefix: str = dataclasses.field(default="", repr=False)
    suffix: str = dataclasses.field(default="", repr=False)

    def strip(self, theirs: str) -> str | None:
        """A text of the report without these words; None where it does not have them."""
        if len(theirs) < len(self.prefix) + len(self.suffix):
            return None
        if not theirs.startswith(self.prefix) or not theirs.endswith(self.suffix):
            return None
        return theirs[len(self.prefix) : len(theirs) - len(self.suffix)]

    def fits(self, ours: str, theirs: str) -> bool:
        """Whether a text of the report is one of ours with these words around it."""
        inner = self.strip(theirs)
        return inner is not None and (inner == ours or alike(inner, ours))


PLAIN = Form()
"""A provider that shows texts as they were sent."""

_LONGEST_AFFIX = 60


def forms(ours: str, theirs: str) -> list[Form]:
    """Every form by which a text of ours can have become one of the report's, what needs least changes first."""
    found: list[Form] = []
    place = theirs.find(ours) if ours else -1
    if place >= 0 and len(theirs) - len(ours) <= 2 * _LONGEST_AFFIX:
        found.append(Form(theirs[:place], theirs[place + len(ours) :]))
    for length in range(1, min(_LONGEST_AFFIX, len(theirs)) + 1):
        found += [
            form
            for form in (Form(theirs[:length], ""), Form("", theirs[-length:]))
            if form not in found and form.fits(ours, theirs)
        ]
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """A row of the report that is an attempt of ours.

    Attributes:
        how: by what it was recognised, in a few words for the event.
    """

    row: ReportRow
    how: str

    def at(self, attempt: Attempt) -> dt.datetime:
        """When it was accepted: of two moments that its date may mean the one nearer to the attempt."""
        return min(readings(self.row), key=lambda at: abs(at - attempt.since))


_HOW = {(False, False): "phone and text equal", (True, False): "phone equal, text alike"}


def match(
    attempts: Sequence[Attempt],
    rows: Iterable[ReportRow],
    owned: Collection[int],
    *,
    form: Form = PLAIN,
    read_at: dt.datetime | None = None,
) -> dict[int, Match]:
    """Match attempts and rows one to one.

    Args:
        attempts: of unknown outcome.
        rows: of the report.
        owned: ids that a message of ours has already.
        form: what this report puts around every text.
        read_at: when the report was asked for: a gateway may accept what it has given up until then. None: what was
            accepted with the attempt only.

    Returns:
        By message id its row. Equal texts go first, then the nearest in time; an id settles at most one message.
    """
    by_phone = _by_phone(rows, owned)
    pairs: list[tuple[bool, dt.timedelta, int, int, ReportRow]] = []
    for attempt in attempts:
        for row in by_phone.get(digits(attempt.phone), []):
            inner = form.strip(row.text)
            if inner is None or not _surely_within(attempt, row, read_at):
                continue
            strict = inner == attempt.text
            if strict or alike(attempt.text, inner):
                pairs.append((not strict, _distance(attempt, row), row.id_mensaje, attempt.message_id, row))
    found: dict[int, Match] = {}
    taken: set[int] = set()
    for loose, _, id_mensaje, message_id, row in sorted(pairs, key=lambda pair: pair[:4]):
        if message_id not in found and id_mensaje not in taken:
            how = _HOW.get((loose, form is not PLAIN), "phone equal, text in the form that all others have")
            found[message_id] = Match(row, how)
            taken.add(id_mensaje)
    return found


def similar(
    attempts: Sequence[Attempt],
    rows: Iterable[ReportRow],
    owned: Collection[int],
    *,
    form: Form = PLAIN,
    read_at: dt.datetime | None = None,
) -> set[int]:
    """The message ids of attempts that a row may be, which says so by its text but not for sure by date or form.

    Args:
        attempts: those that no row was found for.
        rows: of the report.
        owned: ids that a message has; those that `match` has just found included.
        form: as in `match`.
        read_at: as in `match`.
    """
    by_phone = _by_phone(rows, owned)
    return {
        attempt.message_id
        for attempt in attempts
        for row in by_phone.get(digits(attempt.phone), [])
        if _perhaps_within(attempt, row, read_at)
        and (alike(attempt.text, row.text) or form.fits(attempt.text, row.text))
    }


def readings(row: ReportRow, read_at: dt.datetime | None = None) -> list[dt.datetime]:
    """The moments that a row's date may mean: none, one, or two where the clocks showed that hour twice.

    Args:
        row: of a report.
        read_at: what is later than this, and the slack, cannot be meant.
    """
    both = (row.fecha_envio, row.fecha_envio_later)
    return [at for at in both if at is not None and (read_at is None or at <= read_at + SLACK)]


def _by_phone(rows: Iterable[ReportRow], owned: Collection[int]) -> dict[str, list[ReportRow]]:
    found: dict[str, list[ReportRow]] = {}
    for row in rows:
        if row.id_mensaje not in owned:
            found.setdefault(row.phone, []).append(row)
    return found


def alike(ours: str, theirs: str) -> bool:
    """Whether two texts are the same in their tolerant form."""
    return tolerant(ours) == tolerant(theirs)


def _within(attempt: Attempt, at: dt.datetime, read_at: dt.datetime | None) -> bool:
    until = attempt.until if read_at is None else max(attempt.until, read_at)
    return attempt.since - SLACK <= at <= until + SLACK


def _surely_within(attempt: Attempt, row: ReportRow, read_at: dt.datetime | None) -> bool:
    """Whether every moment that the row's date may mean is one at which the attempt can have been accepted."""
    possible = readings(row, read_at)
    return bool(possible) and all(_within(attempt, at, read_at) for at in possible)


def _perhaps_within(attempt: Attempt, row: ReportRow, read_at: dt.datetime | None) -> bool:
    return row.fecha_envio is None or any(_within(attempt, at, read_at) for at in readings(row, read_at))


def _distance(attempt: Attempt, row: ReportRow) -> dt.timedelta:
    return min(abs(at - attempt.since) for at in readings(row))
