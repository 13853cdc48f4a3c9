"""Finds what looks like a real secret in the tracked files: `make lint` runs it.

It knows the forms of keys and tokens that services give out, and those of our own settings. What only tests use must
not have such a form: a false alarm that is waved through hides the next one.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FORMS = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*[A-Za-z0-9+/=]{40}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20}(?![\w-])",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{20,}|hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/\w{20,}",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}(?![\w-])",
    "a Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{20,}",
    "a PyPI token": r"\bpypi-AgEI[A-Za-z0-9_-]{50,}",
    "a Telegram bot's token": r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![\w-])",
    "a signed web token": r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}",
    "an APIKEY": r"(?:SMSCLICK_API_KEY|APIKEY)['\"]?\s*[=:,]\s*['\"]?[0-9a-fA-F]{32,}\b",
}
_LARGEST_BYTES = 2_000_000


def found_in(text: str) -> list[tuple[int, str]]:
    """Return the lines of a text that hold a secret, with its kind; never the secret itself."""
    found = [
        (text.count("\n", 0, match.start()) + 1, kind)
        for kind, form in FORMS.items()
        for match in re.finditer(form, text)
    ]
    return sorted(found)


def tracked() -> list[Path]:
    """Return the files that git tracks, or all outside of hidden folders where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [each for each in ROOT.rglob("*") if not any(part.startswith(".") for part in each.relative_to(ROOT).parts)]


def main() -> int:
    """Print where a secret is; 1 if there is one."""
    total = 0
    for path in tracked():
        if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            continue
        for line, kind in found_in(path.read_bytes().decode("utf-8", "replace")):
            print(
                f"{path.relative_to(ROOT)}:{line}: looks like {kind}: remove it, and have it revoked", file=sys.stderr
            )
            total += 1
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
