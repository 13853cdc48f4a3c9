"""Check whether the broker answers, whether our queues are consumed, and whether by workers of this database."""

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick._net.certificates import tls_reason
from smsclick.contract import heartbeats
from smsclick.errors import BrokerUnavailable, SmsclickError
from smsclick.settings import Settings
from worker.operator.doctor import unread_calls
from worker.operator.doctor.check import Check, Verdict

log = EventLog(__name__)

TIMEOUT_SECONDS: Final = 3
PROBES: Final = 24
"""Probes of one check. With one worker of another database among ten, two checks of three notice it."""

_PROBES_TIMEOUT_SECONDS: Final = 6.0
_BACKLOG_MESSAGES: Final = 1000
"""With more unread messages than this in one queue, its readers do not keep up."""

QUEUES: Final = ("smsclick", "smsclick.ticks", "smsclick.send", "smsclick.poll", "smsclick.callbacks")


def reached(settings: Settings) -> Check:
    """Check whether the broker accepts a connection."""
    if settings.broker.is_embedded:
        return Check("broker", Verdict.OK, "embedded, none needed by `smsclick up`")
    where = settings.broker.places
    # The Redis client asks each Sentinel several times before it raises.
    patience = 6 if settings.broker.url.startswith("sentinel") else 2
    _within(_connected(settings, lambda _: None), patience * TIMEOUT_SECONDS, where)
    secured = settings.broker.secured
    if secured is not None and secured.unverified is not None:
        todo = "name the authority's file in CELERY_BROKER_URL instead: ?ssl_ca_certs=/path/ca.pem"
        return Check("broker", Verdict.WARNING, f"{where}: {secured.unverified}", todo)
    return Check("broker", Verdict.OK, where)


def queues(settings: Settings) -> Check:
    """Check whether each of our queues is consumed, and fast enough."""
    found: Check = _within(_connected(settings, _queues), 3 * TIMEOUT_SECONDS, settings.broker.places)
    return found


def unread(settings: Settings) -> Check:
    """Check whether calls wait in Redis where no worker of ours reads."""
    found: Check = _within(_connected(settings, unread_calls.check), 3 * TIMEOUT_SECONDS, settings.broker.places)
    return found


def workers(settings: Settings) -> Check:
    """Check whether all workers of this broker use this database.

    A probe that is not answered in this database reached a worker of another one.
    """
    database = Database(settings.database_url, threads=1)
    try:
        return _probe(settings, database)
    except (SmsclickError, SQLAlchemyError):
        return Check("workers", Verdict.SKIPPED, "not checked: the database or the broker cannot be used")
    finally:
        database.dispose()


def _connected(settings: Settings, look: Callable[[Any], Any]) -> Callable[[], Any]:
    def run() -> Any:  # noqa: ANN401 - of `look`
        from kombu import Connection  # noqa: PLC0415 - only where there is a broker

        broker = settings.broker
        with Connection(
            broker.url,
            connect_timeout=TIMEOUT_SECONDS,
            transport_options=broker.transport_options(TIMEOUT_SECONDS),
            ssl=dict(broker.tls) if broker.tls else False,
        ) as connection:
            connection.connect()
            return look(connection)

    return run


def _queues(connection: Any) -> Check:  # noqa: ANN401 - kombu's
    if connection.transport.driver_type == "amqp":
        sizes, readers = _of_rabbitmq(connection)
    else:
        sizes, readers = _of_redis(connection)
    unread_queues = [name for name in QUEUES if readers.get(name) == 0]
    backlogs = [f"{name} ({size})" for name, size in sizes.items() if size > _BACKLOG_MESSAGES]
    if unread_queues:
        todo = "start `celery -A worker worker`; its log says what it cannot consume. Stored messages are sent anyway"
        return Check("queues", Verdict.WARNING, f"nobody consumes {', '.join(unread_queues)}", todo)
    if backlogs:
        todo = "see whether workers run, and what their logs say"
        return Check("queues", Verdict.WARNING, f"unread messages accumulate in {', '.join(backlogs)}", todo)
    return Check("queues", Verdict.OK, "consumed, and nothing accumulates")


def _of_rabbitmq(connection: Any) -> tuple[dict[str, int], dict[str, int]]:  # noqa: ANN401 - kombu's
    sizes, readers = dict.fromkeys(QUEUES, 0), dict.fromkeys(QUEUES, 0)
    for name in QUEUES:
        with suppress(connection.channel_errors), connection.channel() as channel:  # a queue that is not there
            found = channel.queue_declare(name, passive=True)
            sizes[name], readers[name] = int(found.message_count), int(found.consumer_count)
    return sizes, readers


