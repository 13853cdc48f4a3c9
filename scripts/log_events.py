"""Write the tables of events and fields into docs/logs.md; `--check` only says whether they are the code's."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from smsclick._logs.catalogue import EVENTS, FIELDS  # noqa: E402

PAGE = ROOT / "docs" / "logs.md"
MARK = "<!-- made by scripts/log_events.py -->"


def tables() -> str:
    """Return what stands below the mark."""
    events = "".join(f"| `{name}` | {said.replace('|', chr(92) + '|')} |\n" for name, said in sorted(EVENTS.items()))
    fields = "".join(f"| `{name}` | {said} |\n" for name, said in sorted(FIELDS.items()))
    return (
        f"{MARK}\n\n## Events\n\n| event | its sentence in text |\n| --- | --- |\n{events}\n"
        f"## Fields\n\n| field | holds |\n| --- | --- |\n{fields}"
    )


def page() -> str:
    """Return the page as it must be."""
    return PAGE.read_text(encoding="utf-8").partition(MARK)[0] + tables()


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/logs.md: run scripts/log_events.py")
