"""docker-compose.yml and Dockerfile, as far as they can be checked without a container engine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from smsclick._values.quiet_hours import QuietHours
from smsclick.settings import Settings, load_settings
from tests.compose import COMPOSE, DOCUMENT, OURS, SERVICES, container_environment, dot_env, first_lines, interpolated
from tests.processes import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    """What the Dockerfile says after each `name`."""
    return re.findall(rf"^{name} +(.+)$", DOCKERFILE, re.MULTILINE)


def test_compose_file_follows_the_compose_specification() -> None:
    """check-jsonschema brings the specification's schema along."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", OURS)
def test_commands_are_programs_that_the_image_installs(service: str) -> None:
    programs = {point.name for point in entry_points(group="console_scripts")} | {"python"}
    commands = [SERVICES[service]["command"]]
    if "healthcheck" in SERVICES[service]:
        kind, *check = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        commands.append(check)
    for command in commands:
        assert isinstance(command, list)
        assert all(isinstance(word, str) for word in command)
        assert command[0] in programs


@pytest.mark.parametrize("service", OURS)
def test_our_services_share_one_environment_and_read_the_key_from_a_file(service: str) -> None:
    environment = SERVICES[service]["environment"]
    assert environment["SMSCLICK_API_KEY_FILE"] == "/run/secrets/smsclick_api_key"
    assert "SMSCLICK_API_KEY" not in environment
    assert SERVICES[service]["secrets"] == ["smsclick_api_key"]
    assert environment["DATABASE_URL"].startswith("postgresql+psycopg://")
    assert "@postgres:5432/" in environment["DATABASE_URL"]
    assert environment["CELERY_BROKER_URL"] == "redis://redis:6379/0"


@pytest.mark.parametrize("service", OURS)
def test_every_setting_reaches_our_containers(service: str) -> None:
    """The files of `…_FILE` are the host's, so that only the one that Compose mounts is named."""
    environment = SERVICES[service]["environment"]
    declared = {str(field.validation_alias) for field in Settings.model_fields.values()}
    settings = {name for name in declared if not name.endswith("_FILE")} - {"SMSCLICK_API_KEY"}
    assert settings <= set(environment)
    fixed = {name for name, value in environment.items() if value is not None}
    own = {"SMSCLICK_WEB_BIND"} if service == "web" else set()
    assert fixed == {"DATABASE_URL", "CELERY_BROKER_URL", "SMSCLICK_API_KEY_FILE"} | own


