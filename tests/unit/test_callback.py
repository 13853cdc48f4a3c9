"""Addresses of callbacks: what is one, and one clear line for what is none, at the door and in the settings."""

from __future__ import annotations

import pytest

from smsclick import NewMessage
from smsclick._values.callback import TaskTarget, WebhookTarget, parse_callback
from smsclick.errors import InvalidField, SettingsError
from smsclick.settings import load_settings
from tests.webhook_receiver import SECRET


def webhook(host: str, port: int, path: str, *, secure: bool = True) -> WebhookTarget:
    return WebhookTarget(secure, host, port, path)


MISTAKES = [
    "sms_changed",
    "celery:",
    "celery:app.tasks.sms_changed",
    "celery:app..sms@q",
    "celery:app tasks@q",
    "celery:app.tasks.sms_changed@",
    "celery:smsclick.sweep@q",
    "celery:app.tasks.x@smsclick.ticks",
    "ftp://example.com/x",
    "https://",
    "https:///x",
    "https://user:word@example.com/x",
    "https://example.com/x#y",
    "https://example.com:99999/x",
    "https://example.com:0/x",
    "https://exa mple.com/x",
    "https://example.com/ñ",
    "https://example.com/x\r\nHost: y",
    "https://[::1",
    "https://a..b/",
    f"https://{'a' * 241}/",
]


@pytest.mark.parametrize(
    ("address", "target", "receiver"),
    [
        ("celery:app.tasks.sms_changed@shop", TaskTarget("app.tasks.sms_changed", "shop"), "celery:shop"),
        ("celery:sms@shop.high-1", TaskTarget("sms", "shop.high-1"), "celery:shop.high-1"),
        ("https://example.com", webhook("example.com", 443, "/"), "example.com"),
        (
            "HTTPS://Example.COM:443/a?b=c",
            webhook("example.com", 443, "/a?b=c"),
            "example.com",
        ),
        (
            "https://example.com:8443/a",
            webhook("example.com", 8443, "/a"),
            "example.com:8443",
        ),
        (
            "http://127.0.0.1:8000/x",
            webhook("127.0.0.1", 8000, "/x", secure=False),
            "127.0.0.1:8000",
        ),
        (
            "https://[2001:db8::1]:8443/",
            webhook("2001:db8::1", 8443, "/"),
            "[2001:db8::1]:8443",
        ),
    ],
)
def test_a_task_with_its_queue_and_a_webhook_are_addresses(
    address: str, target: TaskTarget | WebhookTarget, receiver: str
) -> None:
    assert parse_callback(address) == target
    assert target.receiver == receiver


@pytest.mark.parametrize("address", MISTAKES)
def test_what_is_no_address_is_refused_at_the_door_without_being_repeated(address: str) -> None:
    with pytest.raises(InvalidField) as refused:
        NewMessage.of(phone="5551402211", text="x", callback=address)
    assert str(refused.value).startswith("callback: ")
    assert "\n" not in str(refused.value)
    assert "word" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize("address", ["sms_changed", "https://user:word@example.com/x", f"https://e.com/{'x' * 500}"])
def test_a_default_that_is_no_address_is_refused_at_start(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^SMSCLICK_CALLBACK: .*, for example SMSCLICK_CALLBACK=celery:"):
        load_settings(SMSCLICK_CALLBACK=address, SMSCLICK_WEBHOOK_SECRET=SECRET)


def test_a_webhook_for_all_messages_needs_the_secret_that_signs_it() -> None:
    with pytest.raises(SettingsError, match=r"^SMSCLICK_WEBHOOK_SECRET: not set, but SMSCLICK_CALLBACK is a webhook"):
        load_settings(SMSCLICK_CALLBACK="https://example.com/x")
    found = load_settings(SMSCLICK_CALLBACK="https://example.com/x", SMSCLICK_WEBHOOK_SECRET=f"{SECRET} {SECRET}")
    assert found.webhook_secrets == (SECRET, SECRET)
    assert SECRET not in repr(found)
    assert load_settings(SMSCLICK_CALLBACK="celery:t@q").webhook_secrets == ()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("SMSCLICK_WEBHOOK_SECRET", value) for value in ("secret", "whsec_", "whsec_c2hvcnQ=", f"{SECRET} other")),
        *(("SMSCLICK_WEBHOOK_HOSTS", value) for value in ("https://example.com", "example.com/x", "a.*.com", "*")),
        ("SMSCLICK_WEBHOOK_ALLOW_PRIVATE", "perhaps"),
    ],
)
def test_a_bad_setting_is_one_line_that_does_not_show_the_value(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(**{variable: value})
    assert str(refused.value).startswith(f"{variable}: ")
    assert "c2hvcnQ" not in str(refused.value)


def test_hosts_are_names_in_lower_case_separated_by_commas() -> None:
    found = load_settings(SMSCLICK_WEBHOOK_HOSTS="Hooks.example.com, *.example.org")
    assert found.webhook_hosts == ("hooks.example.com", "*.example.org")
