"""ORM classes over the contract's tables, for code that reads single rows; the worker's set-wise SQL uses Core."""

from models.tables import Alert, Base, Event, Gate, Heartbeat, Incident, Message

__all__ = ["Alert", "Base", "Event", "Gate", "Heartbeat", "Incident", "Message"]
