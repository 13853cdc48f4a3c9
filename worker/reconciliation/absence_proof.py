"""Whether a report is complete enough to prove that an attempt is absent. Pure functions and values.

A report that lacks the unknown attempt proves absence only if it would have shown the attempt. Its control rows
(`worker.reconciliation.control_rows`) prove that:

- **Enough of them.** At least `LEAST_CONTROL_ROWS`, at least one accepted before the attempt began and one whose
  request left after the attempt ended. Where the account's balance also proves that the attempt was not charged
  (`worker.account.books`), one on each side is enough.
- **All of them.** Each control row that was accepted up to SETTLE after the attempt must be there, and each that is
  itself older than SETTLE. A younger one may still be on its way into the report: then the answer is "wait".
- **Recognised.** Each has the phone, the text and the date that the matching rule expects.

Everything else is a `Doubt`: the attempt stays `unknown`, with that reason. A doubt never affects presence, except that
shifted dates void both. See docs/decisions/0029-earned-absence.md for the numbers.
"""

import bisect
import datetime as dt
from collections.abc import Collection, Iterable, Sequence

from smsclick.provider.results import ReportRow, UnreadableRow
from worker.lifecycle.doubt import Doubt
from worker.reconciliation.control_rows import Appearance, Control, ControlRows, SeenControl, accepted_until
from worker.reconciliation.unreadable_rows import UnreadableRows
from worker.reports.matching import UNCHANGED_FORM, Attempt, TextForm

LEAST_CONTROL_ROWS = 3
"""Control rows that a report must have to prove absence."""
LONGEST_BEFORE = dt.timedelta(hours=24)
"""How long before the attempt its earlier control rows may have been accepted."""

LEAST_CONTROL_ROWS_WITH_BALANCE = 2
"""The same where the balance proves that the attempt was not charged."""
LONGEST_BEFORE_WITH_BALANCE = dt.timedelta(days=31)
"""The same where the balance proves that the attempt was not charged."""

_DOUBT_BY_APPEARANCE = {
    Appearance.UNREADABLE: Doubt.ODD,
    Appearance.OTHER_PHONE: Doubt.PHONES,
    Appearance.OTHER_DATE: Doubt.DATES,
}


class Reading:
    """What one pass over the report showed. Rows are added while they are read; then the verdicts can be asked for.

    Args:
        phones: the phones of the attempts in question, as `digits` gives them.
        controls: the messages that the report must show.
        read_at: when the report was requested, by the database's clock.
    """

    def __init__(self, phones: Collection[str], controls: Iterable[Control], read_at: dt.datetime) -> None:
        self.read_at = read_at
        self.controls = ControlRows(controls)
        self.unreadable = UnreadableRows(frozenset(phones))
        self.rows: list[ReportRow] = []
        """The rows to the phones in question that are no control rows: one of them may be an attempt."""
        self.row_count = 0
        """All rows that were read."""
        self.failed: Doubt | None = None
        """Why the pass was not read to its end. Then it proves nothing, neither presence nor absence."""
        self.unsure: Doubt | None = None
        """Why this pass cannot prove absence, although it was read to its end."""
        self.end_is_open = False
        """Whether the provider may have cut off rows behind the last control row."""
        self._phones = frozenset(phones)

    def add(self, row: ReportRow | UnreadableRow) -> None:
        """Take in the next row, in any order. A control row that comes twice counts once."""
        self.row_count += 1
        if self.controls.add(row):
            return
        if isinstance(row, ReportRow) and row.phone in self._phones:
            self.rows.append(row)
        self.unreadable.add(row)

    @property
    def form(self) -> TextForm:
        """The words around every text of this report, by which unknown attempts are to be recognised."""
        return self.controls.form

    def doubt(
        self, attempt: Attempt, owned: Collection[int], settle_window: dt.timedelta, *, balanced: bool = False
    ) -> Doubt | None:
        """Return why this reading does not prove that an attempt is absent; None where it proves it.

        Args:
            attempt: an attempt that no row matches.
            owned: ids of the rows that messages of ours have.
            settle_window: how long after it was accepted a message may be missing in the report.
            balanced: whether the account's balance proves that the attempt was not charged.
        """
        if self.failed is not None:
            return self.failed
        if balanced:
            doubt = self._doubt_of_controls(
                attempt, settle_window, LEAST_CONTROL_ROWS_WITH_BALANCE, LONGEST_BEFORE_WITH_BALANCE
            )
        else:
            doubt = self._doubt_of_controls(attempt, settle_window, LEAST_CONTROL_ROWS, LONGEST_BEFORE)
        if doubt is not None:
            return doubt
        if self.unsure is not None:
            return self.unsure
        if self.end_is_open:
            return Doubt.CAPPED
        return Doubt.ODD if self.unreadable.may_be(attempt, owned) else None

    def proves_account(self, settle_window: dt.timedelta) -> bool:
        """Return whether this is the report of the account that accepted the witnesses.

        It is if it shows one of them as we know it, and lacks none that is older than SETTLE.
        """
        witnesses = [each for each in self.controls.all if each.witness]
        lost = any(each.appearance is Appearance.MISSING and self._is_late(each, settle_window) for each in witnesses)
        return not lost and any(each.appearance is Appearance.RECOGNISED for each in witnesses)

    def doubt_of_all(self, settle_window: dt.timedelta) -> Doubt | None:
        """Return why the control rows void the absence of any attempt; None where all of them are as expected."""
        return self._doubt_of(self.controls.all, settle_window)

    def _doubt_of_controls(
        self, attempt: Attempt, settle_window: dt.timedelta, least: int, longest_before: dt.timedelta
    ) -> Doubt | None:
        """Judge the control rows around an attempt, from the nearest `least` witnesses before it up to now."""
        controls = self.controls.all
        place = bisect.bisect_right(controls, attempt.since, key=accepted_until)
        witnesses = [each for each in controls[:place] if each.witness]
        nearest = [each for each in witnesses if each.since >= attempt.since - longest_before][-least:]
        begin = min([attempt.since, *(each.since for each in nearest)])
        within = [each for each in controls if each.since >= begin]
        # A control row that was accepted later may still be on its way into the report.
        needed_until = max(attempt.until + settle_window, self.read_at - settle_window)
        needed = [each for each in within if each.appearance is not Appearance.MISSING or each.until <= needed_until]
        doubt = self._doubt_of(needed, settle_window)
        if doubt is not None:
            return doubt
        seen = [each for each in needed if each.witness]
        before = any(each.until <= attempt.since for each in seen)
        after = any(each.since >= attempt.until for each in seen)
        if before and after and len(seen) >= least:
            return None
        # Control rows on their way into the report can still prove it, but none of these lies before the attempt.
        on_the_way = any(each.appearance is Appearance.MISSING for each in within)
        return Doubt.NOT_YET if before and on_the_way else Doubt.NO_CONTROLS

    def _doubt_of(self, needed: Sequence[SeenControl], settle_window: dt.timedelta) -> Doubt | None:
        """Return what is wrong with the control rows that are needed."""
        worst = max((each.appearance for each in needed), default=Appearance.RECOGNISED)
        if worst in _DOUBT_BY_APPEARANCE:
            return _DOUBT_BY_APPEARANCE[worst]
        if worst is Appearance.MISSING:
            if self.controls.dates_are_shifted:
                return Doubt.DATES
            missing = [each for each in needed if each.appearance is Appearance.MISSING]
            return Doubt.MISSING if any(self._is_late(each, settle_window) for each in missing) else Doubt.NOT_YET
        if self.form is UNCHANGED_FORM and any(each.appearance is Appearance.OTHER_TEXT for each in needed):
            return Doubt.TEXTS
        return None

    def _is_late(self, missing: SeenControl, settle_window: dt.timedelta) -> bool:
        """Whether the report should have shown this control row by now."""
        return missing.until <= self.read_at - settle_window
