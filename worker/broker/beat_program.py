"""The program `celery beat`, which logs in our form."""

from typing import Any

from celery.apps import beat

from smsclick._logs.event_log import EventLog
from smsclick.settings import get_settings

log = EventLog(__name__)

_Beat: Any = beat.Beat  # its stub lacks half of what a subclass needs


class Beat(_Beat):  # type: ignore[misc]
    """Celery's program, without its banner where lines are JSON."""

    def __init__(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - Celery's
        super().__init__(*args, **rest)
        self.app.process = "beat"
        self.quiet: bool = rest.get("quiet", False) or get_settings().log_format == "json"

    def start_scheduler(self) -> None:
        """Run until stopped."""
        try:
            super().start_scheduler()
        finally:
            log.info("beat_stopped")
