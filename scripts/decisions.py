"""Writes the index of docs/decisions from the pages: `.venv/bin/python scripts/decisions.py`."""

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "decisions"
INDEX = FOLDER / "README.md"
HEAD = """# Decisions

Decisions that others would question, with their reasons. When a decision changes, its page stays: a new page
supersedes it, and the old one's status names the new one. A page begins with `# N. Title`, an empty line and
`*Accepted, YYYY-MM-DD.*` or `*Superseded by N, YYYY-MM-DD.*`.
`.venv/bin/python scripts/decisions.py` writes this index.

| | decision | status | date |
| ---: | --- | --- | --- |
"""


def index() -> str:
    """Return the text of the index.

    Raises:
        ValueError: A page has no title, status or date of the right form.
    """
    return HEAD + "".join(line(page) for page in sorted(FOLDER.glob("[0-9]*.md")))


def line(page: Path) -> str:
    """Return a page's line."""
    text = page.read_text(encoding="utf-8")
    found = re.match(r"# (\d+)\. (.+)\n\n\*(Accepted|Superseded by \d+), (\d{4}-\d\d-\d\d)\.\*\n\n", text)
    if found is None or int(found[1]) != int(page.name[:4]):
        raise ValueError(f"{page.name}: begin with `# N. Title`, an empty line and `*Accepted, YYYY-MM-DD.*`")
    number, title, status, date = found.groups()
    return f"| [{number}]({page.name}) | {title} | {status} | {date} |\n"


if __name__ == "__main__":
    try:
        INDEX.write_text(index(), encoding="utf-8")
    except ValueError as error:
        sys.exit(f"decisions: {error}")
