"""A client as a process of its own that reads the last hour's report to its end and prints what memory that took.

`python -m bench.reading`, with key and address in the environment, as `bench.status` runs it: it imports nothing else.
"""

import datetime as dt
import json
import resource
import sys
import time
from pathlib import Path

from smsclick.provider.client import SmsclickClient
from smsclick.settings import get_settings


def peak() -> float:
    """The most memory that this process has had resident, in MiB."""
    # Linux hands ru_maxrss on through exec: it would be that of the benchmark which started this process.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Reads the report."""
    settings = get_settings()
    now = dt.datetime.now(dt.UTC)
    before = peak()
    began = time.monotonic()
    with SmsclickClient(settings.require_api_key(), settings.base_url) as client:
        count = sum(1 for _ in client.report_rows(now - dt.timedelta(hours=1), now))
    print(json.dumps({"rows": count, "before": before, "most": peak(), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
