"""The tables that the workers share beside the messages: the account, incidents, limits, watermarks and the rest."""

from sqlalchemy import Column, Float, ForeignKey, Integer, SmallInteger, String, Table, Text, text

from smsclick._database.columns import BigId, UtcDateTime, default_now
from smsclick._database.metadata import MYSQL_OPTIONS, metadata

accounts = Table(
    "smsclick_gates",
    metadata,
    Column("account", String(40), primary_key=True),
    Column("operator_hold_at", UtcDateTime, comment="since when the operator holds the account"),
    Column("operator_hold_by", String(100), comment="which person holds it"),
    Column("operator_hold_why", String(200), comment="in that person's words"),
    Column("hold_reason", String(20)),
    Column("hold_since", UtcDateTime),
    Column("epoch", Integer, nullable=False, server_default=text("0"), comment="counts the holds"),
    Column(
        "needed_credits",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="of the message refused last",
    ),
    Column("probe_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("canary_id", BigId, comment="the one message that may go while held"),
    Column("canary_until", UtcDateTime),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="calls without an answer, in a row"),
    Column("lag_id", BigId, comment="the message whose way into the report is being measured"),
    Column("lag_since", UtcDateTime, comment="when it was accepted"),
    Column("report_lag", Float, comment="seconds from acceptance to the report, as last measured"),
    Column("report_lag_at", UtcDateTime),
    Column("balance", BigId),
    Column("balance_at", UtcDateTime),
    Column("simulated_at", UtcDateTime, comment="since when these messages are a simulator's"),
    Column("opened_at", UtcDateTime, comment="when an automatic hold ended last"),
    Column("relapses", Integer, nullable=False, server_default=text("0"), comment="holds soon after another"),
    Column("canaries", Integer, nullable=False, server_default=text("0"), comment="canaries accepted in this hold"),
    Column("restored_since", UtcDateTime, comment="what could have been sent since is looked for; holds"),
    Column("restored_at", UtcDateTime, comment="when all of that was unknown; NULL: not yet"),
    **MYSQL_OPTIONS,
)

