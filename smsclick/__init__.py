"""smsclick: transactional SMS through SMSClick, enqueued in your own transaction and followed until delivered.

`enqueue` and `enqueue_many` store messages in your transaction. `NewMessage` is a validated message. `cancel` withdraws
a message that is not sent yet, and `status` returns the `Status` of one. Their errors are in `smsclick.errors`, and the
tables in `smsclick.contract`. `smsclick.django` has the same functions for Django's transactions, `smsclick.testing` is
a test kit, and `smsclick.simulator` is the provider on your own machine. docs/public-api.md lists all public names.
"""

from smsclick._enqueue.enqueue import enqueue, enqueue_many
from smsclick._enqueue.message import NewMessage
from smsclick._enqueue.status import Status, status
from smsclick._enqueue.withdrawal import cancel

__all__ = ["NewMessage", "Status", "cancel", "enqueue", "enqueue_many", "status"]
