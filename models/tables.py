"""One class for each table of `smsclick.contract`; the columns are declared there and only there."""

from sqlalchemy.orm import DeclarativeBase, Mapped, relationship

from smsclick import contract


class Base(DeclarativeBase):
    """The declarative base over the contract's metadata."""

    metadata = contract.metadata


class Message(Base):
    """One SMS to one phone."""

    __table__ = contract.messages
    events: Mapped[list["Event"]] = relationship(order_by=contract.events.c.id, viewonly=True)


class Event(Base):
    """One state change of a message."""

    __table__ = contract.events


class AccountState(Base):
    """Whether the account may send, and what is known of its balance."""

    __table__ = contract.accounts


class Incident(Base):
    """A problem that operators are notified of."""

    __table__ = contract.incidents
    alerts: Mapped[list["Alert"]] = relationship(order_by=contract.alerts.c.id, viewonly=True)


class Alert(Base):
    """An alert event about an incident, until every channel has accepted it."""

    __table__ = contract.alerts


class Callback(Base):
    """A state change that a producer is notified of, until the receiver has acknowledged it."""

    __table__ = contract.callbacks


class Heartbeat(Base):
    """When something last showed progress."""

    __table__ = contract.heartbeats


class OptOut(Base):
    """A phone that is never written to."""

    __table__ = contract.optouts


class Limit(Base):
    """When the next call of all workers together may leave."""

    __table__ = contract.limits


class Watermark(Base):
    """How far the reports for one age of messages have been read, and what was learned of them."""

    __table__ = contract.watermarks


class Clock(Base):
    """What is known of the database's own clock."""

    __table__ = contract.clocks


class Budget(Base):
    """How many requests of one kind may leave, over all workers together."""

    __table__ = contract.budgets


class Balance(Base):
    """The balance of an account that several readings in a row returned."""

    __table__ = contract.balances


class DeadLetter(Base):
    """A broker message that could not become a message of ours."""

    __table__ = contract.dead_letters


class AuditRecord(Base):
    """What a person did by hand."""

    __table__ = contract.audit


class Tally(Base):
    """An amount that a counter of the metrics grew by; all rows of a name and label add up."""

    __table__ = contract.tallies


class WorkerGauges(Base):
    """How many calls and results a worker process has under way now."""

    __table__ = contract.worker_gauges