incidents = Table(
    "smsclick_incidents",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column(
        "subject",
        String(40),
        nullable=False,
        server_default="",
        comment="which one, where a kind has several",
    ),
    Column("open_key", String(82), unique=True, comment="kind and subject while open, else NULL"),
    Column("opened_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("last_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("closed_at", UtcDateTime),
    Column("ends_at", UtcDateTime, comment="once closed: until then it reopens as the same incident"),
    Column("reopened", Integer, nullable=False, server_default=text("0"), comment="how often it came back"),
    Column("remind_at", UtcDateTime),
    Column("occurrences", Integer, nullable=False, server_default=text("1")),
    Column("detail", String(300), nullable=False, server_default=""),
    **MYSQL_OPTIONS,
)

alerts = Table(
    "smsclick_alerts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column(
        "incident_id",
        BigId,
        ForeignKey("smsclick_incidents.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("news", String(10), nullable=False, comment="opened, reminder or closed"),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("due_at", UtcDateTime, server_default=default_now(), index=True, comment="next try; NULL: delivered"),
    Column("claimed_until", UtcDateTime, comment="until then somebody delivers it"),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("delivered_at", UtcDateTime),
    Column("delivered_to", Text, nullable=False, comment="fingerprints of channels that took it"),
    **MYSQL_OPTIONS,
)

heartbeats = Table(
    "smsclick_heartbeats",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("progress", BigId, nullable=False, server_default=text("0"), comment="how much was done so far"),
    **MYSQL_OPTIONS,
)

clocks = Table(
    "smsclick_clocks",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False, server_default=default_now(), comment="read last by any process"),
    Column("trusted_since", UtcDateTime, comment="since when the time that went by was measured without a gap"),
    Column("stepped_ms", BigId, nullable=False, server_default=text("0"), comment="sum of all steps seen"),
    Column("shift_ms", BigId, comment="of a step back: by how much due times are still to be moved"),
    Column("shift_stage", SmallInteger, comment="which due times are being moved"),
    Column("shift_after", UtcDateTime, comment="up to here those of this stage are moved"),
    **MYSQL_OPTIONS,
)

optouts = Table(
    "smsclick_optouts",
    metadata,
    Column(
        "phone",
        String(10),
        primary_key=True,
        comment="ten digits, or ~ and a hash once forgotten; never written to",
    ),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("reason", String(200), comment="how it came here, in words"),
    **MYSQL_OPTIONS,
)

limits = Table(
    "smsclick_limits",
    metadata,
    Column("name", String(40), primary_key=True, comment="of what is limited over all workers together"),
    Column("next_at", BigId, nullable=False, comment="when the next one may go, in microseconds since 1970"),
    **MYSQL_OPTIONS,
)

watermarks = Table(
    "smsclick_watermarks",
    metadata,
    Column("name", String(40), primary_key=True, comment="of the age of messages that its reports answer for"),
    Column("due_at", UtcDateTime, nullable=False, server_default=default_now(), comment="when to read next"),
    Column("lease_until", UtcDateTime, comment="until then somebody reads"),
    Column("read_at", UtcDateTime, comment="when the last whole report was asked for"),
    Column("cursor_at", UtcDateTime, comment="sent_at up to which the round under way has come; NULL: a new round"),
    Column("density", Float, comment="rows of the report for each second of its span, as learned"),
    Column("reads", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="reports that failed, in a row"),
    Column("probe_id", BigId, comment="id_mensaje of a final message that the next report must have"),
    Column("probe_at", UtcDateTime, comment="when that message was sent"),
    Column("distrusted_until", UtcDateTime, comment="until then getMsg is asked instead"),
    **MYSQL_OPTIONS,
)

budgets = Table(
    "smsclick_budgets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("tokens", Float, nullable=False, comment="requests that may leave now, over all workers"),
    Column("at", UtcDateTime, nullable=False, server_default=default_now(), comment="when they were counted"),
    **MYSQL_OPTIONS,
)

balances = Table(
    "smsclick_balances",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("account_fingerprint", String(16), nullable=False, comment="of the APIKEY; one-way"),
    Column("amount", BigId, comment="whole credits; NULL: not readable as such"),
    Column("first_asked_at", UtcDateTime, nullable=False),
    Column("first_answered_at", UtcDateTime, nullable=False),
    Column("last_asked_at", UtcDateTime, nullable=False, comment="of the last reading that gave the same"),
    Column("last_answered_at", UtcDateTime, nullable=False),
    **MYSQL_OPTIONS,
)

tallies = Table(
    "smsclick_tallies",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("name", String(40), nullable=False, comment="of what is counted; several rows add up"),
    Column("label", String(120), nullable=False, comment="which of these, in words of ours"),
    Column("amount", BigId, nullable=False),
    **MYSQL_OPTIONS,
)

worker_gauges = Table(
    "smsclick_worker_gauges",
    metadata,
    Column("worker", String(120), primary_key=True, comment="host and process"),
    Column("at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("calls_allowed", Integer, nullable=False, server_default=text("0"), comment="how many may be in flight"),
    Column("calls_in_flight", Integer, nullable=False, server_default=text("0")),
    Column("results_waiting", Integer, nullable=False, server_default=text("0"), comment="not recorded yet"),
    **MYSQL_OPTIONS,
)

usage = Table(
    "smsclick_usage",
    metadata,
    Column("begins_at", UtcDateTime, primary_key=True, comment="of the ten minutes that are counted here"),
    Column("sent", BigId, nullable=False, server_default=text("0"), comment="messages accepted by the provider"),
    Column("credits", BigId, nullable=False, server_default=text("0"), comment="charged for them, as answered"),
    Column("predicted", BigId, nullable=False, server_default=text("0"), comment="credits expected for the same"),
    Column("delivered", BigId, nullable=False, server_default=text("0")),
    Column("rejected", BigId, nullable=False, server_default=text("0")),
    Column("counted_to", BigId, nullable=False, comment="id of the last event that is counted"),
    **MYSQL_OPTIONS,
)

minutes = Table(
    "smsclick_minutes",
    metadata,
    Column(
        "minute", UtcDateTime, primary_key=True, comment="in which the counters were read; about the last two hours"
    ),
    Column("read_at", UtcDateTime, nullable=False),
    Column("counters", Text, nullable=False, comment="JSON: sums of smsclick_tallies at that time"),
    **MYSQL_OPTIONS,
)

dead_letters = Table(
    "smsclick_dead_letters",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("queue", String(200), nullable=False),
    Column("task", String(200), nullable=False, comment="the name that was called"),
    Column("task_id", String(200), nullable=False),
    Column("reason", String(300), nullable=False, comment="why it could not be a message; no phone, no text"),
    Column("content", Text, nullable=False, comment="JSON, as the broker had it: may hold a phone and a text"),
    **MYSQL_OPTIONS,
)

audit = Table(
    "smsclick_audit",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("actor", String(100), nullable=False, comment="user@host, or a name"),
    Column("act", String(40), nullable=False, comment="a worker.sql.audit.Act"),
    Column("count", Integer, nullable=False, server_default=text("0"), comment="how many things were changed"),
    Column("detail", String(300), nullable=False, server_default="", comment="no phone, text or key"),
    **MYSQL_OPTIONS,
)
