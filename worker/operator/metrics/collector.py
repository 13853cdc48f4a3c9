"""The collector for `prometheus-client`: register it in a registry of your own, and serve that.

registry = CollectorRegistry()
registry.register(Collector(database))
"""

import datetime as dt
import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector as BaseCollector

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from worker.metrics import histograms
from worker.operator.metrics import readings
from worker.operator.metrics.catalogue import METRICS
from worker.operator.metrics.readings import Labels, Readings

log = EventLog(__name__)

_SHARED_SECONDS = 1.0
"""Scrapes this close together share one reading, so that many of them cost the database no more than one."""

_LIMITS = {
    "smsclick_call_seconds": histograms.FAST_SECONDS,
    "smsclick_send_wait_seconds": histograms.FAST_SECONDS,
    "smsclick_final_seconds": histograms.SLOW_SECONDS,
}


class Collector(BaseCollector):
    """Reads the database when it is scraped. One whose database does not answer gives `smsclick_up 0`.

    Args:
        database: where to read; the rights of a reader are enough (docs/rights.md).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._families: list[Family] = []
        self._read_at = float("-inf")

    def describe(self) -> Iterable[Family]:
        """All metrics, without values: registering does not read the database."""
        return [_family(name, {}) for name in METRICS]

    def collect(self) -> Iterable[Family]:
        """All metrics with their values of now."""
        with self._lock:
            if time.monotonic() - self._read_at >= _SHARED_SECONDS:
                self._families = list(self._read())
                self._read_at = time.monotonic()
            return self._families

    def _read(self) -> Iterator[Family]:
        began = time.monotonic()
        found: Mapping[str, Mapping[Labels, float]] = {}
        parts: Mapping[str, Mapping[Labels, Mapping[str, int]]] = {}
        try:
            read = readings.read(self._database)
        except SmsclickError as error:
            log.warning("metrics_unreadable", error=error)
        else:
            found, parts = {**read.samples, **_single(read)}, read.histograms
        own: dict[str, dict[Labels, float]] = {
            "smsclick_up": {(): float(bool(found))},
            "smsclick_build_info": {(metadata.version("smsclick"),): 1.0},
            "smsclick_scrape_duration_seconds": {(): time.monotonic() - began},
        }
        for name, values in {**own, **found}.items():
            yield _family(name, values)
        for name, each in parts.items():
            yield _histogram(name, each)


def _single(read: Readings) -> dict[str, dict[Labels, float]]:
    """The figures that are not samples yet; what is not known is left out."""
    account, forecast, gauges = read.account, read.forecast, read.gauges
    since = [each for each in (account.operator_hold_at, account.hold_since, account.restored_at) if each is not None]
    held = (account.now - min(since)).total_seconds() if since and not account.is_open else 0.0
    values: dict[str, float | None] = {
        "smsclick_hold_seconds": max(0.0, held),
        "smsclick_balance_credits": account.balance,
        "smsclick_balance_age_seconds": _age(read, account.balance_at),
        "smsclick_report_lag_seconds": account.report_lag,
        "smsclick_report_lag_age_seconds": _age(read, account.report_lag_at),
        "smsclick_calls_allowed": gauges.calls_allowed,
        "smsclick_calls_in_flight": gauges.calls_in_flight,
        "smsclick_results_waiting": gauges.results_waiting,
        "smsclick_credits_per_second": None if forecast is None else forecast.credits_per_hour / 3600,
    }
    if forecast is not None:
        left = forecast.seconds_left
        values["smsclick_balance_empty_seconds"] = math.inf if left is None else left
    workers = [beat for beat in read.heartbeats if beat.name.startswith("worker:")]
    shown = [beat for beat in workers if beat.age_seconds <= readings.WORKER_SECONDS][: readings.MOST_WORKERS]
    names = {beat.name: beat.name.removeprefix("worker:") for beat in shown}
    values["smsclick_workers"] = sum(beat.age_seconds <= readings.ALIVE_SECONDS for beat in workers)
    return {
        **{name: {(): float(value)} for name, value in values.items() if value is not None},
        "smsclick_worker_heartbeat_age_seconds": {(names[beat.name],): beat.age_seconds for beat in shown},
        "smsclick_worker_results_total": {(names[beat.name],): float(beat.progress) for beat in shown},
        "smsclick_tick_age_seconds": {
            (beat.name,): beat.age_seconds for beat in read.heartbeats if ":" not in beat.name
        },
    }


def _age(read: Readings, at: dt.datetime | None) -> float | None:
    return None if at is None else max(0.0, (read.now - at).total_seconds())


def _family(name: str, values: Mapping[Labels, float]) -> Family:
    metric = METRICS[name]
    if metric.kind == "info":
        info = InfoMetricFamily(name.removesuffix("_info"), metric.help)
        for labels in values:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return info
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if metric.kind == "counter":
        family = CounterMetricFamily(name.removesuffix("_total"), metric.help, labels=metric.labels)
    elif metric.kind == "histogram":
        return HistogramMetricFamily(name, metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(name: str, by_label: Mapping[Labels, Mapping[str, int]]) -> Family:
    metric = METRICS[name]
    family = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    for labels, parts in sorted(by_label.items()):
        buckets, total = histograms.cumulative(parts, _LIMITS[name])
        family.add_metric(labels, buckets, sum_value=total)
    return family
