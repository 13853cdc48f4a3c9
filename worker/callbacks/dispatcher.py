"""Deliver the due callbacks of this process: claim rows, call receivers, record how the calls ended.

No transaction is open during a call. One task makes up to `policy.CALLS_IN_FLIGHT` calls at the same time on threads of
its own, so that slow receivers take no thread from sending.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random
import threading
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib.metadata import version
from typing import TYPE_CHECKING

from standardwebhooks import Webhook

from smsclick._logs.event_log import EventLog
from smsclick._values.callback import TaskTarget, WebhookTarget, parse_callback
from smsclick.errors import InvalidField
from worker.alerting.wording import DetailCode
from worker.callbacks import policy, store
from worker.callbacks.call import Acknowledged, Call, GivenUp, NotAcknowledged, Outcome
from worker.callbacks.failures import CallFailedError, Failure
from worker.callbacks.webhook import WebhookClient
from worker.callbacks.webhook_addresses import AddressRules, RefusedAddressError
from worker.queue.odd_rows import place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import sqlalchemy as sa

    from smsclick._database.engine import Database
    from smsclick.settings import Settings
    from worker.callbacks.celery_task import CallTask

log = EventLog(__name__)

_LOOK_SECONDS = 0.2
"""Between two looks at the database while nothing is due and calls are in flight."""

_GATHER_SECONDS = 0.01
"""After the first call that ended, how long to wait for others, so that they are recorded in one transaction."""

_DEFECT = Failure.of(DetailCode.CALL_DEFECT)


class CallbackDispatcher:
    """Delivers callbacks in this process.

    Args:
        database: where the rows are.
        settings: which webhooks may be called, and the secrets that sign them.
        call_task: publishes calls of Celery tasks; None where there is no broker.
        outbound: calls webhooks; made from the settings by default.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        call_task: CallTask | None,
        outbound: WebhookClient | None = None,
    ) -> None:
        self._database = database
        self._signers = [Webhook(secret) for secret in settings.webhook_secrets]
        self._call_task = call_task
        self._outbound = outbound or WebhookClient(AddressRules(settings.webhook_hosts, settings.webhook_allow_private))
        self._shares = policy.ReceiverShares()
        self._last_receiver: str | None = None
        """The last receiver of the previous look; None where the next look starts from the first."""
        self._delivering = threading.Lock()
        self._rng = random.Random()

    def deliver(self, stopping: threading.Event, *, slice_seconds: float = 30.0) -> bool:
        """Deliver until nothing is due, or the slice is over. Returns at once where this process delivers already.

        Args:
            stopping: once it is set, no further call begins.
            slice_seconds: how long further calls may begin.

        Returns:
            True where the slice ended first and more may be due.
        """
        if not self._delivering.acquire(blocking=False):
            return False
        try:
            return self._deliver(stopping, time.monotonic() + slice_seconds)
        finally:
            self._delivering.release()

    def close(self) -> None:
        """Close the idle connections."""
        self._outbound.close()

    def _deliver(self, stopping: threading.Event, end: float) -> bool:
        claimed: dict[str, deque[Call]] = {}
        in_flight: dict[Future[Outcome], Call] = {}
        look_at = 0.0
        no_thread = False
        # The pool is bounded and ends with this slice; `_outcome` handles whatever its calls raise.
        with ThreadPoolExecutor(policy.CALLS_IN_FLIGHT, thread_name_prefix="smsclick-callback") as pool:
            while True:
                over = no_thread or stopping.is_set() or time.monotonic() >= end
                if over:
                    self._release(itertools.chain(*claimed.values()))
                    claimed.clear()
                elif time.monotonic() >= look_at:
                    found = self._claim(claimed, in_flight.values())
                    look_at = 0.0 if found else time.monotonic() + _LOOK_SECONDS
                no_thread = no_thread or not self._begin(pool, claimed, in_flight)
                if in_flight:
                    done = _wait_for_some(in_flight)
                    results = [(in_flight.pop(each), _outcome(each)) for each in done]
                    self._shares.note(results)
                    no_thread = no_thread or not self._begin(pool, claimed, in_flight)
                    if results:
                        look_at = 0.0
                        self._record(results)
                    # A receiver that has begun to fail gets its calls one by one from here on.
                    for receiver in self._shares.failing & claimed.keys():
                        self._release(claimed.pop(receiver))
                elif over or look_at:
                    # Without threads, the sweep is soon enough: another wake-up now would find none either.
                    return over and not no_thread and not stopping.is_set()

    def _claim(self, claimed: dict[str, deque[Call]], in_flight: Collection[Call]) -> bool:
        """Claim further calls into `claimed`; returns whether another look may find more at once."""
        receivers, round_ended = self._due_receivers()
        held = Counter(call.receiver for call in in_flight)
        held.update({receiver: len(calls) for receiver, calls in claimed.items()})
        free = policy.CLAIMED_ROWS - held.total()
        limits = {each: self._shares.rows_to_claim(each, held[each]) for each in receivers}
        wanted = [each for each in receivers if limits[each] > 0]
        if free <= 0 or not wanted:
            return free > 0 and not round_ended
        self._rng.shuffle(wanted)

        def work(connection: sa.Connection) -> tuple[list[Call], bool]:
            calls: list[Call] = []
            postponed = False
            for receiver in wanted:
                limit = min(limits[receiver], free - len(calls))
                if limit > 0:
                    found, some_postponed = store.claim(connection, receiver, limit)
                    calls += found
                    postponed |= some_postponed
            return calls, postponed

        calls, postponed = self._database.transact(work)
        for call in calls:
            claimed.setdefault(call.receiver, deque()).append(call)
        return bool(calls) or postponed or not round_ended

    def _due_receivers(self) -> tuple[list[str], bool]:
        """The due receivers among the next ones, and whether a round through all receivers ends with them."""
        with self._database.read() as connection:
            receivers, self._last_receiver = store.due_receivers(connection, self._last_receiver or "")
        return receivers, self._last_receiver is None

    def _begin(
        self, pool: ThreadPoolExecutor, claimed: dict[str, deque[Call]], in_flight: dict[Future[Outcome], Call]
    ) -> bool:
        """Begin the calls that may begin; False where the system allows no further thread."""
        for call in self._shares.next_calls(claimed, list(in_flight.values()), time.monotonic()):
            try:
                in_flight[pool.submit(self._call, call)] = call
            except RuntimeError as error:
                # The claim stays: a running thread may still take this call from the pool.
                log.warning("callback_without_thread", callback=call.id, error=error)
                return False
        return True

    def _release(self, calls: Iterable[Call]) -> None:
        """Release the claims of calls that have not begun; a claim that is too old may be another process's by now."""
        ids = [call.id for call in calls if time.monotonic() < call.begin_by]
        if ids:
            self._database.transact(lambda connection: store.release(connection, ids))

    def _call(self, call: Call) -> Outcome:
        try:
            target = parse_callback(call.target)
            if isinstance(target, TaskTarget):
                return self._call_celery_task(call, target)
            return self._call_webhook(call, target)
        except InvalidField as error:
            return GivenUp(Failure.of_target(error.refusal))
        except RefusedAddressError as error:
            return NotAcknowledged(error.failure, needs_operator=True)
        except CallFailedError as error:
            return NotAcknowledged(error.failure)
        except Exception as error:  # noqa: BLE001 - one odd row must not stop the others; an incident reports it
            # Without the error's text, which may hold the address and its secrets.
            log.error(  # noqa: TRY400
                "callback_failed",
                callback=call.id,
                message_id=call.message_id,
                attempt=call.data.get("attempts"),
                error=place(error),
            )
            return NotAcknowledged(_DEFECT, needs_operator=True)

    def _call_celery_task(self, call: Call, target: TaskTarget) -> Outcome:
        if self._call_task is None:
            return NotAcknowledged(Failure.of(DetailCode.CALL_NO_BROKER), needs_operator=True)
        event = policy.event(call, with_reply=False)
        self._call_task(target, call.event_id, {"id": call.event_id, **event})
        return Acknowledged()

    def _call_webhook(self, call: Call, target: WebhookTarget) -> Outcome:
        if not self._signers:
            return NotAcknowledged(Failure.of(DetailCode.CALL_UNSIGNED), needs_operator=True)
        body = json.dumps(policy.event(call, with_reply=True), ensure_ascii=False, separators=(",", ":"))
        now = dt.datetime.now(dt.UTC)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"smsclick/{version('smsclick')}",
            "webhook-id": call.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(each.sign(call.event_id, now, body) for each in self._signers),
        }
        return policy.outcome_of_status(self._outbound.post(target, body.encode(), headers))

    def _record(self, results: Sequence[tuple[Call, Outcome]]) -> None:
        """Log and store how calls ended."""
        for call, outcome in results:
            attempt = call.data.get("attempts")
            if isinstance(outcome, Acknowledged):
                log.info(
                    "callback_delivered",
                    callback=call.id,
                    message_id=call.message_id,
                    attempt=attempt,
                    callback_type=call.type,
                    receiver=call.receiver,
                    tries=call.tries,
                )
            else:
                log.warning(
                    "callback_not_acknowledged",
                    callback=call.id,
                    message_id=call.message_id,
                    attempt=attempt,
                    callback_type=call.type,
                    receiver=call.receiver,
                    tries=call.tries,
                    reason=outcome.why.words,
                )
        ended = [policy.ended(call, outcome, self._rng) for call, outcome in results]
        self._database.transact(lambda connection: store.record(connection, ended))


def _wait_for_some(in_flight: Collection[Future[Outcome]]) -> set[Future[Outcome]]:
    """The calls that ended: wait for the first one, then a little longer for others."""
    if wait(in_flight, _LOOK_SECONDS, return_when=FIRST_COMPLETED).done:
        return wait(in_flight, _GATHER_SECONDS).done
    return set()


def _outcome(ended: Future[Outcome]) -> Outcome:
    """How a call ended. A future also holds what is no `Exception`, such as SystemExit; it must not end this thread."""
    error = ended.exception()
    if error is None:
        return ended.result()
    log.error("callback_failed", error=place(error))
    return NotAcknowledged(_DEFECT, needs_operator=True)
