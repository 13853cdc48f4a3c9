"""The six steps of README.md from a clone to the first own message, as somebody would follow them.

`tests/integration/test_first_message.py` follows them, and `bench/first_message.py` takes their time.
"""

from __future__ import annotations

import dataclasses
import re

from tests.processes import ROOT

HEADING = "## Your first own message, in six steps"
URL = "URL"
"""What the first step has for the repository's address."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One of them.

    Attributes:
        number: From 1 on.
        text: A line for the shell; or the whole text of a file.
        file: The file's path in the project, for a step that is no command.
    """

    number: int
    text: str
    file: str | None = None


def steps(readme: str = "README.md") -> list[Step]:
    """The steps of a README, in their order: the blocks of code below the heading."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    start = text.index(f"\n{HEADING}\n") if readme == "README.md" else text.index("\n## Su primer mensaje")
    section = text[start : text.index("\n## ", start + 1)]
    found: list[Step] = []
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        if language == "python":
            match = re.match(r"# (\d)\. (\S+\.py)", block)
            assert match, "a block of Python begins with its step's number and its file"
            found.append(Step(int(match[1]), block, match[2]))
        else:
            for line in block.splitlines():
                command, _, comment = line.partition("  # ")
                found.append(Step(int(comment.lstrip()[0]), command.strip()))
    return found
