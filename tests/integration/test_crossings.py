"""docs/architecture.md says how many borders between modules a message crosses: the number is counted again here."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.processes import ROOT


def test_the_page_says_how_many_borders_a_message_crosses() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    [said] = re.findall(r"\*\*(\d+ borders, \d+ modules)\*\*", page)
    command = [sys.executable, str(ROOT / "scripts" / "crossings.py"), "--list"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    *borders, counted = ended.stdout.splitlines()
    assert counted == said, "\n".join(borders)
