"""`smsclick doctor`: try on messages of known id whether this account's reports can prove that an attempt is absent.

The same control rows and the same rule as in `worker.reconciliation.reconcile`, without an unknown attempt. It also
tells whether SMSCLICK_TIMEZONE is right, which no comparison of two clocks of ours can.
"""

import contextlib
import datetime as dt

from smsclick._database.engine import Database
from smsclick._values.times import span
from smsclick.errors import ProviderError, ProviderRefused, SmsclickError
from smsclick.provider.account_client import open_client
from smsclick.provider.client import SmsclickClient
from smsclick.settings import Settings
from worker.account import account_key
from worker.lifecycle.doubt import Doubt
from worker.operator.doctor.check import Check, Verdict
from worker.reconciliation import reading
from worker.reconciliation.control_rows import Control
from worker.reconciliation.reasons import REASONS
from worker.reconciliation.trust import LEAST_CONTROL_ROWS, LONGEST_BEFORE, Reading
from worker.reports import windows
from worker.reports.matching import CLOCK_TOLERANCE, UNCHANGED_FORM

NAME = "report"

_TRIED = 20
_SECONDS = 30.0


def check(settings: Settings) -> Check:
    """Read one report around the newest messages of known id and say what it is worth; the provider sends nothing."""
    key = settings.require_api_key()
    database = Database(settings.database_url, threads=1)
    try:
        controls = _newest(database, account_key.fingerprint(key))
        now: dt.datetime = database.clock()
    except SmsclickError:
        return Check(NAME, Verdict.SKIPPED, "not checked: the database cannot be used")
    finally:
        database.dispose()
    if len(controls) < LEAST_CONTROL_ROWS:
        found = f"not tried: {len(controls)} messages of known id were sent with this key in the last day"
        return Check(
            NAME, Verdict.SKIPPED, found, f"send {LEAST_CONTROL_ROWS} and run this again: it tries the report on them"
        )
    with open_client(settings, key=key, longest=_SECONDS) as client:
        seen = _read(client, controls, now)
        if seen is None:
            reason = REASONS[Doubt.NO_REPORT]
            return Check(NAME, Verdict.FAILED, reason.why, reason.todo)
        apart = seen.controls.seconds_shifted or _apart_by_status(client, seen.controls.missing)
    return _judged(seen, len(controls), apart, dt.timedelta(seconds=settings.settle_seconds))


def _newest(database: Database, fingerprint: str) -> list[Control]:
    with database.read() as connection:
        return reading.newest_controls(connection, fingerprint, LONGEST_BEFORE, _TRIED)


def _read(client: SmsclickClient, controls: list[Control], now: dt.datetime) -> Reading | None:
    begin = min(control.since for control in controls) - CLOCK_TOLERANCE
    end = max(control.until for control in controls) + CLOCK_TOLERANCE
    seen = Reading((), controls, now)
    try:
        with contextlib.closing(client.report_rows(begin, end)) as rows:
            for count, row in enumerate(rows):
                seen.add(row)
                if count >= windows.MOST_REPORT_ROWS:
                    return None
    except ProviderError:
        return None
    return seen


def _apart_by_status(client: SmsclickClient, missing: list[Control]) -> float | None:
    """By how many seconds `getMsg` dates a message that the report lacks otherwise than we do."""
    for control in missing[:1]:
        with contextlib.suppress(ProviderError, ProviderRefused):
            dated = client.status(control.id_mensaje).fecha_envio
            if dated is not None and not control.since - CLOCK_TOLERANCE <= dated <= control.until + CLOCK_TOLERANCE:
                return (dated - control.until).total_seconds()
    return None


def _judged(seen: Reading, tried: int, apart: float | None, settle: dt.timedelta) -> Check:
    if apart is not None:
        way = "ahead of" if apart > 0 else "behind"
        found = f"the provider's dates are {span(round(abs(apart) / 60) * 60)} {way} ours: no report can be understood"
        return Check(NAME, Verdict.FAILED, found, REASONS[Doubt.DATES].todo)
    doubt = seen.doubt_of_all(settle)
    if doubt is Doubt.NOT_YET:
        found = f"{len(seen.controls.missing)} of {tried} messages of known id are not in the report yet"
        return Check(NAME, Verdict.WARNING, found, f"run this again in {span(settle.total_seconds())}")
    if doubt is not None:
        found = f"reports cannot prove that an attempt is absent: {REASONS[doubt].why}"
        return Check(NAME, Verdict.WARNING, found, REASONS[doubt].todo)
    form = "" if seen.form is UNCHANGED_FORM else ", all with the same words around their text"
    found = f"it has {tried} of {tried} messages of known id as expected{form}: it can prove that an attempt is absent"
    return Check(NAME, Verdict.OK, found)
