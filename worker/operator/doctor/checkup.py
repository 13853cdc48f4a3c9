"""Run the checks of `smsclick doctor` one after the other. No check raises."""

from collections.abc import Callable, Iterator

from smsclick._database.engine import Database, parse_url
from smsclick._database.sqlite_files import require_there
from smsclick.errors import SmsclickError
from smsclick.settings import Settings, load_settings
from worker.alerting import delivery
from worker.operator.doctor import account, beat, broker, durability, provider, queue, storage, unread_calls
from worker.operator.doctor import database as tables
from worker.operator.doctor.check import Check, Verdict, failed, guarded, skipped


def examine(*, load: Callable[[], Settings] = load_settings) -> Iterator[Check]:
    """Yield each check as soon as it ends; a check that another one makes impossible is skipped.

    Args:
        load: returns the settings.
    """
    try:
        settings = load()
        delivery.channels(settings.alert_urls.get_secret_value())
    except SmsclickError as error:
        yield Check("configuration", Verdict.FAILED, str(error), "correct the environment or .env, then run this again")
        return
    yield Check("configuration", Verdict.OK, "every setting can be used")
    yield from _check_database(settings)
    yield from _check_broker(settings)
    yield from provider.checks(settings)


def _check_database(settings: Settings) -> Iterator[Check]:
    names = ("migrations", "beat", "queue", "clock", "hold", "incidents")
    try:
        require_there(parse_url(settings.database_url))
        database = Database(settings.database_url, threads=1)
    except (SmsclickError, OSError) as error:
        yield failed("database", error)
        yield from skipped(names, "the database cannot be used")
        return
    try:
        reached = guarded("database", lambda: tables.reached(database))
        yield reached
        if reached.verdict is not Verdict.OK:
            yield from skipped(names, "the database does not answer")
            return
        migrated = guarded("migrations", lambda: tables.migrations(database))
        yield migrated
        yield guarded("clock", lambda: tables.clock(database))
        for name, look in (*durability.checks(database), *storage.checks(database)):
            yield guarded(name, look)
        if migrated.verdict is not Verdict.OK:
            yield from skipped(("beat", "queue", "hold", "incidents"), "the tables are of another version")
            return
        yield guarded("beat", lambda: beat.check(database, settings))
        yield guarded("queue", lambda: queue.check(database))
        yield guarded("hold", lambda: account.hold(database))
        yield guarded("incidents", lambda: account.incidents(database))
    finally:
        database.dispose()


def _check_broker(settings: Settings) -> Iterator[Check]:
    reached = guarded("broker", lambda: broker.reached(settings))
    yield reached
    if reached.verdict not in {Verdict.OK, Verdict.WARNING} or settings.broker.is_embedded:
        return
    queues = guarded("queues", lambda: broker.queues(settings))
    yield queues
    if settings.broker.is_redis:
        yield guarded(unread_calls.NAME, lambda: broker.unread(settings))
    if queues.verdict is Verdict.OK:
        yield guarded("workers", lambda: broker.workers(settings))
    else:
        yield from skipped(("workers",), "see queues")
