"""Judge what was read: present, absent, or why neither is proven. Pure functions and values.

An attempt is **present** if a row of the report matches it (`worker.reports.matching`) and the report's dates are not
shifted. It is **absent** if no row matches it and nothing makes the report's silence doubtful. Everything else is a
`Doubt`; the first one that applies is kept with the message. Whether absence then counts is decided by
`worker.lifecycle.on_report`: the report must have been requested SETTLE after the attempt.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from worker.account.books import Books
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.on_report import Found, NotFound
from worker.reconciliation.absence_proof import Reading
from worker.reconciliation.unknown_attempt import UnknownAttempt
from worker.reports import matching
from worker.reports.matching import Attempt, Match


@dataclasses.dataclass(frozen=True, slots=True)
class Lookup:
    """Attempts and what was read for them, not yet judged.

    Attributes:
        attempts: what was looked for.
        reading: what was read; None where no report could prove anything about them.
        doubt: why this reading cannot prove absence, whatever it shows; None after a pass up to now.
        other_key: whether they were sent with another APIKEY than the report was read with.
    """

    attempts: Sequence[UnknownAttempt]
    reading: Reading | None
    doubt: Doubt | None
    other_key: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What the database says when the verdict is recorded.

    Attributes:
        now: the database's time.
        owned: which ids of the report messages of ours have.
        report_lags: whether the incident `report_lag` is open.
        clock_trusted_since: from when on every jump of the database's clock would have been noticed; None: always.
        books: gives the account's balance, compared with its charges.
    """

    now: dt.datetime
    owned: AbstractSet[int]
    report_lags: bool
    clock_trusted_since: dt.datetime | None
    books: Callable[[], Books]


def judge(lookup: Lookup, facts: Facts, settle_window: dt.timedelta) -> dict[int, Found | NotFound]:
    """Return the verdict on each attempt, by its message's row id."""
    reading = lookup.reading
    if reading is None:
        return _none_found(lookup, facts, lookup.doubt or Doubt.NO_REPORT)
    if reading.failed is not None:
        return _none_found(lookup, facts, reading.failed)
    if lookup.other_key and not reading.proves_account(settle_window):
        return _none_found(lookup, facts, Doubt.ACCOUNT)
    found = _matches(lookup, reading, facts)
    owned = facts.owned | {match.row.id_mensaje for match in found.values()}
    missed = [each.attempt for each in lookup.attempts if each.attempt.message_id not in found]
    possible = matching.possibly_present(missed, reading.rows, owned, form=reading.form, read_at=reading.read_at)
    # If the database's clock was set back since, it says that the report was read later than it was.
    read_at = min(reading.read_at, facts.now)
    verdicts: dict[int, Found | NotFound] = {}
    for each in lookup.attempts:
        attempt = each.attempt
        match = found.get(attempt.message_id)
        if match is not None:
            verdicts[attempt.message_id] = Found(match.row.id_mensaje, match.accepted_at(attempt), match.how)
            continue
        doubts = (
            lookup.doubt,
            _doubt_of_report(lookup, reading, attempt, owned, settle_window, facts.books),
            Doubt.SIMILAR if attempt.message_id in possible else None,
            Doubt.ACCOUNT if each.account is None else None,
            Doubt.LAG if facts.report_lags else None,
            _doubt_of_clock(attempt, read_at, facts.clock_trusted_since, settle_window),
        )
        verdicts[attempt.message_id] = NotFound(read_at, next((doubt for doubt in doubts if doubt is not None), None))
    return verdicts


def _none_found(lookup: Lookup, facts: Facts, doubt: Doubt) -> dict[int, Found | NotFound]:
    return {each.attempt.message_id: NotFound(facts.now, doubt) for each in lookup.attempts}


def _matches(lookup: Lookup, reading: Reading, facts: Facts) -> dict[int, Match]:
    if reading.controls.dates_are_shifted:
        return {}
    attempts = [each.attempt for each in lookup.attempts]
    return matching.match_rows(attempts, reading.rows, facts.owned, form=reading.form, read_at=reading.read_at)


def _doubt_of_report(
    lookup: Lookup,
    reading: Reading,
    attempt: Attempt,
    owned: AbstractSet[int],
    settle_window: dt.timedelta,
    books: Callable[[], Books],
) -> Doubt | None:
    """Why the report does not prove absence; with too few control rows, the account's balance is a second proof."""
    doubt = reading.doubt(attempt, owned, settle_window)
    if doubt is not Doubt.NO_CONTROLS or lookup.doubt is not None:
        return doubt
    if lookup.other_key:
        # The report of another account may look perfect; only control rows of the attempt's own key exclude that.
        return Doubt.ACCOUNT
    if books().flaws(attempt, settle_window):
        return doubt
    return reading.doubt(attempt, owned, settle_window, balanced=True)


def _doubt_of_clock(
    attempt: Attempt, read_at: dt.datetime, trusted_since: dt.datetime | None, settle_window: dt.timedelta
) -> Doubt | None:
    """Whether the clock may have jumped since the attempt, so that SETTLE is not surely over."""
    if trusted_since is None or attempt.until >= trusted_since or read_at >= trusted_since + settle_window:
        return None
    return Doubt.CLOCK
