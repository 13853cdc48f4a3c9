"""Hooks of MkDocs: pages outside docs/ become part of the site, links to them are adapted, a page has its language.

The pages in docs/ are also read in the repository, so their links name files. On the site README.md is the first page,
and another file that a page links to is copied below `repository/`. A page of docs/es/ is in Spanish, and the
language switch of each page leads to the same page in the other language, or to that language's first page.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = {
    "README.md": "index.md",
    "README.es.md": "es/index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the repository's root, and what they are called on the site."""

# Code is passed over; but a link's label may be code.
_LINK = re.compile(
    r"^```.*?^```$|`[^`\n]*`|\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)",
    re.MULTILINE | re.DOTALL,
)


def site_name(path: str) -> str:
    """Return what a file of the repository is called on the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return ROOT_PAGES.get(path, f"repository/{path}")


def in_repository(name: str) -> str:
    """Return the file of the repository that a page of the site is made from."""
    for path, page in ROOT_PAGES.items():
        if name == page:
            return path
    return name.removeprefix("repository/") if name.startswith("repository/") else f"docs/{name}"


def target(page: str, link: str) -> Path | None:
    """Return the file that a link of a page leads to, a folder's README for a folder; None for what is no file."""
    if re.match(r"[a-z]+:", link):
        return None
    path = Path(posixpath.normpath(posixpath.join(posixpath.dirname(page), link)))
    if (ROOT / path).is_dir():
        path /= "README.md"
    return path if (ROOT / path).is_file() else None


def adapted(text: str, page: str) -> str:
    """Return a page's text with the links of the site.

    Args:
        text: its Markdown.
        page: its file in the repository.
    """
    name = site_name(page)

    def link(found: re.Match[str]) -> str:
        label, path, anchor = found["label"], found["path"], found["anchor"] or ""
        if path is None or re.match(r"[a-z]+:", path):
            return found[0]
        file = target(page, path)
        if file is None:
            folder = (ROOT / posixpath.dirname(page) / path).is_dir()
            return label if folder else found[0]  # A folder has no page; a missing file stays and fails the build.
        return f"[{label}]({posixpath.relpath(site_name(str(file)), posixpath.dirname(name) or '.')}{anchor})"

    # Tests know by `sh server` what runs on; the site's fences have only a language.
    return _LINK.sub(link, text.replace("```sh server\n", "```sh\n"))


def outside() -> set[str]:
    """Return the files outside docs/ that belong to the site: the root's pages, and what pages lead to."""
    seen, new = set[str](), {*ROOT_PAGES, *(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))}
    while new:
        page = new.pop()
        seen.add(page)
        if page.endswith(".md"):
            links = _LINK.finditer((ROOT / page).read_text(encoding="utf-8"))
            linked = {target(page, found["path"]) for found in links if found["path"]}
            new |= {str(path) for path in linked if path is not None} - seen
    return {path for path in seen if not path.startswith("docs/")}


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401 - MkDocs's own types, which only the site's lock installs
    """Add the files outside docs/."""
    for path in sorted(outside()):
        files.append(File.generated(config, site_name(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:  # noqa: ANN401 - likewise
    """Adapt a page's links."""
    return adapted(markdown, in_repository(page.file.src_uri))


def on_page_context(context: Any, page: Any, config: Any, **_: object) -> Any:  # noqa: ANN401 - likewise
    """Set the language of a page, and where its language switch leads."""
    name = page.file.src_uri
    spanish = name.startswith("es/")
    english = name.removeprefix("es/")
    there = {site_name(str(path.relative_to(ROOT))) for path in (ROOT / "docs").rglob("*.md")} | set(
        ROOT_PAGES.values()
    )
    pairs = {
        "en": ("English", english if english in there else "index.md"),
        "es": ("Español", f"es/{english}" if f"es/{english}" in there else "es/index.md"),
    }
    config.theme["language"] = "es" if spanish else "en"
    config.extra["alternate"] = [
        {"name": label, "lang": code, "link": _html(path)} for code, (label, path) in pairs.items()
    ]
    return context


def on_post_build(config: Any) -> None:  # noqa: ANN401 - likewise
    """Make `runbook.md` an address: alerts link to it below SMSCLICK_RUNBOOK_URL, with the section's anchor."""
    for folder in ("", "es"):
        made = Path(config.site_dir) / folder / "runbook.md"
        made.mkdir(parents=True, exist_ok=True)
        (made / "index.html").write_text(
            '<!doctype html><meta charset="utf-8"><title>runbook</title>'
            '<script>location.replace("../runbook.html" + location.hash)</script>'
            '<a href="../runbook.html">runbook</a>\n',
            encoding="utf-8",
        )


def _html(page: str) -> str:
    page = re.sub(r"README\.md$", "index.md", page)
    return re.sub(r"\.md$", ".html", page)
