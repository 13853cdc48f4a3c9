"""ORM classes over the contract's tables, for code that reads single rows; the worker's set-wise SQL uses Core."""

from models.tables import AccountState, Alert, Base, Event, Heartbeat, Incident, Message

__all__ = ["AccountState", "Alert", "Base", "Event", "Heartbeat", "Incident", "Message"]
