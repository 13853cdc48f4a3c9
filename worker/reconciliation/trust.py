"""Whether a report's silence proves anything: control rows, and what they teach. Pure functions and values.

A control row is a message of ours whose id the provider gave us: the report must have it, and it must look as the
matching rule expects. A report that lacks one, or shows one in another form, would have been silent about the unknown
attempt too. See docs/decisions/0029-earned-absence.md for the numbers.
"""

import bisect
import dataclasses
import datetime as dt
import enum
import re
from collections.abc import Collection, Iterable, Sequence

from smsclick.provider.results import ReportRow, UnreadableRow
from worker.lifecycle import on_report
from worker.lifecycle.fingerprint import digits
from worker.reports import matching
from worker.reports.matching import PLAIN, SLACK, Attempt, Form, alike, readings

LEAST_CONTROLS = 3
"""Control rows that a report must hold before its silence counts, one before and one after the attempt among them."""

NEAR = dt.timedelta(hours=24)
"""How long before an attempt the control rows in front of it may have been accepted."""

LEAST_WITH_BALANCE, FAR = 2, dt.timedelta(days=31)
"""The same two where the balance is a second witness (`worker.account.books`): one before, one after, however old."""

_LEARN_FROM = 3
_MOST_ODD = 1000
_TEN = 10
_WHOLE_PHONE = re.compile(r"[0-9]{10}")


class Doubt(enum.StrEnum):
    """Why a report's silence about an attempt proves nothing; kept with the message."""

    SETTLING = "settling"
    NO_REPORT = "no_report"
    NO_CONTROLS = "no_control_rows"
    NOT_YET = "control_rows_late"
    MISSING = "rows_missing"
    CAPPED = "report_capped"
    PHONES = "phones_changed"
    TEXTS = "texts_changed"
    DATES = "dates_shifted"
    ODD = "unreadable_rows"
    LAG = "report_lag"
    ACCOUNT = "account_changed"
    SIMILAR = "similar_row"
    REPEATED_HOUR = "repeated_hour"
    CLOCK = "clock_not_watched"
    TOO_LONG = "span_too_long"
    TWICE = on_report.ABSENT_TWICE
    WITHOUT_ID = on_report.ACCEPTED_WITHOUT_ID


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """What a `Doubt` says to a person: why, and what to do; each a line without its full stop."""

    why: str
    todo: str


