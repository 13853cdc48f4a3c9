"""What each tick does: thin calls of plain functions. Ticks carry ids only; retries belong to the rows."""

import random
from collections.abc import Callable, Mapping

from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from worker.alerting import delivery
from worker.alerting.texts import Style
from worker.background.tick import FROM_BEAT, URGENT, Tick
from worker.callbacks import store as callback_store
from worker.intake import dead_letters
from worker.maintenance import balance, retention, sweep
from worker.monitoring import progress_checks
from worker.reconciliation import reconcile, report_lag
from worker.runtime import Runtime
from worker.sql import heartbeat
from worker.threads.log_limit import LimitedLog
from worker.tracking import by_report, by_status

log = EventLog(__name__)
_waits = LimitedLog(log)


def run(runtime: Runtime, tick: Tick) -> None:
    """Run a tick. An error of ours is one log line, because the next look finds the work again."""
    try:
        _WORK[tick.name](runtime, tick)
    except SmsclickError as error:
        _waits.warning("tick_stopped", error, tick=f"smsclick.{tick.name}")


def _sweep(runtime: Runtime, tick: Tick) -> None:
    if FROM_BEAT in tick.flags:
        heartbeat.take(runtime.database, progress_checks.BEAT, runtime.settings.sweep_seconds)
    if not sweep.sweep(runtime, urgent=URGENT in tick.flags):
        # Another process has just swept; what it found due it does itself, and this one helps.
        sweep.look(runtime)


def _look(runtime: Runtime, _: Tick) -> None:
    sweep.look(runtime)


def _poll(runtime: Runtime, tick: Tick) -> None:
    by_status.poll(runtime, tick.ids)


def _follow(runtime: Runtime, _: Tick) -> None:
    by_report.follow(runtime)


def _reconcile(runtime: Runtime, _: Tick) -> None:
    reconcile.reconcile(runtime)


def _lag(runtime: Runtime, _: Tick) -> None:
    report_lag.measure(runtime)


def _balance(runtime: Runtime, _: Tick) -> None:
    balance.check(runtime)


def _alerts(runtime: Runtime, _: Tick) -> None:
    delivery.deliver(runtime.database, runtime.channels, random.Random(), Style.of(runtime.settings))


def _callbacks(runtime: Runtime, _: Tick) -> None:
    if runtime.callback_dispatcher.deliver(runtime.stopping):
        runtime.wakeups.callbacks()


def _retention(runtime: Runtime, _: Tick) -> None:
    if not heartbeat.take(runtime.database, "retention", 3600):
        return
    settings = runtime.settings
    retention.erase(
        runtime.database,
        settings.retention_days,
        tracking_seconds=settings.tracking_seconds,
        stopping=runtime.stopping,
    )
    # A callback repeats the provider's words, so it is erased no later than the message.
    dead_letters.purge(runtime.database, min(30, settings.retention_days or 30))
    callback_store.purge(runtime.database, min(30, settings.retention_days or 30))


_WORK: Mapping[str, Callable[[Runtime, Tick], None]] = {
    "sweep": _sweep,
    "look": _look,
    "poll": _poll,
    "follow": _follow,
    "reconcile": _reconcile,
    "lag": _lag,
    "balance": _balance,
    "alerts": _alerts,
    "callbacks": _callbacks,
    "retention": _retention,
}
