"""smsclick: transactional SMS through SMSClick, enqueued in your own transaction and followed until delivered."""

from smsclick.enqueue import enqueue, enqueue_many
from smsclick.message import NewMessage

__all__ = ["NewMessage", "enqueue", "enqueue_many"]
