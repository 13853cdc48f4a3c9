"""The file of `import --rejected`: the bad lines with their reasons."""

import csv
import json
import os
from pathlib import Path
from typing import TextIO

from smsclick._importing.records import REJECTED_LINE, REJECTED_REASON, Problem, Records
from smsclick.errors import SmsclickError


class RejectedFile:
    """Writes bad lines with their reasons into a file of the same format, which may be corrected and imported.

    Only its owner may read the file, because it contains phones and texts.

    Args:
        path: The file; an existing one is replaced.
        records: The records of the file that is imported.

    Raises:
        SmsclickError: The file cannot be written.
    """

    def __init__(self, path: Path, records: Records) -> None:
        self._form = records.form
        self._columns = records.columns
        try:
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise SmsclickError(f"{path} cannot be written ({error.strerror})") from None
        # With a byte order mark, so that spreadsheets read accents right.
        encoding = "utf-8-sig" if self._form == "csv" else "utf-8"
        self._file: TextIO = os.fdopen(descriptor, "w", encoding=encoding, errors="backslashreplace", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if self._form == "csv":
            self._writer.writerow([REJECTED_LINE, REJECTED_REASON, *self._columns])

    def write(self, problem: Problem) -> None:
        """Add a bad line."""
        said = {REJECTED_LINE: problem.line, REJECTED_REASON: problem.reason}
        if self._form == "json":
            values = problem.values if problem.values is not None else {"raw": problem.raw}
            self._file.write(json.dumps(said | dict(values), ensure_ascii=False) + "\n")
        elif problem.values is not None:
            values = problem.values
            self._writer.writerow([*said.values(), *(values.get(each, "") for each in self._columns)])
        else:
            # The line could not be read, so the first column has the whole of it.
            self._writer.writerow([*said.values(), problem.raw or ""])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
