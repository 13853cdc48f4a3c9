"""Whether the file of the APIKEY holds another key than the one in use.

The key is read from the file again, and the caller opens again what uses a key: client and fingerprint always
belong to the same key, because nothing of them is exchanged by itself.
Why: docs/decisions/0041-a-new-key-of-the-account.md.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from smsclick._logs.event_log import EventLog
from smsclick._values.settings_sources import FILE, environment_file
from smsclick.errors import SettingsError
from smsclick.settings import Settings, load_settings, variables
from worker.threads.supervision import SupervisedThread, periodic

log = EventLog(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at the file; each is one system call while nothing changes."""

_VARIABLE = "SMSCLICK_API_KEY"
_END_SECONDS = 60.0

_Signature = tuple[int, int, int]


class KeyFile:
    """Watches the file that `SMSCLICK_API_KEY_FILE` names.

    Args:
        settings: in use; their key is compared with the file's.
        load: reads the settings again.
    """

    def __init__(self, settings: Settings, load: Callable[[], Settings] = load_settings) -> None:
        self._key = settings.require_api_key()
        self._load = load
        self._path = _path()
        # None: the first look reads the file, which may have changed since the settings were read.
        self._seen: _Signature | None = None
        self._refused: str | None = None

    def changed(self) -> bool:
        """Whether the file holds another key that can be used. A file that cannot be read changes nothing."""
        if self._path is None:
            return False
        seen = _signature(self._path)
        if seen is None or seen == self._seen:
            return False
        try:
            key = self._load().require_api_key()
        except SettingsError as error:
            # Perhaps it is just being written: it is read again at the next look.
            if str(error) != self._refused:
                self._refused = str(error)
                log.warning("key_file_unusable", error=error)
            return False
        self._seen, self._refused = seen, None
        return key != self._key


class KeyWatch:
    """A thread that looks at the file of the key, from the first `watch` until `close`.

    Args:
        changed: called in that thread when the file holds another key; it calls `watch` with the new settings.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._file: KeyFile | None = None
        self._thread: SupervisedThread | None = None
        self._ending = threading.Event()

    @property
    def is_ending(self) -> bool:
        """Whether the process ends, so that nothing may be opened any more."""
        return self._ending.is_set()

    def watch(self, settings: Settings) -> None:
        """Look whether the file holds another key than these settings."""
        self._file = KeyFile(settings)
        if self._thread is None:
            self._thread = periodic("smsclick-key-file", self._look, LOOK_SECONDS, stopping=self._ending)
            self._thread.start()

    def stop(self) -> None:
        """The process is about to end: change nothing any more."""
        self._ending.set()

    def close(self) -> None:
        """End the thread; it may be about to go on with another key, and then it is waited for."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
        self._file = self._thread = None
        self._ending = threading.Event()

    def _look(self) -> None:
        if self._file is not None and not self.is_ending and self._file.changed():
            log.warning("key_file_changed")
            self._changed()


def _path() -> Path | None:
    given = {name.upper(): value for name, value in os.environ.items()}
    named = given.get(_VARIABLE + FILE) or environment_file(variables()).get(_VARIABLE + FILE)
    return Path(named.strip().strip("\"'")).expanduser() if named else None


def _signature(path: Path) -> _Signature | None:
    """What changes with the file's content, also where a link to it is replaced; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
