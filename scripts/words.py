"""Finds words of our own where the field has one: `.venv/bin/python scripts/words.py [--strict] [FILE or FOLDER ...]`.

Prints `file:line: word: write ...` for each, and how many there are. Without `--strict` it always ends with 0.
It reads names as well as prose: `_told_at` and `NotTaken` are read as "told at" and "Not Taken". What is meant is a
matter of the words around it: a lock of a row is a lock, `return` is no turn, "tell apart" notifies nobody. The rules
below say where they look at more than the word.
"""

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What must not occur, as a regular expression for a whole word, and what to write.
RULES = (
    ("doorbells?|bells?|rings?|ringing|rung|rang", "wake-up, notifier, wake"),
    ("gates?|gated", "hold; account state; circuit breaker for counted failures"),
    (
        "(?<!row )locks? o[fn] (?:the|an|its) account|account(?: s)? locks?|locked account|account (?:is|was) locked",
        "hold, or the row lock of the account",
    ),
    ("settl(?:e|es|ed|ing)|unsettled", "record a result; reconcile; judge the canary"),
    ("tells?|told|telling|untold", "notify, deliver, report, say; distinguish"),
    ("news", "alert event"),
    # Ordinary where something is "taken from" a place.
    ("taken(?! (?:from|out|off|away|into)\\b)", "acknowledged, accepted; in use; read as"),
    ("moments?", "time, timestamp, slot"),
    # The noun; the verb has an object or a particle, and "in turn" is an ordinary adverb.
    (
        "(?<!in )turns?(?! (?:into|on|off|out|up|back|around|away|over|down|it|them|to|a|an|the)\\b)|turned at",
        "due time, lease, share",
    ),
    ("twins?", "in-flight duplicate, equal content"),
    ("wires?", "content fingerprint; in flight"),
    ("strand(?:s|ed|ing)?", "expire a lease, reclaim"),
    ("distrust(?:s|ed)?|believ(?:e|es|ed|ing)", "untrusted report; trust"),
    ("push(?:es|ed|ing)? back|pushback", "throttle; backpressure"),
    ("pulse|signs? of life", "heartbeat"),
    ("anew", "again"),
    ("for ever", "forever"),
    ("mend(?:s|ed|ing)?", "fix"),
    ("affairs?", "concern"),
    ("hand(?:s|ed|ing)?(?: [\\w']+){0,3} over", "pass, deliver"),
    ("call-backs?", "callback"),
    ("web hooks?", "webhook"),
    ("time-outs?", "timeout"),
    ("strangers?", "unknown task messages; somebody else"),
    ("outliv(?:e|es|ed|ing)", "survive"),
    ("deaf", "stalled"),
    ("honest(?:y|ly)?", "completeness"),
)

# What may stand although a rule would find it, and why.
ALLOWED = (
    (r"SETTLE\b|SMSCLICK_SETTLE_SECONDS|SETTLE_SECONDS|settle_(?:seconds|window)", "the public name of the window"),
    (r"[\"'`]settling[\"'`]", "a stored reason code"),
    (r"smsclick settle|[\"'`]settle[\"'`]", "a command's public name"),
    (r"\b(?:ix_smsclick_messages_)?wire_key(?:_set)?\b", "a column and its index"),
    (r"smsclick_gates", "a table"),
    (r"\.news\b|[\"']news[\"']|\bnews=", "a column"),
    (r"distrusted_until", "a column"),
    (r"(?i:\bt(?:ell|ells|old|elling)\b[^.;:]{0,60}\bapart\b)", "to distinguish"),
    (r"\.tell\(\)", "the position in a file"),
    (r"(?i:wire[ -](?:format|protocol))", "the field's own word"),
)

# What is not read, and why.
SKIPPED = (
    ("scripts/words.py", "the rules themselves"),
    ("tests/unit/test_words.py", "their test"),
    ("migrations/versions/*", "migrations that ran are not edited"),
    ("examples/mensajes.csv", "Spanish"),
    ("*.lock", "names of packages"),
    ("docs/reference/tables.md", "made from the code: names of columns stand there as they are"),
)

_TYPES = {".py", ".md", ".yml", ".yaml", ".toml", ".ini", ".sh", ".mjs", ".php", ".in", ".svg", ".mako", ".marker", ""}
_HIDDEN = {".ci", ".github", ".pre-commit-config.yaml", ".dockerignore", ".gitignore"}
_NOT_OURS = {"var", "build", "dist", "__pycache__", "node_modules", "LICENSE"}
_RULE = re.compile(
    "|".join(f"(?P<r{number}>\\b(?:{pattern})\\b)" for number, (pattern, _) in enumerate(RULES)), re.IGNORECASE
)
_ALLOWED = re.compile("|".join(f"(?:{pattern})" for pattern, _ in ALLOWED))
_NAME_PARTS = re.compile(r"_|'|(?<=[a-z0-9])(?=[A-Z])")


def found(line: str) -> Iterator[tuple[str, str]]:
    """Yield each word of a line that a rule forbids, and what to write instead."""
    plain = _NAME_PARTS.sub(" ", _ALLOWED.sub("…", line))
    for match in _RULE.finditer(plain):
        yield match[0], RULES[int(str(match.lastgroup)[1:])][1]


def files(places: list[Path]) -> Iterator[Path]:
    """Yield the text files in these places, those of `SKIPPED` left out."""
    for place in places:
        if place.is_file():
            yield place
            continue
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(each for each in folders if _is_ours(each))
            for name in sorted(names):
                path = Path(folder, name)
                if _is_ours(name) and path.suffix in _TYPES and not _is_skipped(path):
                    yield path


def _is_ours(name: str) -> bool:
    hidden = name.startswith(".") and name not in _HIDDEN
    return not hidden and name not in _NOT_OURS and not name.endswith(".egg-info")


def _is_skipped(path: Path) -> bool:
    return any(path.resolve().relative_to(ROOT).match(pattern) for pattern, _ in SKIPPED)


def main(arguments: list[str] | None = None) -> int:
    """Print what is found; the exit code is 1 where that is something and `--strict` is given."""
    parser = argparse.ArgumentParser(description="Finds words of our own where the field has one.")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a word is found")
    parser.add_argument("places", nargs="*", type=Path, default=[ROOT], help="files and folders; default: everything")
    options = parser.parse_args(arguments)
    counts = Counter[str]()
    for path in files(options.places):
        shown = os.path.relpath(path)
        for number, line in enumerate([str(path.resolve().relative_to(ROOT)), *path.read_text().splitlines()]):
            for word, write in found(line):
                print(f"{shown}:{number}: {word}: write {write}")
                counts[word.lower()] += 1
    if counts:
        print(f"{counts.total()} words: " + ", ".join(f"{word} {count}" for word, count in counts.most_common(20)))
    return 1 if counts and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
