"""Control rows: what the report must show, and how it shows it. Pure functions and values.

A control row is a row of the report for a message of ours whose id the provider gave us. We know that the provider
accepted it, and when, so the report must have it. And we know its phone and text, so it shows whether the rule that
looks for unknown attempts (`worker.reports.matching`) would recognise a row of this report.
"""

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable

from smsclick.provider.results import ReportRow, UnreadableRow
from worker.lifecycle.fingerprint import digits
from worker.reconciliation.learned_form import FormLearner
from worker.reports.matching import CLOCK_TOLERANCE, TextForm, alike, possible_times


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """A message of ours that the report must show.

    Attributes:
        id_mensaje: the provider's id.
        phone: as our row has it.
        text: as our row has it.
        since: the earliest time at which the provider can have accepted it, by the database's clock.
        until: the latest such time.
        witness: whether it can prove that the report is complete. It can if its id came with the answer to its own
            request, made with the APIKEY of the attempts in question. An id that was found in a report proves nothing
            about what reports leave out.
    """

    id_mensaje: int
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    since: dt.datetime
    until: dt.datetime
    witness: bool = True


class Appearance(enum.IntEnum):
    """How a report shows a control row. Of several, the highest number explains best why a report proves nothing."""

    RECOGNISED = 0
    OTHER_TEXT = 1
    """Its text is another one; perhaps the learned form explains it."""
    MISSING = 2
    UNREADABLE = 3
    OTHER_PHONE = 4
    OTHER_DATE = 5


@dataclasses.dataclass(frozen=True, slots=True)
class SeenControl:
    """A control row, and how the report shows it."""

    since: dt.datetime
    until: dt.datetime
    witness: bool
    appearance: Appearance


def accepted_until(each: SeenControl | Control) -> dt.datetime:
    """Return the latest time at which it can have been accepted: control rows are ordered by it."""
    return each.until


class ControlRows:
    """The control rows of one reading.

    Args:
        controls: the messages that the report must show.
    """

    def __init__(self, controls: Iterable[Control]) -> None:
        self.dates_are_shifted = False
        """Whether a control row has another date than we know. Then no date of this report proves presence either."""
        self.seconds_shifted: float | None = None
        """How far such a date is ahead of ours; negative where it is behind."""
        self.last_date: dt.datetime | None = None
        """The latest date of a control row, as the report shows it."""
        self._expected = {control.id_mensaje: control for control in controls}
        self._seen: list[SeenControl] = []
        self._learner = FormLearner()
        self._sorted: list[SeenControl] | None = None

    def add(self, row: ReportRow | UnreadableRow) -> bool:
        """Take in the next row of the report; returns whether it is a control row that was not seen before."""
        control = None if row.id_mensaje is None else self._expected.pop(row.id_mensaje, None)
        if control is None:
            return False
        self._sorted = None
        self._seen.append(SeenControl(control.since, control.until, control.witness, self._appearance(control, row)))
        return True

    @property
    def form(self) -> TextForm:
        """The words that all control rows have around their text."""
        return self._learner.form

    @property
    def missing(self) -> list[Control]:
        """The messages that the report has not shown."""
        return list(self._expected.values())

    @property
    def missing_times(self) -> list[dt.datetime]:
        """When these messages were accepted, in order."""
        return sorted(each.until for each in self._expected.values())

    @property
    def all(self) -> list[SeenControl]:
        """All of them, also the missing ones, in the order in which they were accepted."""
        if self._sorted is None:
            lost = (
                SeenControl(each.since, each.until, each.witness, Appearance.MISSING)
                for each in self._expected.values()
            )
            self._sorted = sorted([*self._seen, *lost], key=accepted_until)
        return self._sorted

    def _appearance(self, control: Control, row: ReportRow | UnreadableRow) -> Appearance:
        if isinstance(row, UnreadableRow) or row.fecha_envio is None:
            return Appearance.UNREADABLE
        if self.last_date is None or row.fecha_envio > self.last_date:
            self.last_date = row.fecha_envio
        if row.phone != digits(control.phone):
            return Appearance.OTHER_PHONE
        earliest, latest = control.since - CLOCK_TOLERANCE, control.until + CLOCK_TOLERANCE
        if not any(earliest <= at <= latest for at in possible_times(row)):
            self.dates_are_shifted = True
            self.seconds_shifted = (row.fecha_envio - control.until).total_seconds()
            return Appearance.OTHER_DATE
        if row.text == control.text:
            self._learner.add_unchanged()
            return Appearance.RECOGNISED
        if alike(control.text, row.text):
            return Appearance.RECOGNISED
        self._learner.add_changed(control.text, row.text)
        return Appearance.OTHER_TEXT
