"""The scan for secrets finds each form and shows none; `make audit` says clearly when it could not ask."""

from __future__ import annotations

import importlib.util
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def script() -> Any:  # noqa: ANN401 - a module
    spec = importlib.util.spec_from_file_location("find_secrets", ROOT / "scripts" / "find_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(*parts: str) -> str:
    """A secret put together, so that this file holds none."""
    return "".join(parts)


SECRETS = {
    "a private key": made("-----BEGIN RSA ", "PRIVATE KEY-----\n", "Qk" * 30),
    "an AWS access key": made("AK", "IA", "Q7" * 8),
    "a GitHub token": made("gh", "p_", "aB1" * 12),
    "a GitLab token": made("gl", "pat-", "aB1-" * 5),
    "a Slack token": made("xo", "xb-", "1234567890" * 3),
    "a Google key": made("AI", "za", "aB1_-" * 7),
    "a Stripe key": made("sk", "_live_", "aB1" * 8),
    "a PyPI token": made("py", "pi-AgEI", "aB1_-" * 12),
    "a Telegram bot's token": made("123456789", ":AA", "aB1" * 11),
    "a signed web token": made("ey", "J", "aB1" * 6, ".ey", "J", "aB1" * 6, ".", "aB1" * 8),
    "an APIKEY": made("SMSCLICK_API_", "KEY=", "0a1B" * 8),
}


def test_each_kind_has_an_example() -> None:
    assert SECRETS.keys() == script().FORMS.keys()


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_found_with_its_line(kind: str) -> None:
    assert script().found_in(f"first\nx = {SECRETS[kind]} \n") == [(2, kind)]


def test_no_tracked_file_holds_one() -> None:
    assert script().main() == 0


@pytest.mark.parametrize(
    ("says", "code", "expected", "words"),
    [
        ("No known vulnerabilities found", 0, 0, "requirements.lock: no known vulnerabilities"),
        ("Name Version ID Fix Versions\nx 1 CVE-1 2", 1, 1, "CVE-1"),
        ("ConnectionError: cannot reach", 1, 3, "could not be reached; nothing is known of requirements.lock"),
    ],
)
def test_an_audit_distinguishes_none_known_from_not_asked(
    tmp_path: Path, says: str, code: int, expected: int, words: str
) -> None:
    fake = tmp_path / "uvx"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n")
    fake.chmod(0o755)
    ended = subprocess.run(
        [ROOT / "scripts" / "audit.sh"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == expected
    assert words in ended.stdout + ended.stderr


def test_an_audit_without_its_program_says_what_to_install(tmp_path: Path) -> None:
    for program in ("dirname", "sh"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    ended = subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "audit.sh"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert "install uv" in ended.stderr
