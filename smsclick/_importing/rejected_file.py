"""The bad lines of an import with their reasons: the file of `import --rejected`, or another stream."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from smsclick._importing.records import REJECTED_LINE, REJECTED_REASON, Problem, Records
from smsclick._values import harmless
from smsclick.errors import SmsclickError


class RejectedLines:
    """Writes bad lines with their reasons, in the form of the file that they come from.

    Args:
        stream: where they are written; with `newline=""`.
        records: the records of the file that is imported.
        safe: whether no cell of a CSV begins like a formula. Then an apostrophe stands before such a text, also where
            the file is corrected and imported.
    """

    def __init__(self, stream: TextIO, records: Records, *, safe: bool = False) -> None:
        self._stream = stream
        self._form = records.form
        self._columns = records.columns
        self._safe = safe
        self._writer = csv.writer(stream, lineterminator="\n")
        if self._form == "csv":
            self._cells([REJECTED_LINE, REJECTED_REASON, *self._columns])

    def write(self, problem: Problem) -> None:
        """Add a bad line."""
        said = {REJECTED_LINE: problem.line, REJECTED_REASON: problem.reason}
        if self._form == "json":
            values = problem.values if problem.values is not None else {"raw": problem.raw}
            self._stream.write(json.dumps(said | dict(values), ensure_ascii=False) + "\n")
        elif problem.values is not None:
            values = problem.values
            self._cells([*said.values(), *(values.get(each, "") for each in self._columns)])
        else:
            # The line could not be read, so the first column has the whole of it.
            self._cells([*said.values(), problem.raw or ""])

    def _cells(self, cells: Sequence[object]) -> None:
        self._writer.writerow([harmless.for_spreadsheet(str(each)) for each in cells] if self._safe else cells)


class RejectedFile(RejectedLines):
    """A file of rejected lines, which may be corrected and imported.

    Only its owner may read the file, because it contains phones and texts.

    Args:
        path: The file; an existing one is replaced.
        records: The records of the file that is imported.

    Raises:
        SmsclickError: The file cannot be written.
    """

    def __init__(self, path: Path, records: Records) -> None:
        try:
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise SmsclickError(f"{path} cannot be written ({error.strerror})") from None
        # With a byte order mark, so that spreadsheets read accents right.
        encoding = "utf-8-sig" if records.form == "csv" else "utf-8"
        self._file: TextIO = os.fdopen(descriptor, "w", encoding=encoding, errors="backslashreplace", newline="")
        super().__init__(self._file, records)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
