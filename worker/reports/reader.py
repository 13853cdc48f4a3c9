"""Read one report of the provider, row by row. Every step that reads reports does it through here.

No transaction may be open meanwhile: a report can take minutes.
"""

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable

from smsclick.errors import ProviderError
from smsclick.provider.client import SmsclickClient
from smsclick.provider.results import ReportRow, UnreadableRow
from worker.reports.windows import MOST_REPORT_ROWS


@dataclasses.dataclass(frozen=True, slots=True)
class ReportEnd:
    """How the reading of a report ended.

    Attributes:
        rows: how many rows were read.
        complete: whether these are all rows of the report. Only then a row that did not come is not in the report.
        interrupted: whether the caller ended it.
        error: why the provider did not give the rest; None where that was not the reason.
    """

    rows: int
    complete: bool = False
    interrupted: bool = False
    error: ProviderError | None = None


def read_report(
    client: SmsclickClient,
    begin: dt.datetime,
    end: dt.datetime,
    add: Callable[[ReportRow | UnreadableRow], object],
    *,
    statuses: Iterable[int] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> ReportEnd:
    """Request one report and pass each of its rows on as it comes.

    Args:
        client: the provider's.
        begin: the first instant of the report's span.
        end: the last instant, included.
        add: receives each row.
        statuses: request only messages with one of these; None requests all.
        stop: is asked after each row; where it returns true, the rest is not read.

    Returns:
        How it ended. A provider's error is returned, not raised, because the rows before it are true.
    """
    rows = 0
    try:
        with contextlib.closing(client.report_rows(begin, end, statuses)) as report:
            for row in report:
                rows += 1
                add(row)
                if stop():
                    return ReportEnd(rows, interrupted=True)
                if rows >= MOST_REPORT_ROWS:
                    return ReportEnd(rows)
    except ProviderError as error:
        return ReportEnd(rows, error=error)
    return ReportEnd(rows, complete=True)
