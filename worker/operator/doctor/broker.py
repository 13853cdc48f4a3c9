"""What `smsclick doctor` asks the broker: is it there, are our queues consumed, and by workers of this database."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from smsclick._database.engine import Database
from smsclick._net.certificates import tls_reason
from smsclick.contract import heartbeats
from smsclick.errors import BrokerUnavailable, SmsclickError
from smsclick.settings import Settings
from worker.operator.doctor import elsewhere as doctor_elsewhere
from worker.operator.doctor.check import Check, Verdict

log = logging.getLogger(__name__)

SECONDS: Final = 3
ECHOES: Final = 24
"""Probes of one look. With one stray worker among ten, two looks of three notice it."""

_ECHO_SECONDS: Final = 6.0
_PILE: Final = 1000
"""Unread messages of one queue from which on its readers do not keep up."""

QUEUES: Final = ("smsclick", "smsclick.ticks", "smsclick.send", "smsclick.poll", "smsclick.callbacks")


def reached(settings: Settings) -> Check:
    """Whether the broker takes a connection."""
    if settings.broker.is_embedded:
        return Check("broker", Verdict.OK, "embedded, none needed by `smsclick up`")
    where = settings.broker.places
    # Redis' client asks each Sentinel again and again before it says what is wrong.
    patience = 6 if settings.broker.url.startswith("sentinel") else 2
    _within(_connected(settings, lambda _: None), patience * SECONDS, where)
    secured = settings.broker.secured
    if secured is not None and secured.unverified is not None:
        todo = "name the authority's file in CELERY_BROKER_URL instead: ?ssl_ca_certs=/path/ca.pem"
        return Check("broker", Verdict.WARNING, f"{where}: {secured.unverified}", todo)
    return Check("broker", Verdict.OK, where)


def queues(settings: Settings) -> Check:
    """Whether somebody consumes our queues, and keeps up."""
    found: Check = _within(_connected(settings, _queues), 3 * SECONDS, settings.broker.places)
    return found


def elsewhere(settings: Settings) -> Check:
    """Whether calls wait in Redis where no worker of ours reads."""
    found: Check = _within(_connected(settings, doctor_elsewhere.check), 3 * SECONDS, settings.broker.places)
    return found


def workers(settings: Settings) -> Check:
    """Whether those that consume use this database: each probe that is not answered here went to another one."""
    database = Database(settings.database_url, threads=1)
    try:
        return _echo(settings, database)
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
            connect_timeout=SECONDS,
            transport_options=broker.transport_options(SECONDS),
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
    deaf = [name for name in QUEUES if readers.get(name) == 0]
    piled = [f"{name} ({size})" for name, size in sizes.items() if size > _PILE]
    if deaf:
        todo = "start `celery -A worker worker`; its log says what it cannot consume. Stored messages go out anyway"
        return Check("queues", Verdict.WARNING, f"nobody consumes {', '.join(deaf)}", todo)
    if piled:
        todo = "see whether workers run, and what their logs say"
        return Check("queues", Verdict.WARNING, f"messages pile up in {', '.join(piled)}", todo)
    return Check("queues", Verdict.OK, "consumed, nothing piles up")


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


def _echo(settings: Settings, database: Database) -> Check:
    name = f"echo:{secrets.token_hex(8)}"
    with database.begin() as connection:
        connection.execute(sa.insert(heartbeats).values(name=name))
    try:
        _within(_connected(settings, lambda broker: _ask(broker, name)), 3 * SECONDS, settings.broker.places)
        answered = _answers(database, name)
    finally:
        with database.begin() as connection:
            connection.execute(sa.delete(heartbeats).where(heartbeats.c.name == name))
    if answered == ECHOES:
        return Check("workers", Verdict.OK, "those that consume this broker use this database")
    if not answered:
        todo = "start workers, or compare their DATABASE_URL and CELERY_BROKER_URL with these"
        return Check("workers", Verdict.WARNING, f"no worker answered over the broker within {_ECHO_SECONDS:g} s", todo)
    todo = "give each installation a broker, or a database number or virtual host of it, of its own; or see who is slow"
    found = f"only {answered} of {ECHOES} probes were answered here: a worker of another database consumes this broker"
    return Check("workers", Verdict.FAILED, found, todo)


def _ask(connection: Any, name: str) -> None:  # noqa: ANN401 - kombu's
    body = [[name], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    with connection.Producer() as producer:
        for number in range(ECHOES):
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
    end = time.monotonic() + _ECHO_SECONDS
    while True:
        with database.read() as connection:
            answered = int(connection.execute(query).scalar_one_or_none() or 0)
        if answered >= ECHOES or time.monotonic() > end:
            return answered
        time.sleep(0.1)


def _within(reach: Callable[[], Any], seconds: float, where: str) -> Any:  # noqa: ANN401 - what `reach` gives
    """Call it in a thread: a broker that takes connections and stays silent could keep us for as long as it likes.

    Raises:
        BrokerUnavailable: it failed or took longer.
    """
    given: list[Any] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            given.append(reach())
        except Exception as error:
            log.debug("The broker was not reached.", exc_info=True)
            failed.append(error)

    thread = threading.Thread(target=run, name="smsclick-doctor", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise BrokerUnavailable(
            f"the broker at {where} was not asked, because this machine allows no further thread; raise the limit of "
            "processes and threads (`ulimit -u`, or the container's)"
        ) from None
    thread.join(seconds)
    advice = "check CELERY_BROKER_URL and that it runs; messages wait safely in the database meanwhile"
    if failed:
        if isinstance(failed[0], SmsclickError):
            raise failed[0]
        if (tls := tls_reason(failed[0])) is not None:
            raise BrokerUnavailable(
                f"the broker at {where} cannot be trusted ({tls}); if an authority of your own signs, name its file in "
                "CELERY_BROKER_URL: ?ssl_ca_certs=/path/ca.pem"
            )
        raise BrokerUnavailable(f"the broker at {where} does not answer ({type(failed[0]).__name__}); {advice}")
    if not given:
        raise BrokerUnavailable(f"the broker at {where} is silent; {advice}")
    return given[0]
