"""Text of others, made harmless for a terminal, a JSON line or a spreadsheet.

Replies, texts, keys and the provider's words come from others. A control character or an escape sequence can move a
terminal's cursor or rename its window, a mark of direction can make a line read as another, and a spreadsheet
calculates a cell that begins like a formula.
"""

import re
from typing import Final

_ACTING: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, with ESC and the CSI of eight bits; not tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks of direction
    "\u2028\u2029"  # separators that some programs take for line ends
    "\ufff9-\ufffb\ufeff\u00ad"  # annotations, a byte order mark within the text, a hyphen that may be hidden
    "\ud800-\udfff"  # halves of a pair, which no encoding can write
    "\U000e0000-\U000e0fff"  # tags: letters that nobody sees
)
_ACTS: Final = re.compile(f"[{_ACTING}]")
_FORMULA: Final = re.compile(r"[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]")
"""The beginning of a text that a spreadsheet would calculate: a reply could start a program of its reader."""


def for_terminal(text: str) -> str:
    """Return the text with `�` in place of each character that could act; line feeds and tabs stay."""
    return text if text.isprintable() else _ACTS.sub("\N{REPLACEMENT CHARACTER}", text)


def for_json(text: str) -> str:
    r"""Return JSON with `\uXXXX` in place of each character that could act: the same data, in other letters.

    Args:
        text: of `json.dumps(…, ensure_ascii=False)`.
    """
    return text if text.isprintable() else _ACTS.sub(_escaped, text)


def for_spreadsheet(text: str) -> str:
    """Return the text of a cell, with an apostrophe before it if a spreadsheet would calculate it."""
    return f"'{text}" if _FORMULA.match(text) else text


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))