_BY_HAND = "settle each by hand: smsclick settle ID --accepted ID_MENSAJE or --not-accepted"
REASONS = {
    Doubt.SETTLING: Reason(
        "it is younger than SMSCLICK_SETTLE_SECONDS, within which the report may still show it",
        "wait",
    ),
    Doubt.NO_REPORT: Reason(
        "the provider's report fails or cannot be read",
        "try `smsclick report FROM TO` for the time of the attempt and ask SMSClick; it is read again by itself",
    ),
    Doubt.NO_CONTROLS: Reason(
        "no control rows: too few messages of known id were accepted before and after it to test the report with",
        f"wait for further messages to be sent, or {_BY_HAND}",
    ),
    Doubt.NOT_YET: Reason(
        "messages that were accepted after it are not in the report yet",
        "wait: it is read again by itself",
    ),
    Doubt.MISSING: Reason(
        "the report lacks messages that were accepted for sure (it may be capped)",
        f"compare `smsclick report FROM TO` with SMSClick's panel and ask them; {_BY_HAND}",
    ),
    Doubt.CAPPED: Reason(
        "the end of the report may be cut off: no control row stands behind so many rows",
        f"wait for further messages to be sent, or {_BY_HAND}",
    ),
    Doubt.PHONES: Reason(
        "phones are masked or changed in the report, so no row can be recognised",
        f"ask SMSClick for whole phones in reports; {_BY_HAND}",
    ),
    Doubt.TEXTS: Reason(
        "texts have another form in the report, and not the same words around each",
        f"compare `smsclick report FROM TO` with what was sent and ask SMSClick; {_BY_HAND}",
    ),
    Doubt.DATES: Reason(
        "dates are shifted in the report",
        "check SMSCLICK_TIMEZONE and the zone files of this machine (smsclick doctor), then restart the workers",
    ),
    Doubt.ODD: Reason(
        "the report has rows that cannot be read, of the same phone or of none, and each could be it",
        f"look at them with `smsclick report FROM TO`; {_BY_HAND}",
    ),
    Doubt.LAG: Reason(
        "the incident report_lag is open: the report shows messages late, or not at all",
        "see that incident; it is read again by itself",
    ),
    Doubt.CLOCK: Reason(
        "no process watched the database's clock all the time since it, so nobody knows how old it is",
        "wait: SMSCLICK_SETTLE_SECONDS after the workers' start it is judged",
    ),
    Doubt.ACCOUNT: Reason(
        "the APIKEY has changed since it was sent, and the report does not prove that the account is the same",
        f"give the old key back until they are settled, or {_BY_HAND}",
    ),
    Doubt.SIMILAR: Reason(
        "the report has a row of equal phone and text that could be it, but not for sure",
        f"look at it with `smsclick report FROM TO`; {_BY_HAND}",
    ),
    Doubt.REPEATED_HOUR: Reason(
        "the provider's clocks show this hour twice (end of summer time), so dates mean two moments",
        "wait: the report is read again when the hour is over",
    ),
    Doubt.TOO_LONG: Reason(
        "it is so old that the report from then to now is too long to be read at once",
        _BY_HAND,
    ),
    Doubt.TWICE: Reason(
        f"the report did not have it {on_report.MOST_ABSENCES} times already: a person decides",
        f"ask SMSClick why its report lacks attempts of this message; {_BY_HAND}",
    ),
    Doubt.WITHOUT_ID: Reason(
        "the provider said that it accepted it, but gave no id that could be kept",
        f"find it in SMSClick's panel; {_BY_HAND}",
    ),
}
"""What each doubt says."""


def reason(code: str | None) -> Reason | None:
    """The reason of a code as it stands in the table; None where there is none, or of a newer version."""
    return REASONS[Doubt(code)] if code in set(Doubt) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """A message of ours that the provider accepted between `since` and `until`, by the database's clock.

    Attributes:
        witness: whether its id came with the answer to its request, under the key of the attempts in question; one
            that was found in a report tells nothing about what reports leave out.
    """

    id_mensaje: int
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    since: dt.datetime
    until: dt.datetime
    witness: bool = True


class _Look(enum.IntEnum):
    """How a control row looks; the highest explains most."""

    RECOGNISED = 0
    FORM = 1
    """Not by its text as it is; perhaps by the form that is learned."""
    MISSING = 2
    ODD = 3
    PHONE = 4
    DATE = 5


_DOUBTS = {_Look.ODD: Doubt.ODD, _Look.PHONE: Doubt.PHONES, _Look.DATE: Doubt.DATES}


@dataclasses.dataclass(frozen=True, slots=True)
class _Judged:
    since: dt.datetime
    until: dt.datetime
    witness: bool
    look: _Look


@dataclasses.dataclass(frozen=True, slots=True)
class _Odd:
    """A row that cannot be read as a whole: what it says of itself. Without a phone it may be of any."""

    id_mensaje: int | None
    at: dt.datetime | None
    phone: str | None = dataclasses.field(repr=False)


