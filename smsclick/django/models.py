"""Read-only models over the tables of smsclick, for the admin and for queries of a Django project.

```python
from smsclick.django.models import Message

Message.objects.filter(reference=f"customer-{customer.pk}", state="rejected")
```

Django neither makes nor changes these tables. What writes raises: messages are stored by `smsclick.django.enqueue`.
"""

import datetime as dt
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils import timezone

from smsclick.contract import Priority, State
from smsclick.django import database_alias
from smsclick.errors import SmsclickError

__all__ = ["Event", "Message"]


class UtcDateTimeField(models.DateTimeField):  # type: ignore[misc] # Django has no types here
    """A column in UTC, whatever zone Django's connection has.

    Django takes times of MySQL, MariaDB and SQLite for times of `DATABASES[...]["TIME_ZONE"]`, or without `USE_TZ` for
    those of `TIME_ZONE`. PostgreSQL's columns have their zone.
    """

    def from_db_value(self, value: dt.datetime | None, _expression: object, connection: Any) -> dt.datetime | None:  # noqa: ANN401 - Django's
        """Aware, or naive in the zone of `TIME_ZONE`, as Django's own field gives it."""
        if value is None or connection.vendor == "postgresql":
            return value
        value = value.replace(tzinfo=dt.UTC)
        return value if settings.USE_TZ else timezone.make_naive(value, timezone.get_default_timezone())

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - Django's
        """The same way back, for filters."""
        if connection.vendor == "postgresql":
            return super().get_db_prep_value(value, connection, prepared)
        value = value if prepared else self.get_prep_value(value)
        if not isinstance(value, dt.datetime):
            return value
        if timezone.is_naive(value):
            value = timezone.make_aware(value, timezone.get_default_timezone())
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
        # SQLite compares text, and the column always has microseconds.
        return value.isoformat(" ", "microseconds")


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise SmsclickError(
        "smsclick's tables are read-only here; store messages with smsclick.django.enqueue, and cancel or retry them "
        "with smsclick's own commands"
    )


class ReadOnlyQuerySet(models.QuerySet):  # type: ignore[misc] # Django has no types here
    """Reads; every method that writes raises `SmsclickError`."""

    create = bulk_create = bulk_update = update = delete = get_or_create = update_or_create = _refuse
    acreate = abulk_create = abulk_update = aupdate = adelete = aget_or_create = aupdate_or_create = _refuse
    _raw_delete = _update = _insert = _refuse


class ReadOnlyManager(models.Manager.from_queryset(ReadOnlyQuerySet)):  # type: ignore[misc] # Django has no types here
    """Reads from the database that `SMSCLICK_DATABASE` names."""

    def get_queryset(self) -> models.QuerySet:
        """All rows."""
        return super().get_queryset().using(database_alias())


class ReadOnly(models.Model):  # type: ignore[misc] # Django has no types here
    """A row that is never written through Django."""

    objects = ReadOnlyManager()

    class Meta:
        """For both tables."""

        abstract = True
        managed = False
        default_permissions = ("view",)

    save = asave = delete = adelete = _refuse


class Message(ReadOnly):
    """One SMS to one phone."""

    id = models.BigIntegerField(primary_key=True)
    key = models.CharField(max_length=200, unique=True)
    phone = models.CharField(max_length=40)
    text = models.TextField()
    state = models.CharField(max_length=12, choices=[(state.value, state.value) for state in State])
    priority = models.SmallIntegerField(choices=[(each.value, each.name.lower()) for each in Priority])
    reference = models.CharField(max_length=200, null=True)
    rule_id = models.CharField(max_length=40, null=True)
    if_absent = models.CharField(max_length=8)
    callback = models.CharField(max_length=500, null=True)
    id_mensaje = models.BigIntegerField(null=True, unique=True)
    estatus_mensaje = models.SmallIntegerField(null=True)
    credits_used = models.IntegerField(null=True)
    attempts = models.IntegerField()
    last_code = models.IntegerField(null=True)
    last_error = models.CharField(max_length=300, null=True)
    created_at = UtcDateTimeField()
    send_at = UtcDateTimeField(null=True)
    expires_at = UtcDateTimeField(null=True)
    sent_at = UtcDateTimeField(null=True)
    final_at = UtcDateTimeField(null=True)
    reply = models.TextField(null=True)
    replied_at = UtcDateTimeField(null=True)
    erased_at = UtcDateTimeField(null=True)

    class Meta(ReadOnly.Meta):
        """The table."""

        db_table = "smsclick_messages"
        ordering = ("-id",)
        verbose_name = "message"

    def __str__(self) -> str:
        """The key: neither phone nor text ends in a log."""
        return str(self.key)


class Event(ReadOnly):
    """One change of a message's state."""

    id = models.BigIntegerField(primary_key=True)
    message = models.ForeignKey(Message, on_delete=models.DO_NOTHING, related_name="events")
    at = UtcDateTimeField()
    from_state = models.CharField(max_length=12)
    to_state = models.CharField(max_length=12)
    cause = models.CharField(max_length=40)
    attempt = models.IntegerField()
    code = models.IntegerField(null=True)
    description = models.CharField(max_length=300, null=True)
    id_mensaje = models.BigIntegerField(null=True)

    class Meta(ReadOnly.Meta):
        """The table."""

        db_table = "smsclick_events"
        ordering = ("id",)
        verbose_name = "event"

    def __str__(self) -> str:
        """What happened."""
        return f"{self.from_state} → {self.to_state} ({self.cause})"