def test_every_documented_setting_reaches_our_containers() -> None:
    documented = set(re.findall(r"`((?:SMSCLICK_|ALERT_)[A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    known = {name for name in documented if not name.endswith(("_FILE", "_"))} - {"SMSCLICK_API_KEY"}
    assert known <= set(SERVICES["worker"]["environment"])


@pytest.mark.parametrize(
    ("line", "is_read_as"),
    [
        ("SMSCLICK_QUIET_HOURS=22:00-08:00", "22:00-08:00"),
        ("SMSCLICK_QUIET_HOURS='22:00-08:00'", "22:00-08:00"),
        ('SMSCLICK_QUIET_HOURS="22:00-08:00"', "22:00-08:00"),
        ("export SMSCLICK_QUIET_HOURS=22:00-08:00  # at night", "22:00-08:00"),
        ("SMSCLICK_QUIET_HOURS=", None),
        ("", None),
    ],
)
def test_a_line_of_dot_env_reaches_the_setting(
    line: str, is_read_as: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"POSTGRES_PASSWORD=a1b2c3\n{line}\n")
    for name, value in container_environment("worker", dot_env(tmp_path / ".env")).items():
        monkeypatch.setenv(name, value)
    found = load_settings(_env_file=None).quiet_hours
    assert found == (is_read_as and QuietHours.parse(is_read_as))


# --- The first lines, in a fresh clone


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that the first lines use, as a fresh clone has them: neither var nor .env is there."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(COMPOSE, tmp_path)
    shutil.copy(ROOT / "scripts" / "secrets.sh", tmp_path / "scripts")
    return tmp_path


def prepare(clone: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Runs the lines above the one that needs Docker, with a key on stdin."""
    *lines, docker = first_lines()
    assert docker.startswith("docker compose up ")
    return subprocess.run(
        ["sh", "-euc", "\n".join(lines)], cwd=clone, input=key, capture_output=True, text=True, check=False
    )


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_lines_make_in_a_fresh_clone_what_the_file_asks_for(clone: Path) -> None:
    done = prepare(clone, "a-key \n")
    assert (done.returncode, done.stderr) == (0, "")
    variables = dot_env(clone / ".env")
    assert re.fullmatch("[0-9a-f]{48}", variables["POSTGRES_PASSWORD"])
    secret = clone / interpolated(DOCUMENT["secrets"]["smsclick_api_key"]["file"], variables)
    assert secret.read_text() == "a-key\n"
    assert load_settings(_env_file=None, SMSCLICK_API_KEY_FILE=str(secret)).require_api_key() == "a-key"
    # Readable in the container for user 10001, and on this machine for its owner alone.
    assert (mode(secret), mode(secret.parent), mode(clone / ".env")) == (0o644, 0o700, 0o600)
    assert container_environment("worker", variables)["DATABASE_URL"].count(variables["POSTGRES_PASSWORD"]) == 1


def test_the_first_lines_leave_what_is_there(clone: Path) -> None:
    (clone / ".env").write_text("ALERT_URLS=json://alerts.example.com")  # without a line's end
    (clone / "var" / "smsclick_api_key").mkdir(parents=True)  # as older versions of Compose make it
    assert prepare(clone, "first").returncode == 0
    before = (clone / ".env").read_text()
    assert before.startswith("ALERT_URLS=json://alerts.example.com\nPOSTGRES_PASSWORD=")
    again = prepare(clone, "")
    assert (again.returncode, again.stderr) == (0, "")
    assert (clone / ".env").read_text() == before
    assert (clone / "var" / "smsclick_api_key").read_text() == "first\n"


def test_without_a_key_the_first_lines_say_so_in_one_line(clone: Path) -> None:
    done = prepare(clone, "")
    assert (done.returncode, done.stderr) == (1, "secrets: no key was given; run it again and paste the key\n")
    assert not (clone / "var" / "smsclick_api_key").exists()


def test_nothing_is_reachable_from_outside() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"web": ["127.0.0.1:8080:8080"], "metrics": ["127.0.0.1:9808:9808"]}


def test_what_a_service_waits_for_exists_and_can_come_true() -> None:
    for service in SERVICES.values():
        for name, wish in service.get("depends_on", {}).items():
            assert name in SERVICES
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]


def test_redis_never_evicts_and_remembers() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"


def test_named_volumes_and_secrets_are_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in DOCUMENT["volumes"]
        for secret in service.get("secrets", []):
            assert secret in DOCUMENT["secrets"]


def test_workers_have_time_to_finish_a_call_to_the_provider() -> None:
    """Connect and read timeouts of the contract's page are 5 and 30 s."""
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > 35


def test_the_dockerfile_copies_only_what_dockerignore_lets_through() -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {source for copy in instructions("COPY") for source in shlex.split(copy)[:-1]}
    assert copied == allowed


def test_the_image_runs_as_nobody_in_particular_with_commands_that_get_signals() -> None:
    assert instructions("USER") == ["10001"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    [command] = instructions("CMD")
    assert json.loads(command) == SERVICES["worker"]["command"]


def test_the_image_installs_only_what_is_pinned_by_hash() -> None:
    installs = [run for run in instructions("RUN") if "pip install" in run]
    assert installs
    assert all("--require-hashes" in run or "--no-deps" in run for run in installs)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-worker.lock", "requirements-servers.lock"])
def test_locks_pin_everything_by_hash_and_name_no_index(lock: str) -> None:
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    assert lines
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+( ; [^;]+?)?( +--hash=sha256:[0-9a-f]{64})+", line) for line in lines)


def test_the_image_has_the_versions_that_the_tests_ran_with() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9.-]+==\S+", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins("requirements-worker.lock") <= pins("requirements.lock")


@pytest.mark.parametrize("service", ["worker", "beat"])
def test_the_log_shows_sends(service: str) -> None:
    assert SERVICES[service]["command"][-2:] == ["--loglevel", "INFO"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_log_is_rotated(service: str) -> None:
    assert SERVICES[service]["logging"]["driver"] == "json-file"
    options = SERVICES[service]["logging"]["options"]
    assert options["max-size"]
    assert options["max-file"]


@pytest.mark.parametrize("service", OURS)
def test_none_of_our_services_can_take_the_whole_machine(service: str) -> None:
    assert SERVICES[service]["mem_limit"]
    assert SERVICES[service]["pids_limit"]


def test_everything_that_runs_has_a_time_to_stop_and_a_health_check() -> None:
    for name, service in SERVICES.items():
        if name != "migrate":
            assert {"stop_grace_period", "healthcheck"} <= set(service), name


def test_a_second_beat_stands_by() -> None:
    assert SERVICES["beat"]["deploy"]["replicas"] == 2
