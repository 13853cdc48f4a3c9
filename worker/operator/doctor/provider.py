"""Check whether SMSClick accepts the key, the balance, and the report."""

from collections.abc import Iterator
from typing import Final

from smsclick.errors import ProviderError, ProviderRefused, SmsclickError
from smsclick.provider.account_client import advice, open_client, way
from smsclick.provider.codes import Fault, lookup
from smsclick.settings import Settings
from worker.operator.doctor import report
from worker.operator.doctor.check import Check, Verdict, failed, guarded, skipped

_TIMEOUT_SECONDS: Final = 10.0


def checks(settings: Settings) -> Iterator[Check]:
    """Yield the checks of the key, the balance and the report; SMSClick sends nothing because of them."""
    try:
        key = settings.require_api_key()
    except SmsclickError as error:
        yield failed("key", error)
        yield from skipped(("balance", report.NAME), "there is no key")
        return
    yield from _checks_with(settings, key)


def _checks_with(settings: Settings, key: str) -> Iterator[Check]:
    try:
        with open_client(settings, key=key, longest=_TIMEOUT_SECONDS) as client:
            credits_left = client.credits()
    except ProviderRefused as error:
        yield _refused(error)
        yield from skipped(("balance", report.NAME), "the provider refused the question")
    except ProviderError as error:
        yield Check("key", Verdict.FAILED, f"not checked: {error}", advice(error, settings))
        yield from skipped(("balance", report.NAME), "the provider did not answer")
    except SmsclickError as error:
        yield failed("key", error)
        yield from skipped(("balance", report.NAME), "the provider could not be asked")
    else:
        yield Check("key", Verdict.OK, f"accepted at {way(settings)}")
        yield _balance(credits_left, settings.low_balance)
        yield guarded(report.NAME, lambda: report.check(settings))


def _refused(error: ProviderRefused) -> Check:
    code = lookup(error.code)
    if code.fault is Fault.ACCOUNT:
        todo = "compare SMSCLICK_API_KEY with SMSClick's panel (HERRAMIENTAS > Componentes/APIS)"
        return Check("key", Verdict.FAILED, f"refused with {error.code}: {code.meaning}", todo)
    return Check("key", Verdict.FAILED, str(error), "ask SMSClick what this code means")


def _balance(credits_left: int, limit: int) -> Check:
    found = f"{credits_left} credits"
    if credits_left <= 0:
        return Check("balance", Verdict.FAILED, found, "buy credits at SMSClick; until then messages wait")
    if limit and credits_left < limit:
        found = f"{found}, below SMSCLICK_LOW_BALANCE={limit}"
        return Check("balance", Verdict.WARNING, found, "buy credits at SMSClick")
    return Check("balance", Verdict.OK, found)
