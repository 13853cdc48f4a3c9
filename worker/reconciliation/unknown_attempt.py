"""An attempt of unknown outcome, as it is claimed and looked for. Pure functions and values."""

import dataclasses
import datetime as dt
from collections.abc import Sequence

from worker.reports.matching import Attempt

_LONGEST_GROUP = dt.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """A claimed attempt of unknown outcome.

    Attributes:
        attempt: what to look for.
        token: of the attempt; a verdict is recorded only while the row still has it.
        account: the fingerprint of the APIKEY of the attempt; None where that is not known.
    """

    attempt: Attempt
    token: str
    account: str | None


def group_by_time(attempts: Sequence[UnknownAttempt]) -> list[list[UnknownAttempt]]:
    """Group attempts that lie close together, so that one short report looks for all attempts of a group."""
    groups: list[list[UnknownAttempt]] = []
    for each in sorted(attempts, key=lambda each: each.attempt.since):
        if groups and each.attempt.until - groups[-1][0].attempt.since <= _LONGEST_GROUP:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups
