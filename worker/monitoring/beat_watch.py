"""What beat watches: whether any worker makes progress, and whether the dead man's switch outside may be asked for.

With all workers dead nobody else is left to raise an alert, so beat raises and delivers it by itself. Two beats do no
harm: incidents are opened once, and a switch may be asked for twice.
"""

import random
import threading

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick._values.times import span
from smsclick.contract import heartbeats
from smsclick.errors import SmsclickError
from smsclick.provider import _outbound
from smsclick.settings import Settings
from worker.account import account_state
from worker.alerting import delivery, incidents
from worker.alerting.details import made
from worker.alerting.texts import Style
from worker.alerting.wording import DetailCode
from worker.monitoring import progress_checks
from worker.monitoring.progress_checks import Confirmed, Limits
from worker.threads.supervision import periodic

log = EventLog(__name__)

LOOK_SECONDS = 15.0
PING_SECONDS = 60.0
WORKERS_SECONDS = 120.0
"""Without a heartbeat of any worker for so long, none makes progress."""

OVERDUE_SECONDS = 30.0
"""An alert event that has been due for this long is delivered here: no worker has done it."""


class BeatWatch:
    """Two threads of a beat process: one looks, the other asks for `SMSCLICK_HEARTBEAT_URL`.

    Args:
        settings: of this process.
        limits: from when on missing progress is a problem; from the settings by default.
    """

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        self._settings = settings
        self._limits = limits or Limits.of(settings)
        self._confirmed = Confirmed(self._limits.confirm)
        self._database = Database(settings.database_url, threads=2)
        self._channels = delivery.channels(settings.alert_urls.get_secret_value())
        self._style = Style.of(settings)
        self._stopping = threading.Event()
        threads = [periodic("smsclick-beat-watch", self.look, LOOK_SECONDS, stopping=self._stopping)]
        if settings.heartbeat_url.get_secret_value():
            threads.append(periodic("smsclick-heartbeat-url", self.ping, PING_SECONDS, stopping=self._stopping))
        self._threads = tuple(threads)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """Ask the threads to end and wait for at most `seconds` for each."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(seconds)
        self._database.dispose()

    def look(self) -> None:
        """Open or close the incident `no_workers`, remind of incidents, deliver what nobody else delivers."""
        try:
            self._database.transact(self._judge)
            self._database.transact(incidents.tick)
            with self._database.read() as connection:
                overdue = delivery.due(connection, since_seconds=OVERDUE_SECONDS)
            if overdue:
                delivery.deliver(self._database, self._channels, random.Random(), self._style)
        except SmsclickError as error:
            log.debug("beat_check_failed", error=type(error).__name__)

    def ping(self) -> None:
        """Ask for the heartbeat address if everything progresses; stay silent, and log why, if not."""
        try:
            with self._database.read() as connection:
                missing = missing_progress(connection, self._limits)
        except SmsclickError as error:
            missing = [f"database:{type(error).__name__}"]
        if missing:
            log.warning("heartbeat_withheld", missing=",".join(missing))
            return
        settings = self._settings
        failed = _outbound.fetch(
            settings.heartbeat_url.get_secret_value(),
            proxy=settings.proxy.get_secret_value() or None,
            ca_bundle=None if settings.ca_bundle is None else str(settings.ca_bundle),
        )
        if failed is not None:
            log.warning("heartbeat_not_reached", reason=failed)

    def _judge(self, connection: sa.Connection) -> bool:
        age = worker_age(connection)
        return self._confirmed.judge(
            connection,
            "no_workers",
            failing=age is None or age > WORKERS_SECONDS,
            detail=made(DetailCode.NO_WORKER) if age is None else made(DetailCode.NO_WORKER_FOR, span=span(age)),
        )


def worker_age(connection: sa.Connection) -> float | None:
    """Seconds since the latest heartbeat of any worker; None where there is none."""
    query = sa.select(sa.func.max(heartbeats.c.at).label("at"), db_now().label("now"))
    row = connection.execute(query.where(heartbeats.c.name.startswith("worker:"))).one()
    return None if row.at is None else float(max(0.0, (row.now - row.at).total_seconds()))


def missing_progress(connection: sa.Connection, limits: Limits) -> list[str]:
    """What does not progress, as kinds of incidents; empty where everything does.

    Args:
        connection: where to read.
        limits: from when on missing progress is a problem.
    """
    progress = progress_checks.read_progress(
        connection, account_state.read(connection), progress_checks.latest_events(connection)
    )
    age = worker_age(connection)
    failing = {
        "no_ticks": progress.no_ticks(limits),
        "no_records": progress.no_records(limits),
        "old_due": progress.old_due(limits),
        "no_workers": age is None or age > WORKERS_SECONDS,
    }
    return [kind for kind, fails in failing.items() if fails]
