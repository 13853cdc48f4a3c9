"""Send a test alert to every address of ALERT_URLS, and say which of them acknowledged it."""

from collections.abc import Callable, Iterator

from smsclick._net.urls import scheme_of
from smsclick.errors import SmsclickError
from smsclick.settings import Settings, load_settings
from worker.alerting import delivery
from worker.alerting.texts import Style, trial
from worker.operator.doctor.check import Check, Verdict

_TODO = "check this address of ALERT_URLS; `smsclick --debug doctor --alert-test` may show more"


def run(*, load: Callable[[], Settings] = load_settings) -> Iterator[Check]:
    """Yield one check for each address; an address is shown by its number and scheme, because it is a secret.

    Args:
        load: returns the settings.
    """
    try:
        settings = load()
        channels = delivery.channels(settings.alert_urls.get_secret_value())
    except SmsclickError as error:
        yield Check("configuration", Verdict.FAILED, str(error), "correct the environment or .env, then run this again")
        return
    if not channels:
        todo = "set ALERT_URLS, for example ALERT_URLS=mailto://user:password@example.com"
        yield Check("alerts", Verdict.FAILED, "no address: alerts go to the workers' log only", todo)
        return
    text = trial(Style.of(settings))
    for number, channel in enumerate(channels, start=1):
        name = f"alerts {number}"
        where = scheme_of(channel.url())
        if delivery.notify_directly([channel], text) == [True]:
            yield Check(name, Verdict.OK, f"{where} acknowledged the test alert")
        else:
            yield Check(name, Verdict.FAILED, f"{where} did not acknowledge the test alert", _TODO)
