"""The messages in Django's admin: staff with the permission "Can view message" may read them, and nobody may write."""

import contextlib
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from smsclick._values.causes import phrase
from smsclick._values.phones import normalize_phone
from smsclick.django.models import Event, Message
from smsclick.errors import InvalidMessage

_LARGEST_ID = 2**63 - 1


class _ReadOnly:
    """An admin without pages to add, change or delete."""

    def has_add_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Return False."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Return False."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Return False."""
        return False


class EventInline(_ReadOnly, admin.TabularInline):  # type: ignore[misc] # Django has no types here
    """The events of a message."""

    model = Event
    extra = 0
    fields = ("at", "from_state", "to_state", "why", "attempt", "code", "description")
    readonly_fields = ("why",)

    @admin.display(description="cause")  # type: ignore[untyped-decorator] # Django has no types here
    def why(self, event: Event) -> str:
        """The event's cause in words."""
        return phrase(str(event.cause), event.description)


@admin.register(Message)
class MessageAdmin(_ReadOnly, admin.ModelAdmin):  # type: ignore[misc] # Django has no types here
    """Search by phone, key, reference, id or id_mensaje; filters by state and priority."""

    list_display = ("id", "state", "phone", "text", "key", "id_mensaje", "created_at", "final_at", "last_error")
    list_display_links = ("id", "key")
    list_filter = ("state", "priority", "created_at")
    search_fields = ("key",)
    search_help_text = "phone, key, reference, id, id_mensaje"
    inlines: ClassVar[list[type[admin.TabularInline]]] = [EventInline]
    # Counting ten million rows for each page is slow.
    show_full_result_count = False

    def get_search_results(self, _request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Return rows whose phone, key, reference, id or id_mensaje is the term; a key also by its beginning."""
        term = search_term.strip()
        if not term:
            return queryset, False
        fits = Q(key__startswith=term) | Q(reference=term)
        if term.isdecimal() and int(term) <= _LARGEST_ID:
            fits |= Q(pk=int(term)) | Q(id_mensaje=int(term))
        with contextlib.suppress(InvalidMessage):
            fits |= Q(phone=normalize_phone(term))
        return queryset.filter(fits), False

    def get_actions(self, _request: HttpRequest) -> dict[str, Any]:
        """Return no actions."""
        return {}
