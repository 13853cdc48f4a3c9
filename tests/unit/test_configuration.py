"""What people really write into settings: read right, or one line that says what is wrong and shows no secret."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from smsclick._net.urls import scheme_of
from smsclick._values.callback import WebhookTarget
from smsclick.errors import SettingsError
from smsclick.settings import load_settings
from tests.commandline import call, run
from tests.factories import settings as make_settings
from worker.alerting import delivery
from worker.callbacks.webhook_addresses import AddressRules, RefusedAddressError

SECRET = "tezontle8a5c"
SIGNS = ["@", "/", "?", "#", ":", "@@", "#/", "?@"]
SCHEMES = {
    "DATABASE_URL": ["postgresql", "postgres", "mysql", "mariadb", "postgresql+psycopg", "mysql+pymysql"],
    "CELERY_BROKER_URL": ["redis", "rediss", "amqp", "amqps", "sentinel"],
}


def refusal(variable: str, value: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(**{variable: value})
    return str(refused.value)


@pytest.mark.parametrize(
    ("variable", "scheme", "sign"),
    [
        (variable, scheme, sign)
        for variable, schemes in SCHEMES.items()
        for scheme, sign in itertools.product(schemes, SIGNS)
    ],
)
def test_a_password_that_is_not_encoded_is_shown_nowhere(variable: str, scheme: str, sign: str) -> None:
    """A URL that can be read in only one way is accepted; a colon in a password is clear."""
    url = f"{scheme}://user:{SECRET[:6]}{sign}{SECRET[6:]}@host/1"
    url += "?master_name=m" if scheme == "sentinel" else ""
    if sign == ":":
        load_settings(**{variable: url})
        return
    line = refusal(variable, url)
    assert line.startswith(f"{variable}: ")
    assert "\n" not in line
    assert SECRET[:6] not in line
    assert SECRET[6:] not in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", f"postgresql://u:{SECRET}@h:port/d"),
        ("DATABASE_URL", f"{SECRET}"),
        ("DATABASE_URL", f"oracle://u:{SECRET}@h/d"),
        ("CELERY_BROKER_URL", f"redis://:{SECRET}@h:99999x/0"),
        ("CELERY_BROKER_URL", f"kafka://:{SECRET}@h/0"),
        ("CELERY_BROKER_URL", f"redis://:{SECRET}"),
    ],
)
def test_of_an_address_that_cannot_be_used_nothing_is_shown(variable: str, value: str) -> None:
    assert SECRET not in refusal(variable, value)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://u:p%40ss%2Fw@h:5432/d?sslmode=require",
        "postgresql://u:p@h1:5432,h2:5432/d?target_session_attrs=read-write",
        "postgresql://u:p@[::1]:5432/d",
        "sqlite:////home/ana@work/sms.db",
        "mysql://u:p@h/d",
    ],
)
def test_an_address_that_can_be_read_in_one_way_is_accepted(value: str) -> None:
    load_settings(DATABASE_URL=value)


def test_of_an_address_only_the_scheme_may_be_shown() -> None:
    assert scheme_of(f"redis://:{SECRET}@h") == "redis://…"
    assert scheme_of(SECRET) == "…"


WRAPPINGS = ["{}\n", "\ufeff{}", " {} ", '"{}"', "'{}'", "\ufeff'{}'\r\n"]
VALUES = {
    "SMSCLICK_API_KEY": "1EgdzRnSFX83mPh2WK7yTI",
    "SMSCLICK_BASE_URL": "https://example.com/sms-services",
    "SMSCLICK_TIMEZONE": "America/Tijuana",
    "DATABASE_URL": "postgresql+psycopg://u:p@h/d",
    "CELERY_BROKER_URL": "redis://h/1",
    "SMSCLICK_READ_TIMEOUT": "20",
    "SMSCLICK_POLL_SECONDS": "5,10",
    "SMSCLICK_QUIET_HOURS": "22:00-08:00",
    "SMSCLICK_WEBHOOK_ALLOW_PRIVATE": "true",
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("variable", VALUES)
def test_what_editors_and_docker_leave_around_a_value_is_taken_off(variable: str, wrapping: str) -> None:
    assert load_settings(**{variable: wrapping.format(VALUES[variable])}) == load_settings(
        **{variable: VALUES[variable]}
    )


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_file_of_the_key_may_have_it_too(tmp_path: Path, wrapping: str) -> None:
    file = tmp_path / "key"
    file.write_text(wrapping.format("1EgdzRnSFX"), encoding="utf-8")
    assert load_settings(SMSCLICK_API_KEY_FILE=str(file)).require_api_key() == "1EgdzRnSFX"


@pytest.mark.parametrize(
    "content", [f"{SECRET} {SECRET}", f"{SECRET}\n{SECRET}", f"{SECRET}\0", f"{SECRET}ñ", "\ufeff"]
)
def test_a_key_that_cannot_be_one_is_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    for encoding in ("utf-8", "utf-16"):
        file.write_text(content, encoding=encoding)
        with pytest.raises(SettingsError) as refused:
            load_settings(SMSCLICK_API_KEY_FILE=str(file)).require_api_key()
        assert SECRET not in str(refused.value)
        assert "\n" not in str(refused.value)


# --- Alerts


@pytest.mark.parametrize("bad", [f"maito://u:{SECRET}@example.com", f"slack://{SECRET}"])
def test_an_alert_address_that_no_channel_takes_is_refused(bad: str, caplog: pytest.LogCaptureFixture) -> None:
    for urls in (bad, f"{bad},json://localhost/x"):
        with pytest.raises(SettingsError, match=r"ALERT_URLS: no channel accepts address 1 of \d") as refused:
            delivery.channels(urls)
        assert SECRET not in str(refused.value) + caplog.text


def test_doctor_says_so_too(sqlite_url: str) -> None:
    env = {"DATABASE_URL": sqlite_url, "ALERT_URLS": f"maito://u:{SECRET}@example.com"}
    checks = call("doctor", "--json", env=env).records
    assert (checks[0]["name"], checks[0]["verdict"]) == ("configuration", "failed")
    assert "maito://…" in checks[0]["found"]
    assert SECRET not in str(checks)


# --- Webhooks


@pytest.mark.parametrize(
    ("hosts", "host", "port", "allowed"),
    [
        ("hooks.example.com", "hooks.example.com", 443, True),
        ("hooks.example.com", "hooks.example.com", 8443, True),
        ("hooks.example.com:8443", "hooks.example.com", 8443, True),
        ("hooks.example.com:8443", "hooks.example.com", 443, False),
        ("*.example.com:8443", "a.example.com", 8443, True),
        ("*.example.com:8443", "a.example.org", 8443, False),
        ("other.example.com,hooks.example.com:8443", "hooks.example.com", 8443, True),
    ],
)
def test_a_host_may_be_named_with_its_port(hosts: str, host: str, port: int, allowed: bool) -> None:  # noqa: FBT001
    found = make_settings("sqlite:///x.db", SMSCLICK_WEBHOOK_HOSTS=hosts)
    rules, target = AddressRules(found.webhook_hosts), WebhookTarget(True, host, port, "/")  # noqa: FBT003
    if allowed:
        rules.check_target(target)
    else:
        with pytest.raises(RefusedAddressError):
            rules.check_target(target)


# --- SQLite's file and other folders


def test_a_database_holds_phones_and_texts_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "smsclick.db"
    env = {"DATABASE_URL": f"sqlite:///{file}"}
    made = run("migrate", env=env, cwd=tmp_path)
    assert (made.code, made.out) == (0, f"the tables are at the newest version in {file}\n")
    assert call("enqueue", "5551402211", "Hola", env=env).code == 0
    modes = {each.name: each.stat().st_mode & 0o777 for each in file.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("mode", "becomes", "verdicts"),
    [
        (0o644, 0o600, ("warning", "ok")),
        (0o604, 0o600, ("warning", "ok")),
        (0o664, 0o660, ("warning", "ok")),
        (0o660, 0o660, ("ok", "ok")),
        (0o640, 0o640, ("ok", "ok")),
        (0o600, 0o600, ("ok", "ok")),
        (0o666, 0o666, ("warning", "warning")),
    ],
)
def test_what_earlier_releases_left_open_is_closed_by_a_migration_and_what_is_shared_stays(
    mode: int, becomes: int, verdicts: tuple[str, str], migrated_sqlite_url: str
) -> None:
    file = Path(migrated_sqlite_url.removeprefix("sqlite:///"))
    env = {"DATABASE_URL": migrated_sqlite_url}
    beside = [file.with_name(f"smsclick.db{ending}") for ending in ("-wal", "-shm")]
    for each in (file, *beside):
        each.touch()
        each.chmod(mode)

    def verdict() -> str:
        checks = {each["name"]: each for each in call("doctor", "--json", env=env).records}
        return str(checks["file"]["verdict"])

    assert verdict() == verdicts[0]
    for each in (file, *beside):
        each.touch()
        each.chmod(mode)
    out = call("migrate", env=env).out
    assert ("every user could read it" in out) is (mode != becomes)
    assert {each.stat().st_mode & 0o777 for each in (file, *beside) if each.exists()} == {becomes}
    assert verdict() == verdicts[1]


def test_a_folder_in_which_everybody_may_replace_files_is_named(tmp_path: Path, migrated_sqlite_url: str) -> None:
    env = {"DATABASE_URL": migrated_sqlite_url}
    for file in tmp_path.glob("smsclick.db*"):
        file.chmod(0o600)
    for mode, verdict in ((0o777, "warning"), (0o1777, "ok"), (0o755, "ok")):
        tmp_path.chmod(mode)
        checks = {each["name"]: each for each in call("doctor", "--json", env=env).records}
        assert checks["file"]["verdict"] == verdict


@pytest.mark.parametrize("words", [("enqueue", "5551402211", "Hola"), ("stats",), ("export",), ("optout", "list")])
def test_no_database_is_made_in_passing(tmp_path: Path, words: tuple[str, ...]) -> None:
    complaint = call(*words, cwd=tmp_path).complaint
    assert str(tmp_path / "var" / "smsclick.db") in complaint
    assert "smsclick migrate" in complaint
    assert list(tmp_path.iterdir()) == []


# --- The program


def test_the_version_and_ports_that_do_not_exist() -> None:
    assert call("--version").out.startswith("smsclick ")
    assert call("simulate", "--port", "99999").code == 2
