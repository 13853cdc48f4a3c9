"""How often each tick comes: from beat, and where beat is silent from each worker process itself."""

from smsclick.settings import Settings

RETENTION_SECONDS = 3600.0
LAG_SECONDS = 5.0


def periods(settings: Settings) -> dict[str, float]:
    """Seconds between two ticks of each name."""
    return {
        "sweep": settings.sweep_seconds,
        "balance": min(settings.balance_seconds, settings.sweep_seconds),
        "lag": LAG_SECONDS,
        "retention": RETENTION_SECONDS,
    }
