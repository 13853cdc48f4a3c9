"""The Django app of `"smsclick.django"` in `INSTALLED_APPS`."""

from typing import Any

from django.apps import AppConfig
from django.core import mail
from django.db.models.signals import post_migrate


class SmsclickConfig(AppConfig):  # type: ignore[misc] # Django has no types here
    """The models and their admin. They have no migrations of Django, because Alembic makes and changes the tables."""

    name = "smsclick.django"
    label = "smsclick"
    verbose_name = "SMSClick"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Create the tables of test databases; Django calls this once, when all apps are loaded."""
        post_migrate.connect(_create_tables_for_tests, sender=self)


def _create_tables_for_tests(*, using: str, **_: Any) -> None:  # noqa: ANN401 - a signal's
    """Create the tables in a test database that Django has just made; in production `smsclick migrate` does it."""
    if not hasattr(mail, "outbox"):  # Django sets it in tests, before it makes their databases
        return
    from smsclick.django import connected, database_alias  # noqa: PLC0415 - Django's settings are needed
    from smsclick.testing.tables import create_tables  # noqa: PLC0415 - only for tests

    if using == database_alias():
        with connected() as connection:
            create_tables(connection)
