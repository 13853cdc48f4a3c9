"""ORM classes over the tables of `smsclick.contract`, for code that reads single rows.

The columns are declared in `smsclick._database`. The worker writes with Core, set-wise, and never through these
classes. May import `smsclick.contract` only.
"""

from models.tables import AccountState, Alert, Base, Event, Heartbeat, Incident, Message

__all__ = ["AccountState", "Alert", "Base", "Event", "Heartbeat", "Incident", "Message"]
