"""Settings: the contract's defaults, one clear line for each bad one, and secrets that stay secret."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from smsclick._values.quiet_hours import QuietHours
from smsclick.errors import SettingsError
from smsclick.settings import Settings, load_settings
from tests.factories import KEY

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = {
    "SMSCLICK_BASE_URL": "https://app.smsclick.com.mx/sms-services",
    "SMSCLICK_CA_BUNDLE": None,
    "SMSCLICK_TIMEZONE": "America/Mexico_City",
    "DATABASE_URL": "sqlite:///var/smsclick.db",
    "CELERY_BROKER_URL": "",
    "SMSCLICK_CONNECT_TIMEOUT": 5,
    "SMSCLICK_READ_TIMEOUT": 30,
    "SMSCLICK_LEASE_SECONDS": 120,
    "SMSCLICK_SETTLE_SECONDS": 600,
    "SMSCLICK_POLL_SECONDS": (15, 30, 60, 120, 300, 900, 3600),
    "SMSCLICK_TRACKING_SECONDS": 604_800,
    "SMSCLICK_SWEEP_SECONDS": 5,
    "SMSCLICK_BALANCE_SECONDS": 60,
    "SMSCLICK_LOW_BALANCE": 0,
    "SMSCLICK_MAX_PER_SECOND": 0,
    "SMSCLICK_QUIET_HOURS": None,
    "SMSCLICK_RETENTION_DAYS": 0,
    "SMSCLICK_WEBHOOK_HOSTS": (),
    "SMSCLICK_WEBHOOK_ALLOW_PRIVATE": False,
    "SMSCLICK_API_KEY": None,
    "SMSCLICK_LANGUAGE": "es",
    "SMSCLICK_LOG_FORMAT": "text",
    "SMSCLICK_INSTALLATION": "",
    "SMSCLICK_RUNBOOK_URL": "",
    "SMSCLICK_WEB_BIND": "127.0.0.1:8080",
}
SECRET = "un-secreto-muy-grande"


def test_the_defaults_are_the_contracts() -> None:
    found = load_settings()
    names = {str(field.validation_alias): name for name, field in Settings.model_fields.items()}
    assert {variable: getattr(found, names[variable]) for variable in DEFAULTS} == DEFAULTS
    secrets = {
        "ALERT_URLS",
        "SMSCLICK_CALLBACK",
        "SMSCLICK_HEARTBEAT_URL",
        "SMSCLICK_PROXY",
        "SMSCLICK_WEBHOOK_SECRET",
    }
    assert {getattr(found, names[variable]).get_secret_value() for variable in secrets} == {""}
    assert set(names) == {*DEFAULTS, *secrets}


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSCLICK_POLL_SECONDS", "1, 2.5 ,3")
    monkeypatch.setenv("SMSCLICK_BASE_URL", "http://127.0.0.1:8808/sms-services/")
    monkeypatch.setenv("SMSCLICK_READ_TIMEOUT", "")  # as a compose file leaves what it does not know
    found = load_settings()
    assert list(found.poll_seconds) == [1, 2.5, 3]
    assert found.base_url == "http://127.0.0.1:8808/sms-services"
    assert found.read_timeout == 30


def test_an_env_file_is_read_and_the_environment_outranks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("SMSCLICK_SWEEP_SECONDS=7\nSMSCLICK_BALANCE_SECONDS=7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMSCLICK_BALANCE_SECONDS", "9")
    monkeypatch.setenv("SMSCLICK_QUIET_HOURS", "22:00 - 8:30")
    monkeypatch.setenv("SMSCLICK_MAX_PER_SECOND", "0.5")
    found = load_settings()
    assert (found.sweep_seconds, found.balance_seconds) == (7, 9)
    assert found.quiet_hours == QuietHours(dt.time(22), dt.time(8, 30))
    assert found.max_per_second == 0.5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(
            (f"SMSCLICK_{name}", value)
            for name in (
                "CONNECT_TIMEOUT",
                "READ_TIMEOUT",
                "LEASE_SECONDS",
                "SETTLE_SECONDS",
                "TRACKING_SECONDS",
                "SWEEP_SECONDS",
                "BALANCE_SECONDS",
            )
            for value in ("0", "-1", "soon", "nan", "inf", "1e300")
        ),
        *(("SMSCLICK_POLL_SECONDS", value) for value in (",", "15,x", "15,0", "-1", "nan", "inf", "15;30")),
        *(("SMSCLICK_LOW_BALANCE", value) for value in ("-1", "many", "1.5")),
        *(("SMSCLICK_RETENTION_DAYS", value) for value in ("-1", "1.5", "99999999999")),
        *(("SMSCLICK_MAX_PER_SECOND", value) for value in ("-1", "nan", "fast", "0.01", "1e9")),
        *(("SMSCLICK_QUIET_HOURS", value) for value in ("22-8", "22:00", "24:00-08:00", "08:00-08:00", "22:00-8:60")),
        *(("SMSCLICK_BASE_URL", value) for value in ("app.smsclick.com.mx", "ftp://host", "http://", "http://a b/c")),
        *(("SMSCLICK_TIMEZONE", value) for value in ("Marte/Norte", "America", "../etc/passwd", "/etc/passwd")),
        *(("DATABASE_URL", value) for value in ("oracle://h/d", "smsclick", "postgresql://u:p@h:port/d", "://")),
        *(("CELERY_BROKER_URL", value) for value in ("127.0.0.1:6379", "http://127.0.0.1")),
    ],
)
def test_a_bad_setting_is_one_line_with_its_name_what_was_wrong_and_an_example(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    line = str(refused.value)
    assert re.fullmatch(rf"{variable}: .{{8,}}, for example {variable}=\S+", line)


def test_a_lease_that_a_living_call_could_outlast_is_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(SMSCLICK_LEASE_SECONDS="35")
    assert str(refused.value) == (
        "SMSCLICK_LEASE_SECONDS: must exceed SMSCLICK_CONNECT_TIMEOUT + SMSCLICK_READ_TIMEOUT (35 s), or a living "
        "call would lose its claim; got 35, for example SMSCLICK_LEASE_SECONDS=120"
    )
    assert load_settings(SMSCLICK_LEASE_SECONDS="35.1").lease_seconds == 35.1


def test_all_bad_settings_are_reported_together_in_one_line() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(SMSCLICK_SWEEP_SECONDS="x", SMSCLICK_TIMEZONE="Marte")
    line = str(refused.value)
    assert "\n" not in line
    assert "SMSCLICK_SWEEP_SECONDS: " in line
    assert "SMSCLICK_TIMEZONE: " in line


# --- Secrets


@pytest.mark.parametrize("bad", [{}, {"SMSCLICK_READ_TIMEOUT": "x"}, {"SMSCLICK_LEASE_SECONDS": "1"}])
def test_secrets_show_neither_in_the_settings_nor_in_their_errors(bad: dict[str, str]) -> None:
    secrets = {
        "SMSCLICK_API_KEY": SECRET,
        "ALERT_URLS": f"json://{SECRET}@127.0.0.1/x",
        "DATABASE_URL": f"postgresql://u:{SECRET}@h/d",
        "CELERY_BROKER_URL": f"redis://:{SECRET}@h",
    }
    if bad:
        with pytest.raises(SettingsError) as refused:
            load_settings(**secrets, **bad)
        shown = f"{refused.value} {refused.value!r} {refused.value.__cause__} {refused.value.__context__}"
    else:
        found = load_settings(**secrets)
        shown = f"{found} {found!r} {found.model_dump_json(exclude={'database_url', 'broker_url'})}"
    assert SECRET not in shown


@pytest.mark.parametrize("variable", ["DATABASE_URL", "CELERY_BROKER_URL"])
def test_a_bad_address_does_not_show_its_password(variable: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(**{variable: f"oops://u:{SECRET}@h/d"})
    assert SECRET not in f"{refused.value} {refused.value.__context__}"


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert load_settings(SMSCLICK_API_KEY_FILE=file).require_api_key() == KEY


def test_a_missing_key_is_one_line_that_says_where_to_get_one() -> None:
    with pytest.raises(SettingsError, match=r"^SMSCLICK_API_KEY: not set; .*SMSCLICK_API_KEY_FILE.*HERRAMIENTAS"):
        load_settings().require_api_key()


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff", "cannot be")])
def test_a_key_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"^SMSCLICK_API_KEY_FILE: .*key {says}"):
        load_settings(SMSCLICK_API_KEY_FILE=file).require_api_key()


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgresql://h/d", "postgresql+psycopg"),
        ("postgres://h/d", "postgresql+psycopg"),
        ("mysql://h/d", "mysql+pymysql"),
        ("mariadb://h/d", "mariadb+pymysql"),
        ("sqlite:///x.db", "sqlite"),
    ],
)
def test_a_database_without_a_driver_gets_the_one_that_is_shipped(given: str, driver: str) -> None:
    assert load_settings(DATABASE_URL=given).database_url.startswith(f"{driver}://")


def test_a_password_with_signs_survives() -> None:
    assert load_settings(DATABASE_URL="postgresql://u:p%40%2Fss@h/d").database_url.endswith("://u:p%40%2Fss@h/d")
