"""The scan for secrets finds each form and shows none; `make audit` says clearly when it could not ask."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
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


def audited(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


CLEAN = {"name": "a", "version": "1", "vulns": []}
VULNERABLE = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
NOT_FOUND = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3)"}


@pytest.mark.parametrize(
    ("says", "code", "expected", "words"),
    [
        (audited(CLEAN), 0, 0, "requirements.lock: no known vulnerabilities (packages: 1)"),
        (audited(CLEAN, VULNERABLE), 1, 1, "b 2: CVE-1, fixed in 2.1"),
        (audited(CLEAN, NOT_FOUND), 0, 3, "requirements.lock: not audited: 1 of 2 packages"),
        (audited(VULNERABLE, NOT_FOUND), 1, 1, "requirements.lock: known vulnerabilities: 1"),
        (audited(), 0, 3, "not audited: pip-audit read no package"),
        (
            f"Traceback: {'x ' * 99}\nConnectionError: cannot reach",
            1,
            3,
            "requirements.lock: not audited: pip-audit failed",
        ),
    ],
    ids=["clean", "vulnerable", "not found", "both", "empty", "failed"],
)
def test_an_audit_distinguishes_none_known_from_not_asked(
    tmp_path: Path, says: str, code: int, expected: int, words: str
) -> None:
    fake = tmp_path / "uvx"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n")
    fake.chmod(0o755)
    ended = audit(f"{tmp_path}:/usr/bin:/bin")
    assert ended.returncode == expected
    lines = (ended.stdout + ended.stderr).splitlines()
    assert words in "\n".join(lines)
    assert lines[0].startswith("requirements.lock: "), "our conclusion stands before the words of pip-audit"
    assert max(map(len, lines)) < 80


def test_an_audit_without_its_program_says_what_to_install(tmp_path: Path) -> None:
    ended = audit(str(tmp_path))
    assert ended.returncode == 3
    assert "install uv" in ended.stderr


def audit(path: str) -> subprocess.CompletedProcess[str]:
    """`make audit`, which finds programs there only."""
    command = [sys.executable, str(ROOT / "scripts" / "audit.py")]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)
