"""Check whether this account's reports can prove that an attempt is absent, with messages whose id is known.

The control rows and the rule are those of `worker.reconciliation.reconcile`; only the unknown attempt is missing. The
check also shows whether SMSCLICK_TIMEZONE is right, which the comparison of our own clocks cannot show.
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
from worker.alerting.doubt_reasons import REASONS
from worker.lifecycle.doubt import Doubt
from worker.operator.doctor.check import Check, Verdict
from worker.reconciliation import control_queries
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS, LONGEST_BEFORE, Reading
from worker.reconciliation.control_rows import Control
from worker.reports.matching import CLOCK_TOLERANCE, UNCHANGED_FORM
from worker.reports.reader import read_report

NAME = "report"

_MOST_MESSAGES = 20
_TIMEOUT_SECONDS = 30.0


def check(settings: Settings) -> Check:
    """Read one report around the latest messages of known id and judge it; the provider sends nothing."""
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
        found = f"not checked: only {len(controls)} messages of known id were sent with this key in the last day"
        return Check(NAME, Verdict.SKIPPED, found, f"send {LEAST_CONTROL_ROWS} messages and run this again")
    with open_client(settings, key=key, longest=_TIMEOUT_SECONDS) as client:
        seen = _read(client, controls, now)
        if seen is None:
            reason = REASONS[Doubt.NO_REPORT]
            return Check(NAME, Verdict.FAILED, reason.why, reason.todo)
        shifted = seen.controls.seconds_shifted or _seconds_shifted_by_status(client, seen.controls.missing)
    return _judge(seen, len(controls), shifted, dt.timedelta(seconds=settings.settle_seconds))


def _newest(database: Database, fingerprint: str) -> list[Control]:
    with database.read() as connection:
        return control_queries.newest_witnesses(connection, fingerprint, LONGEST_BEFORE, _MOST_MESSAGES)


def _read(client: SmsclickClient, controls: list[Control], now: dt.datetime) -> Reading | None:
    begin = min(control.since for control in controls) - CLOCK_TOLERANCE
    end = max(control.until for control in controls) + CLOCK_TOLERANCE
    seen = Reading((), controls, now)
    return seen if read_report(client, begin, end, seen.add).complete else None


def _seconds_shifted_by_status(client: SmsclickClient, missing: list[Control]) -> float | None:
    """Return how many seconds `getMsg`'s date of a missing message differs from ours; None if it does not."""
    for control in missing[:1]:
        with contextlib.suppress(ProviderError, ProviderRefused):
            dated = client.status(control.id_mensaje).fecha_envio
            if dated is not None and not control.since - CLOCK_TOLERANCE <= dated <= control.until + CLOCK_TOLERANCE:
                return (dated - control.until).total_seconds()
    return None


def _judge(seen: Reading, tried: int, shifted: float | None, settle_window: dt.timedelta) -> Check:
    if shifted is not None:
        way = "ahead of" if shifted > 0 else "behind"
        found = f"the provider's dates are {span(round(abs(shifted) / 60) * 60)} {way} ours: no report can be matched"
        return Check(NAME, Verdict.FAILED, found, REASONS[Doubt.DATES].todo)
    doubt = seen.doubt_of_all(settle_window)
    if doubt is Doubt.NOT_YET:
        found = f"{len(seen.controls.missing)} of {tried} messages of known id are not in the report yet"
        return Check(NAME, Verdict.WARNING, found, f"run this again in {span(settle_window.total_seconds())}")
    if doubt is not None:
        found = f"reports cannot prove that an attempt is absent: {REASONS[doubt].why}"
        return Check(NAME, Verdict.WARNING, found, REASONS[doubt].todo)
    form = "" if seen.form is UNCHANGED_FORM else ", all with the same words around their text"
    found = f"it has {tried} of {tried} messages of known id as expected{form}: it can prove that an attempt is absent"
    return Check(NAME, Verdict.OK, found)
