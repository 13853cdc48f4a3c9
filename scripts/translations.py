"""Keeps pages in Spanish in step with the English ones: `.venv/bin/python scripts/translations.py [--update PAGE ...]`.

`docs/es/translations.json` has the state of each section, in both languages, when somebody last compared them. A
section that differs from it fails `make lint`: change the other language too, compare both, and run `--update` with
the Spanish page. Pages that `scripts/reference.py` makes are not compared here.
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
RECORD: Final = "docs/es/translations.json"
PAGES: Final = {
    "README.es.md": "README.md",
    "docs/es/producers.md": "docs/producers.md",
    "docs/es/runbook.md": "docs/runbook.md",
    "docs/es/tutorial.md": "docs/tutorial.md",
}
"""Every Spanish page that a person writes, and the English one."""

Record = dict[str, list[dict[str, str]]]


def sections(text: str) -> list[tuple[str, str]]:
    """Return the heading and the digest of each section of a page; the first is what stands before the others."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return [
        (part.splitlines()[0].strip("# "), hashlib.sha256(part.strip().encode()).hexdigest()[:16]) for part in parts
    ]


def state(page: str, folder: Path = ROOT) -> list[dict[str, str]]:
    """Return both sides of a Spanish page, section by section.

    Raises:
        ValueError: the pages have different numbers of sections.
    """
    english, spanish = (sections((folder / name).read_text(encoding="utf-8")) for name in (PAGES[page], page))
    if len(english) != len(spanish):
        raise ValueError(
            f"{page} has {len(spanish)} sections, {PAGES[page]} has {len(english)}: they are pairs, in order"
        )
    pairs = zip(english, spanish, strict=True)
    return [{"section": title, "en": there, "es": here} for (title, there), (_, here) in pairs]


def problems(folder: Path = ROOT) -> list[str]:
    """Return a line for each section that changed since it was compared, and for each page without an entry."""
    record: Record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    written = {str(path.relative_to(folder)) for path in (folder / "docs" / "es").glob("*.md")}
    found = [f"{page}: not in PAGES of scripts/translations.py" for page in sorted(written - set(PAGES))]
    for page, english in PAGES.items():
        try:
            now = state(page, folder)
        except ValueError as error:
            found.append(str(error))
            continue
        was = record.get(page, [])
        if len(was) != len(now):
            found.append(f"{page}: sections were added or removed since it was compared with {english}")
            continue
        for old, new in zip(was, now, strict=True):
            changed = [side for side, name in ((english, "en"), (page, "es")) if old[name] != new[name]]
            if len(changed) == 1:
                found.append(f"{changed[0]}: the section “{new['section']}” changed alone ({page})")
            elif changed:
                found.append(f"{page}: the section “{new['section']}” changed in both languages")
    return found


def update(pages: list[str], folder: Path = ROOT) -> None:
    """Record the present state of pages, once a person has compared both languages.

    Raises:
        ValueError: a page is no Spanish page, or has other sections than the English one.
    """
    path = folder / RECORD
    record: Record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for page in pages:
        if page not in PAGES:
            raise ValueError(f"{page}: one of {', '.join(PAGES)}")
        record[page] = state(page, folder)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--update"]:
        try:
            update(arguments[1:])
        except ValueError as error:
            sys.exit(f"translations: {error}")
    lines = problems()
    if lines:
        print("\n".join(lines), file=sys.stderr)
        sys.exit("translations: compare both languages, then .venv/bin/python scripts/translations.py --update PAGE")
