"""smsclick: transactional SMS through SMSClick, enqueued in your own transaction and followed until delivered.

`enqueue` and `enqueue_many` store messages; `NewMessage` is one that has been validated. `cancel` withdraws one that
waits, `status` looks one up: its `Status`. What they raise is in `smsclick.errors`, the tables are in
`smsclick.contract`. `smsclick.django` is the same within Django's transactions, `smsclick.testing` a test kit,
`smsclick.simulator` the provider on your own machine.
"""

from smsclick._enqueue.enqueue import enqueue, enqueue_many
from smsclick._enqueue.message import NewMessage
from smsclick._enqueue.status import Status, status
from smsclick._enqueue.withdrawal import cancel

__all__ = ["NewMessage", "Status", "cancel", "enqueue", "enqueue_many", "status"]
