"""The code in docs/callbacks.md that receivers are given: it takes what we sign and nothing else, in each language."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import subprocess
import sys
import time

import pytest
from standardwebhooks import Webhook

from tests.processes import ROOT
from tests.webhook_receiver import SECRET

BODY = '{"type":"message.replied","data":{"reply":"SÍ, señor"}}'
RUN = {
    "python": (sys.executable, "-c", "import sys\n{code}\nh, b, s = json.load(sys.stdin)\n"),
    "js": ("node", "-e", "{code}\nconst [h, b, s] = JSON.parse(require('node:fs').readFileSync(0));\n"),
    "php": ("php", "-r", "{code}\n[$h, $b, $s] = json_decode(stream_get_contents(STDIN), true);\n"),
}
SAY = {
    "python": "found = verified(h, b.encode(), s)\nprint(found and found['data']['reply'] or 'refused')",
    "js": "const found = verified(h, Buffer.from(b), s);\nconsole.log(found ? found.data.reply : 'refused');",
    "php": "$found = verified($h, $b, $s);\necho $found ? $found['data']['reply'] : 'refused', \"\\n\";",
}


def signed(*, secrets: tuple[str, ...] = (SECRET,), age: int = 0) -> dict[str, str]:
    at = dt.datetime.fromtimestamp(int(time.time()) - age, dt.UTC)
    return {
        "webhook-id": "e-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(each).sign("e-1", at, BODY) for each in secrets),
    }


@pytest.mark.parametrize("language", RUN)
def test_a_receivers_check_takes_what_is_signed_and_refuses_the_rest(language: str) -> None:
    program, option, around = RUN[language]
    if shutil.which(program) is None:
        pytest.skip(f"not run here: {program} is not on this machine")
    page = (ROOT / "docs/callbacks.md").read_text(encoding="utf-8")
    [code] = [each for each in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if "verified(" in each]
    script = around.replace("{code}", code) + SAY[language]

    def says(headers: dict[str, str], body: str = BODY) -> str:
        given = json.dumps([headers, body, SECRET])
        command = [program, option, script]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout.strip()

    other = "whsec_" + "b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldA=="
    assert says(signed()) == "SÍ, señor"
    assert says(signed(secrets=(other, SECRET))) == "SÍ, señor"
    assert says(signed(secrets=(other,))) == "refused"
    assert says(signed(age=400)) == "refused"
    assert says(signed(), BODY.replace("SÍ", "NO")) == "refused"
