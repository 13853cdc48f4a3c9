"""When the balance will be used up, if credits are charged at the present rate. Pure functions and values.

Metrics, `stats` and the incident of a balance that runs out use it.
"""

import dataclasses

WINDOW_SECONDS = 3600.0
"""The present rate is that of the last hour: a batch of a minute does not make it, the busy hours of a day do."""

LEAST_SECONDS = 600.0
"""Credits that were counted for less than this say nothing about the rate."""

_HOUR_SECONDS = 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """The balance against the present rate.

    Attributes:
        credits_per_hour: how many are charged at the present rate.
        seconds_left: until the balance is used up; None where nothing is charged at present.
    """

    credits_per_hour: float
    seconds_left: float | None


def forecast(
    balance: int | None, *, charged: float, seconds: float, balance_age_seconds: float = 0.0
) -> Forecast | None:
    """The time until the balance is used up.

    Args:
        balance: whole credits as they were read last; None where they are not known.
        charged: credits that were charged lately, by the provider's answers.
        seconds: the time in which they were charged.
        balance_age_seconds: how long ago the balance was read; what was charged since is gone.

    Returns:
        The forecast; None where the balance is not known, or `seconds` are less than `LEAST_SECONDS`.
    """
    if balance is None or seconds < LEAST_SECONDS:
        return None
    per_second = charged / seconds
    if per_second <= 0:
        return Forecast(0.0, None)
    left = max(0.0, balance / per_second - max(0.0, balance_age_seconds))
    return Forecast(per_second * _HOUR_SECONDS, left)
