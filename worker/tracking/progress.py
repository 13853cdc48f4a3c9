"""How far the reports of a bracket came, and whether they can be trusted. Pure functions and values.

Reports are tested while they are used. Now and then `getMsg` is asked for one message that a report lacks. If it is
final, that message becomes the **probe**: reports list final messages, so the next report of its time must show it. If
that one lacks it too, reports are untrusted and `getMsg` is asked instead for a while.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping

from smsclick.provider.results import MessageStatus
from worker.lifecycle.on_status import PollFailed
from worker.reports import windows
from worker.reports.matching import CLOCK_TOLERANCE
from worker.reports.windows import Bracket, ReportSlice
from worker.tracking.tracked import Followed


@dataclasses.dataclass(frozen=True, slots=True)
class FinalStatuses:
    """What one report showed.

    Attributes:
        statuses: by the provider's id, the final statuses of the messages in question.
        rows: how many rows were read.
        complete: whether all rows were read, so that a message that is not in it is not final.
        interrupted: whether this process left it because it is stopping.
        failed: why the provider did not give all rows.
    """

    statuses: Mapping[int, MessageStatus]
    rows: int
    complete: bool
    interrupted: bool = False
    failed: PollFailed | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """What the reports of one round have come to.

    Attributes:
        cursor: the round is done up to messages sent at this time; None: the next report begins a new round.
        density: rows per second of the bracket's reports.
        probe: the message that the next report of its time must show.
        untrusted: whether a report lacked the probe.
        failed: why the last report failed; None where it did not.
        reads: reports that were read.
        final: messages that became final.
        stopped: whether the last report ended the round early.
    """

    cursor: dt.datetime | None
    density: float | None
    probe: Followed | None
    untrusted: bool = False
    failed: PollFailed | None = None
    reads: int = 0
    final: int = 0
    stopped: bool = False

    def after(self, report: FinalStatuses, span: ReportSlice, bracket: Bracket) -> "Progress":
        """Return the progress after one more report about this span."""
        length = span.last - span.first + bracket.margin_before + CLOCK_TOLERANCE
        density = windows.updated_density(self.density, report.rows, length)
        if not report.complete and report.rows and not report.interrupted:
            density *= 2  # The report was too long or broke off: a shorter one may be read to its end.
        probe, untrusted = self.probe, False
        if report.complete and probe is not None and span.first <= probe.sent_at <= span.last:
            untrusted, probe = probe.id_mensaje not in report.statuses, None
        return dataclasses.replace(
            self,
            cursor=span.last if report.complete and not untrusted else self.cursor,
            density=density,
            probe=probe,
            untrusted=untrusted,
            failed=report.failed,
            reads=self.reads + 1,
            stopped=not report.complete or untrusted,
        )

    def after_round(self, *, go_on_behind: dt.datetime | None, probe_before: Followed | None) -> "Progress":
        """Return the progress after the last report of what was claimed.

        Args:
            go_on_behind: where further messages of the bracket begin; None where there are none.
            probe_before: the probe before the first of these reports. If no report was about its time, the messages of
                that time are not followed any more and it can prove nothing.
        """
        unused = self.reads > 0 and go_on_behind is None and self.probe is probe_before
        return dataclasses.replace(self, cursor=go_on_behind, probe=None if unused else self.probe)
