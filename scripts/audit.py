"""Compare the locked packages with the known vulnerabilities: `make audit`.

Exit 0: none is known; 1: some are; 3: not all packages could be compared, so nobody knows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = ("requirements.lock", "requirements-worker.lock")
NONE_KNOWN: Final = 0
SOME_KNOWN: Final = 1
NOT_ASKED: Final = 3

_WIDTH: Final = 78
_LAST_LINES: Final = 3
_NAMES_SHOWN: Final = 5


def main() -> int:
    """Ask for each lock; the exit code stands above."""
    program = found_program()
    if program is None:
        say("audit: not done: install uv (make lock needs it too), or pip-audit 2.9 or newer.")
        return NOT_ASKED
    # --no-deps, because a lock is complete; --disable-pip, so that nothing is installed.
    options = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    codes = set()
    for lock in LOCKS:
        command = [*program, "--requirement", lock, *options]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        codes.add(report(lock, ended.stdout, ended.stderr))
    return next((code for code in (SOME_KNOWN, NOT_ASKED) if code in codes), NONE_KNOWN)


def found_program() -> list[str] | None:
    """The command that runs pip-audit."""
    if shutil.which("uvx"):
        return ["uvx", "--from", "pip-audit>=2.9,<3", "pip-audit"]
    return ["pip-audit"] if shutil.which("pip-audit") else None


def report(lock: str, stdout: str, stderr: str) -> int:
    """Print what is known of a lock, our conclusion before the words of pip-audit."""
    packages = read(stdout)
    if packages is None:
        _say_failed(lock, stdout + stderr)
        return NOT_ASKED
    vulnerable = [each for each in packages if each.get("vulns")]
    skipped = [each for each in packages if "skip_reason" in each]
    if vulnerable:
        _say_vulnerable(lock, vulnerable)
    if skipped:
        _say_skipped(lock, skipped, len(packages))
    if vulnerable:
        return SOME_KNOWN
    if skipped:
        return NOT_ASKED
    if not packages:
        say(f"{lock}: not audited: pip-audit read no package from it.")
        return NOT_ASKED
    print(f"{lock}: no known vulnerabilities (packages: {len(packages)})")
    return NONE_KNOWN


def _say_failed(lock: str, words: str) -> None:
    say(
        f"{lock}: not audited: pip-audit failed, or could not reach the database of vulnerabilities. "
        "Nothing is known of its packages; try again."
    )
    last = [line for line in words.splitlines() if line.strip()][-_LAST_LINES:]
    if last:
        say("The last lines of pip-audit:")
        for line in last:
            say(line, indent=2)


def _say_vulnerable(lock: str, vulnerable: list[dict[str, Any]]) -> None:
    say(f"{lock}: known vulnerabilities: {sum(len(each['vulns']) for each in vulnerable)}")
    for each in vulnerable:
        for known in each["vulns"]:
            fixed = ", ".join(known.get("fix_versions") or []) or "no version yet"
            say(f"{each['name']} {each['version']}: {known['id']}, fixed in {fixed}", indent=2)


def _say_skipped(lock: str, skipped: list[dict[str, Any]], count: int) -> None:
    say(f"{lock}: not audited: {len(skipped)} of {count} packages; nothing is known of them:")
    for each in skipped[:_NAMES_SHOWN]:
        say(f"{each['name']}: {each['skip_reason']}", indent=2)
    if len(skipped) > _NAMES_SHOWN:
        say(f"and {len(skipped) - _NAMES_SHOWN} more", indent=2)


def read(stdout: str) -> list[dict[str, Any]] | None:
    """The packages of pip-audit's JSON; None where it wrote none."""
    try:
        found = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, list) else None


def say(text: str, *, indent: int = 0) -> None:
    """Print a line to stderr, folded for a terminal of 80 columns."""
    space = " " * indent
    folded = textwrap.fill(
        text, _WIDTH, initial_indent=space, subsequent_indent=space + "  ", break_on_hyphens=False
    )  # fmt: skip
    print(folded, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