class Reading:
    """What one pass over the report showed, from `begin` to `read_at`; rows are taken as they come.

    Args:
        phones: of the attempts that are asked about, as `digits` gives them.
        controls: what the report must have.
        begin: the first moment that the report is asked for.
        read_at: when it is asked for, by the database's clock.
    """

    def __init__(
        self, phones: Collection[str], controls: Iterable[Control], begin: dt.datetime, read_at: dt.datetime
    ) -> None:
        self.begin = begin
        self.read_at = read_at
        self.rows: list[ReportRow] = []
        """Those of the phones in question that are no control row."""
        self.count = 0
        """Rows that came."""
        self.failed: Doubt | None = None
        """Why the pass came to no end; then nothing is concluded from it."""
        self.unsure: Doubt | None = None
        """Why no silence of this pass counts, although it was read."""
        self.end_is_open = False
        """Whether a cap could have cut rows off behind the last control row."""
        self.dates_are_shifted = False
        """Whether a control row has another date than we know; then no date of this report proves presence either."""
        self.apart: float | None = None
        """By how many seconds the last such date is ahead of ours."""
        self.last_seen: dt.datetime | None = None
        """The latest date of a control row, as the report gives it."""
        self._phones = frozenset(phones)
        self._open = {control.id_mensaje: control for control in controls}
        self._judged: list[_Judged] = []
        self._odd: list[_Odd] = []
        self._many_odd = False
        self._strict = 0
        self._learned: list[Form] | None = None
        self._learned_from = 0
        self._sorted: list[_Judged] | None = None

    # --- While it is read

    def take(self, row: ReportRow | UnreadableRow) -> None:
        """Take the next row, in any order; one that comes twice counts once."""
        self.count += 1
        control = None if row.id_mensaje is None else self._open.pop(row.id_mensaje, None)
        if control is not None:
            self._sorted = None
            self._judged.append(_Judged(control.since, control.until, control.witness, self._look(control, row)))
            return
        if isinstance(row, ReportRow) and row.phone in self._phones:
            self.rows.append(row)
        if isinstance(row, UnreadableRow) or row.estatus is None or row.fecha_envio is None or len(row.phone) < _TEN:
            self._take_odd(row)

    def _take_odd(self, row: ReportRow | UnreadableRow) -> None:
        phone = row.phone if row.phone is not None and _WHOLE_PHONE.fullmatch(row.phone) else None
        if phone is not None and phone not in self._phones:
            return  # surely of another phone: phones are shown as they are, or the control rows void absence
        if len(self._odd) < _MOST_ODD:
            self._odd.append(_Odd(row.id_mensaje, row.fecha_envio, phone))
        else:
            self._many_odd = True

    def times(self) -> list[dt.datetime]:
        """When the control rows were accepted, in order."""
        return [control.until for control in sorted(self._open.values(), key=_until)]

    @property
    def missing(self) -> list[Control]:
        """The control rows that have not come."""
        return list(self._open.values())

    def _look(self, control: Control, row: ReportRow | UnreadableRow) -> _Look:
        if isinstance(row, UnreadableRow) or row.fecha_envio is None:
            return _Look.ODD
        if self.last_seen is None or row.fecha_envio > self.last_seen:
            self.last_seen = row.fecha_envio
        if row.phone != digits(control.phone):
            return _Look.PHONE
        if not any(control.since - SLACK <= at <= control.until + SLACK for at in readings(row)):
            self.dates_are_shifted = True
            self.apart = (row.fecha_envio - control.until).total_seconds()
            return _Look.DATE
        if row.text == control.text:
            self._strict += 1
            return _Look.RECOGNISED
        if alike(control.text, row.text):
            return _Look.RECOGNISED
        self._learn(control.text, row.text)
        return _Look.FORM

    def _learn(self, ours: str, theirs: str) -> None:
        if self._learned is None:
            self._learned = matching.forms(ours, theirs)
        else:
            self._learned = [form for form in self._learned if form.fits(ours, theirs)]
        self._learned_from += 1

    # --- What it means

    @property
    def form(self) -> Form:
        """By which words around a text the unknown is to be recognised: what all control rows agree on."""
        if self._learned and self._learned_from >= _LEARN_FROM and not self._strict:
            return self._learned[0]
        return PLAIN

    @property
    def odd_ids(self) -> list[int]:
        """Ids of rows that cannot be read and may be of these phones; owned ones are in nobody's way."""
        return [odd.id_mensaje for odd in self._odd if odd.id_mensaje is not None]

    def doubt(
        self, attempt: Attempt, owned: Collection[int], settle: dt.timedelta, *, balanced: bool = False
    ) -> Doubt | None:
        """Why this reading's silence about an attempt proves nothing; None where it has earned that it counts.

        Args:
            attempt: that no row was found for.
            owned: ids of the rows that a message of ours has.
            settle: how late a report may show what was accepted.
            balanced: whether the account's balance proves that the attempt was not charged.
        """
        if self.failed is not None:
            return self.failed
        least, near = (LEAST_WITH_BALANCE, FAR) if balanced else (LEAST_CONTROLS, NEAR)
        doubt = self._doubt_of_controls(attempt, settle, least, near) or self.unsure
        if doubt is None and self.end_is_open:
            doubt = Doubt.CAPPED
        if doubt is None and self._has_odd(attempt, owned):
            doubt = Doubt.ODD
        return doubt

    def proves_account(self, settle: dt.timedelta) -> bool:
        """Whether this report is that of the witnesses' account: it has one of them, as we know it, and lacks none."""
        witnesses = [each for each in self._controls() if each.witness]
        lost = any(each.look is _Look.MISSING and each.until <= self.read_at - settle for each in witnesses)
        return not lost and any(each.look is _Look.RECOGNISED for each in witnesses)

    def doubt_of_all(self, settle: dt.timedelta) -> Doubt | None:
        """Why the control rows void absence, whatever attempt is asked about; None where all are as expected."""
        return self._doubt_of(self._controls(), settle)

    def _doubt_of_controls(
        self, attempt: Attempt, settle: dt.timedelta, least: int, near: dt.timedelta
    ) -> Doubt | None:
        controls = self._controls()
        witnesses = [each for each in controls[: _index(controls, attempt.since)] if each.witness]
        nearest = [each for each in witnesses if each.since >= attempt.since - near][-least:]
        begin = min([attempt.since, *(each.since for each in nearest)])
        within = [each for each in controls if each.since >= begin]
        # What is younger than that may still be on its way into the report.
        needed_until = max(attempt.until + settle, self.read_at - settle)
        needed = [each for each in within if each.look is not _Look.MISSING or each.until <= needed_until]
        doubt = self._doubt_of(needed, settle)
        if doubt is not None:
            return doubt
        seen = [each for each in needed if each.witness]
        before = any(each.until <= attempt.since for each in seen)
        after = any(each.since >= attempt.until for each in seen)
        if before and after and len(seen) >= least:
            return None
        # Those that could do it may be on their way into the report; none that comes now lies before the attempt.
        return Doubt.NOT_YET if before and any(each.look is _Look.MISSING for each in within) else Doubt.NO_CONTROLS

    def _doubt_of(self, needed: Sequence[_Judged], settle: dt.timedelta) -> Doubt | None:
        worst = max((each.look for each in needed), default=_Look.RECOGNISED)
        if worst in _DOUBTS:
            return _DOUBTS[worst]
        if worst is _Look.MISSING and self.dates_are_shifted:
            return Doubt.DATES
        if worst is _Look.MISSING:
            late = any(each.until <= self.read_at - settle for each in needed if each.look is _Look.MISSING)
            return Doubt.MISSING if late else Doubt.NOT_YET
        if self.form is PLAIN and any(each.look is _Look.FORM for each in needed):
            return Doubt.TEXTS
        return None

    def _controls(self) -> list[_Judged]:
        if self._sorted is None:
            lost = (_Judged(each.since, each.until, each.witness, _Look.MISSING) for each in self._open.values())
            self._sorted = sorted([*self._judged, *lost], key=_until)
        return self._sorted

    def _has_odd(self, attempt: Attempt, owned: Collection[int]) -> bool:
        begin = attempt.since - SLACK
        phone = digits(attempt.phone)
        return self._many_odd or any(
            (odd.id_mensaje is None or odd.id_mensaje not in owned)
            and (odd.at is None or odd.at >= begin)
            and odd.phone in {None, phone}
            for odd in self._odd
        )


def _until(each: _Judged | Control) -> dt.datetime:
    return each.until


def _index(controls: Sequence[_Judged], moment: dt.datetime) -> int:
    return bisect.bisect_right(controls, moment, key=_until)
