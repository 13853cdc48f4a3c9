"""The receiver of a callback: a Celery task, `celery:app.tasks.sms_changed@queue`, or a webhook, `https://…`.

Only the form is checked here, when a message is enqueued. The worker decides which hosts a webhook may reach.
"""

import dataclasses
import re
from urllib.parse import urlsplit

from smsclick._values.refusals import Refusal, RefusalCode
from smsclick.errors import InvalidField

_TASK = re.compile(r"celery:(?P<task>[A-Za-z_]\w*(?:\.\w+)*)@(?P<queue>[\w.:-]{1,200})", re.ASCII)
_HOST = re.compile(r"[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_OURS = re.compile(r"smsclick(\..*)?")
_LONGEST_HOST = 240


@dataclasses.dataclass(frozen=True, slots=True)
class TaskTarget:
    """A Celery task of the producer's own app, called by name."""

    task: str
    queue: str

    @property
    def receiver(self) -> str:
        """Return the queue: failures of one queue are counted together."""
        return f"celery:{self.queue}"


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookTarget:
    """An HTTP address that receives a POST.

    Attributes:
        host: in lower case, without brackets.
        path: with its query; not empty.
    """

    secure: bool
    host: str
    port: int
    path: str

    @property
    def receiver(self) -> str:
        """Return host and port (the usual port is left out): failures of one host are counted together."""
        return self.authority.lower()

    @property
    def authority(self) -> str:
        """Return the value of the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


Target = TaskTarget | WebhookTarget


def parse_callback(value: str) -> Target:
    """Parse the address of a callback.

    Raises:
        InvalidField: one line says what is wrong. It does not repeat the address, which may contain a token.
    """
    if value.startswith("celery:"):
        return _task(value)
    if value.lower().startswith(("https://", "http://")):
        return _webhook(value)
    raise _refused(RefusalCode.CALLBACK_SCHEME)


def _refused(code: RefusalCode) -> InvalidField:
    return InvalidField(Refusal.of(code, "callback"))


def _task(value: str) -> TaskTarget:
    match = _TASK.fullmatch(value)
    if match is None:
        raise _refused(RefusalCode.CALLBACK_TASK)
    task, queue = match["task"], match["queue"]
    if _OURS.fullmatch(task) or _OURS.fullmatch(queue):
        raise _refused(RefusalCode.CALLBACK_OURS)
    return TaskTarget(task, queue)


def _webhook(value: str) -> WebhookTarget:
    if not value.isascii() or not value.isprintable() or set(value) & set(' "<>\\^`{|}'):
        raise _refused(RefusalCode.CALLBACK_CHARACTER)
    try:
        split = urlsplit(value)
        host, port = split.hostname, split.port
    except ValueError:
        raise _refused(RefusalCode.CALLBACK_ADDRESS) from None
    if not host or len(host) > _LONGEST_HOST or not _HOST.fullmatch(host) or ".." in host or port == 0:
        raise _refused(RefusalCode.CALLBACK_HOST)
    if split.username is not None or split.fragment:
        raise _refused(RefusalCode.CALLBACK_LOGIN)
    secure = split.scheme == "https"
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return WebhookTarget(secure, host, port or (443 if secure else 80), path)
