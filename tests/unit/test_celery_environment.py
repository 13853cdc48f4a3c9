"""Celery's variables of other apps do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smsclick.errors import SettingsError
from worker.compat import celery_environment

if TYPE_CHECKING:
    from pathlib import Path

OURS, THEIRS = "redis://ours/0", "redis://theirs/0"


def at_start(folder: Path, **variables: str) -> Path:
    file = folder / "environ"
    file.write_bytes(b"\0".join(f"{name}={value}".encode() for name, value in variables.items()))
    return file


def test_only_our_broker_stays(tmp_path: Path) -> None:
    environment = {
        "CELERY_BROKER_URL": OURS,
        "CELERY_BROKER_READ_URL": THEIRS,
        "CELERY_WORKER_QUEUES": "theirs",
        "PATH": "/bin",
    }
    celery_environment.ignore(environment, ["celery"], at_start(tmp_path))
    assert environment == {"CELERY_BROKER_URL": OURS, "PATH": "/bin"}


def test_the_command_line_of_celery_has_put_broker_url_in_the_place_of_ours(tmp_path: Path) -> None:
    environment = {"BROKER_URL": THEIRS, "CELERY_BROKER_URL": THEIRS}
    file = at_start(tmp_path, BROKER_URL=THEIRS, CELERY_BROKER_URL=OURS)
    celery_environment.ignore(environment, ["celery", "-A", "worker", "worker"], file)
    assert environment["CELERY_BROKER_URL"] == OURS


def test_without_a_broker_of_ours_theirs_does_not_become_ours(tmp_path: Path) -> None:
    environment = {"BROKER_URL": THEIRS, "CELERY_BROKER_URL": THEIRS}
    celery_environment.ignore(environment, ["celery"], at_start(tmp_path, BROKER_URL=THEIRS))
    assert "CELERY_BROKER_URL" not in environment


@pytest.mark.parametrize("arguments", [["-b", THEIRS], ["--broker", THEIRS], [f"--broker={THEIRS}"]])
def test_a_broker_on_the_command_line_is_a_persons_wish(tmp_path: Path, arguments: list[str]) -> None:
    environment = {"BROKER_URL": THEIRS, "CELERY_BROKER_URL": THEIRS}
    celery_environment.ignore(environment, ["celery", *arguments], at_start(tmp_path, CELERY_BROKER_URL=OURS))
    assert environment["CELERY_BROKER_URL"] == THEIRS


def test_where_the_system_keeps_no_first_environment_it_is_refused(tmp_path: Path) -> None:
    environment = {"BROKER_URL": THEIRS, "CELERY_BROKER_URL": THEIRS}
    with pytest.raises(SettingsError, match=r"^BROKER_URL: .*unset it"):
        celery_environment.ignore(environment, ["celery"], tmp_path / "none")


def test_our_broker_may_stand_in_a_file(tmp_path: Path) -> None:
    environment = {"CELERY_BROKER_URL_FILE": "/run/secrets/broker", "BROKER_URL": THEIRS, "CELERY_BROKER_URL": THEIRS}
    celery_environment.ignore(environment, ["celery"], at_start(tmp_path, BROKER_URL=THEIRS))
    assert environment == {"CELERY_BROKER_URL_FILE": "/run/secrets/broker", "BROKER_URL": THEIRS}
    asked = {"CELERY_BROKER_URL_FILE": "/run/secrets/broker", "CELERY_BROKER_URL": THEIRS}
    celery_environment.ignore(asked, ["celery", "-b", THEIRS], at_start(tmp_path))
    assert asked == {"CELERY_BROKER_URL": THEIRS}
