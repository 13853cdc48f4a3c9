"""One check of `smsclick doctor` as a value, and what keeps a check that raises from stopping the others."""

import dataclasses
import enum
from collections.abc import Callable, Iterator

from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError

log = EventLog(__name__)


class Verdict(enum.StrEnum):
    """How a check ended. Only `FAILED` makes the whole checkup fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: what was checked.
        verdict: how it ended.
        found: what was found.
        todo: what to do about it; empty if there is nothing to do.
    """

    name: str
    verdict: Verdict
    found: str
    todo: str = ""


def guarded(name: str, look: Callable[[], Check]) -> Check:
    """Return what a check returns, or a failed check if it raises: the other checks run in any case.

    Args:
        name: of the check.
        look: makes the check.
    """
    try:
        return look()
    except SmsclickError as error:
        return failed(name, error)
    except Exception as error:
        # The error's text may hold anything, so only its type is shown.
        log.debug("check_failed", check=name, exc_info=True)
        return Check(name, Verdict.FAILED, f"it could not be checked ({type(error).__name__})", "see --debug")


def failed(name: str, error: SmsclickError | OSError) -> Check:
    """Return the check that failed with this error."""
    if isinstance(error, SmsclickError):
        return Check(name, Verdict.FAILED, error.problem, error.advice)
    return Check(name, Verdict.FAILED, str(error))


def skipped(names: tuple[str, ...], why: str) -> Iterator[Check]:
    """Yield one skipped check for each name, with the reason."""
    for name in names:
        yield Check(name, Verdict.SKIPPED, f"not checked: {why}")