def _of_redis(connection: Any) -> tuple[dict[str, int], dict[str, int]]:  # noqa: ANN401 - kombu's
    with connection.channel() as channel:
        client = channel.client
        sizes = {name: int(client.llen(name)) for name in QUEUES}
        database = str(client.connection_pool.connection_kwargs.get("db") or 0)
        try:
            clients = client.client_list()
        except Exception:  # noqa: BLE001 - a hosted Redis may forbid it
            return sizes, {}
    waiting = sum(each.get("cmd") == "brpop" and str(each.get("db")) == database for each in clients)
    return sizes, dict.fromkeys(QUEUES, waiting)


def _probe(settings: Settings, database: Database) -> Check:
    name = f"echo:{secrets.token_hex(8)}"
    with database.begin() as connection:
        connection.execute(sa.insert(heartbeats).values(name=name))
    try:
        _within(_connected(settings, lambda broker: _ask(broker, name)), 3 * TIMEOUT_SECONDS, settings.broker.places)
        answered = _answers(database, name)
    finally:
        with database.begin() as connection:
            connection.execute(sa.delete(heartbeats).where(heartbeats.c.name == name))
    if answered == PROBES:
        return Check("workers", Verdict.OK, "all workers of this broker use this database")
    if not answered:
        todo = "start workers, or compare their DATABASE_URL and CELERY_BROKER_URL with these"
        return Check(
            "workers", Verdict.WARNING, f"no worker answered over the broker within {_PROBES_TIMEOUT_SECONDS:g} s", todo
        )
    todo = "give each installation its own broker, database number or virtual host; or see which worker is slow"
    found = f"only {answered} of {PROBES} probes were answered here: a worker of another database consumes this broker"
    return Check("workers", Verdict.FAILED, found, todo)


def _ask(connection: Any, name: str) -> None:  # noqa: ANN401 - kombu's
    body = [[name], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    with connection.Producer() as producer:
        for number in range(PROBES):
            call = f"{name}:{number}"
            producer.publish(
                body,
                exchange="",
                routing_key="smsclick.ticks",
                serializer="json",
                headers={
                    "lang": "py",
                    "task": "smsclick.echo",
                    "id": call,
                    "root_id": call,
                    "ignore_result": True,
                },
                correlation_id=call,
                delivery_mode="transient",
                expiration=60,
            )


def _answers(database: Database, name: str) -> int:
    query = sa.select(heartbeats.c.progress).where(heartbeats.c.name == name)
    end = time.monotonic() + _PROBES_TIMEOUT_SECONDS
    while True:
        with database.read() as connection:
            answered = int(connection.execute(query).scalar_one_or_none() or 0)
        if answered >= PROBES or time.monotonic() > end:
            return answered
        time.sleep(0.1)


def _within(reach: Callable[[], Any], seconds: float, where: str) -> Any:  # noqa: ANN401 - what `reach` gives
    """Call a function in a thread and wait for it: a broker may accept connections and never answer.

    Args:
        reach: the function.
        seconds: how long to wait.
        where: the broker's address, for the error.

    Raises:
        BrokerUnavailable: the function failed or took longer.
    """
    given: list[Any] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            given.append(reach())
        except Exception as error:
            log.debug("broker_not_reached", exc_info=True)
            failed.append(error)

    thread = threading.Thread(target=run, name="smsclick-doctor", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise BrokerUnavailable(
            f"the broker at {where} was not asked, because this machine allows no further thread",
            advice="raise the limit of processes and threads (`ulimit -u`, or the container's)",
        ) from None
    thread.join(seconds)
    advice = "check CELERY_BROKER_URL and that the broker runs; meanwhile messages wait safely in the database"
    if failed:
        if isinstance(failed[0], SmsclickError):
            raise failed[0]
        if (tls := tls_reason(failed[0])) is not None:
            raise BrokerUnavailable(
                f"the broker at {where} cannot be trusted ({tls})",
                advice="if an authority of your own signs, name its file in CELERY_BROKER_URL: "
                "?ssl_ca_certs=/path/ca.pem",
            )
        problem = f"the broker at {where} does not answer ({type(failed[0]).__name__})"
        raise BrokerUnavailable(problem, advice=advice)
    if not given:
        raise BrokerUnavailable(f"the broker at {where} is silent", advice=advice)
    return given[0]
