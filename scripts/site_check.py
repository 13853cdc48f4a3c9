"""Checks the built site in var/site: `.venv/bin/python scripts/site_check.py [FOLDER]`.

No page may load anything from another host, and every link within the site must lead to a file and, with an anchor, to
an element of it. Links that a person follows to other hosts are allowed.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
_LOADING = {"src", "srcset", "poster", "data", "action", "formaction", "xlink:href"}
_FROM_ELSEWHERE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""")


class Page(HTMLParser):
    """What one page loads, links to, and has as anchors."""

    def __init__(self, text: str) -> None:
        """Read the text of a page."""
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Sort an element's addresses."""
        for name, value in attrs:
            if not value:
                continue
            if name in _LOADING or (name == "href" and tag == "link"):
                self.loads.append(value)
            elif name == "href":
                self.links.append(value)
            elif name in {"id", "name"}:
                self.anchors.add(value)
            elif name == "style":
                self.loads += _FROM_ELSEWHERE.findall(value)


def problems(folder: Path) -> list[str]:
    """Return what is wrong with the site in a folder, a line for each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    found = [] if pages else [f"{folder}: no page"]
    for path, page in pages.items():
        name = path.relative_to(folder)
        if "<p>```" in path.read_text(encoding="utf-8"):
            found.append(f"{name}: a block of code is shown as text; its first line has more than a language")
        found += [f"{name}: loads {each}" for each in page.loads if _is_elsewhere(each)]
        if name.name == "404.html":
            continue  # Its addresses begin at the server's root, which only MkDocs's setting site_url knows.
        for address in [*page.loads, *page.links]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            goal = goal / "index.html" if goal.is_dir() else goal
            anchor = unquote(parts.fragment)
            missing = anchor and goal in pages and anchor not in pages[goal].anchors
            if not goal.is_file() or missing:
                found.append(f"{name}: {address} leads nowhere")
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(folder)}: loads {each}" for each in _FROM_ELSEWHERE.findall(text)]
    return found


def _is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in {"http", "https"}


if __name__ == "__main__":
    lines = problems(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "var" / "site").resolve())
    print("\n".join(lines) if lines else "The site loads nothing from other hosts, and its links lead somewhere.")
    sys.exit(1 if lines else 0)
