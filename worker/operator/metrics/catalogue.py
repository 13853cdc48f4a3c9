"""Every metric: name, type, labels, help. docs/metrics.md, the dashboard and the alert rules are compared with it."""

import dataclasses
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as Prometheus shows it; of a histogram without `_bucket`, `_count` and `_sum`.
        kind: its type.
        help: one line.
        labels: in order.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("smsclick_up", "gauge", "1 if the database could be read, else 0"),
        Metric("smsclick_build_info", "info", "The version of smsclick", ("version",)),
        Metric("smsclick_scrape_duration_seconds", "gauge", "How long it took to read the figures"),
        # --- Messages
        Metric("smsclick_messages", "gauge", "Messages that are on their way, by state", ("state",)),
        Metric("smsclick_state_entries_total", "counter", "How often a message came into a state", ("state",)),
        Metric("smsclick_events_total", "counter", "Events of messages by cause", ("cause",)),
        Metric("smsclick_oldest_due_seconds", "gauge", "How long the oldest due message has waited", ("priority",)),
        Metric("smsclick_unknown_attempts", "gauge", "Attempts of unknown outcome, by why", ("reason",)),
        Metric("smsclick_unknown_oldest_seconds", "gauge", "Age of the oldest attempt of unknown outcome", ("reason",)),
        # --- The account
        Metric("smsclick_hold", "gauge", "1 while the account is held for this reason, else 0", ("reason",)),
        Metric("smsclick_hold_seconds", "gauge", "How long the account has been held; 0 if it is not"),
        Metric("smsclick_credits_charged_total", "counter", "Credits charged, by the provider's answers"),
        Metric("smsclick_messages_unpriced_total", "counter", "Accepted messages whose charge is not known"),
        Metric("smsclick_balance_credits", "gauge", "The balance as it was read last"),
        Metric("smsclick_balance_age_seconds", "gauge", "How long ago the balance was read"),
        Metric("smsclick_credits_per_second", "gauge", "Credits charged lately, on average"),
        Metric("smsclick_balance_empty_seconds", "gauge", "Until the balance is used up at that rate; +Inf: never"),
        # --- The provider
        Metric("smsclick_calls_total", "counter", "Calls of sendMsg by outcome and codigo", ("outcome", "code")),
        Metric("smsclick_call_seconds", "histogram", "How long a call of sendMsg took"),
        Metric("smsclick_send_wait_seconds", "histogram", "From when a message could be sent to its first request"),
        Metric("smsclick_final_seconds", "histogram", "From the acceptance to the final status", ("state",)),
        Metric("smsclick_report_lag_seconds", "gauge", "How late the provider's report showed a message"),
        Metric("smsclick_report_lag_age_seconds", "gauge", "How long ago that was measured"),
        # --- Operation
        Metric("smsclick_incidents_open", "gauge", "Open incidents by kind", ("kind",)),
        Metric("smsclick_callbacks_waiting", "gauge", "Callbacks to producers that are not acknowledged yet"),
        Metric("smsclick_callbacks_oldest_due_seconds", "gauge", "How long the oldest due callback has waited"),
        Metric("smsclick_callbacks_total", "counter", "Callbacks that ended, by outcome", ("outcome",)),
        Metric("smsclick_dead_letters", "gauge", "Broker messages that could not become a message"),
        Metric("smsclick_workers", "gauge", "Worker processes that showed progress within a minute"),
        Metric("smsclick_worker_heartbeat_age_seconds", "gauge", "Time since a worker's last heartbeat", ("worker",)),
        Metric("smsclick_worker_results_total", "counter", "Results that a worker recorded", ("worker",)),
        Metric("smsclick_tick_age_seconds", "gauge", "Time since a tick ran last", ("tick",)),
        Metric("smsclick_calls_allowed", "gauge", "Calls that may be in flight, over all workers"),
        Metric("smsclick_calls_in_flight", "gauge", "Calls that are in flight, over all workers"),
        Metric("smsclick_results_waiting", "gauge", "Results that are not recorded yet, over all workers"),
    )
}
"""Every metric by its name."""
