"""Celery's configuration. The reasons stand in docs/decisions/0002-celery.md; durations are in seconds."""

from kombu import Exchange, Queue

from smsclick._wakeups.backlog import TTL_SECONDS
from smsclick.settings import get_settings
from worker.broker.periods import periods

_settings = get_settings()

_broker = _settings.broker
# Said three times: Celery's own variables for reading and writing are other apps' (worker.compat.celery_environment).
broker_url = broker_read_url = broker_write_url = _broker.url or "memory://localhost"
broker_use_ssl = _broker.tls and dict(_broker.tls)
_redis = _broker.is_redis

# JSON only, no results, no remote control: nothing but ids crosses the broker.
accept_content = ["json"]
task_serializer = "json"
task_ignore_result = True
result_backend = None
worker_enable_remote_control = False
worker_send_task_events = False
event_queue_expires = 60

# Early ack: the row's lease recovers what a crash leaves; late acks stall the consumer when Redis restarts.
task_acks_late = False
worker_prefetch_multiplier = 1
worker_disable_prefetch = _redis
# After a reconnect Celery would restore the prefetch count step by step from the pool's threads, which then read from
# the consumer's socket: on RabbitMQ they read each other's frames and the consumer stalled forever.
worker_enable_prefetch_count_reduction = False

# `--concurrency` is the most calls in flight of a process, which an event loop makes (worker.sending.calls); how many
# there are is found out (worker.sending.concurrency). Celery's own pool is a few threads (worker.app).
worker_pool = "threads"
worker_concurrency = 2000
worker_proc_alive_timeout = 60
worker_soft_shutdown_timeout = 0
worker_hijack_root_logger = True
worker_redirect_stdouts = False
worker_cancel_long_running_tasks_on_connection_loss = False

# Goes on whatever the broker answers, takes queues as they are, and drops nothing unseen.
worker_consumer = "worker.broker.consumer:Consumer"
broker_connection_retry = True
broker_channel_error_retry = True
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_pool_limit = 10
broker_transport_options = (
    {
        "socket_timeout": 15,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # Of the tasks that are acknowledged late, producers' calls, which take milliseconds, or seconds to wait.
        "visibility_timeout": 120,
        **_broker.options,
    }
    if _redis
    else {"polling_interval": 0.05}
    if broker_url.startswith("memory")
    else {"confirm_publish": True, "socket_settings": {}, "connect_timeout": 3}
)
redis_socket_timeout = 15
redis_socket_connect_timeout = 3
redis_socket_keepalive = True

# The ticks have a queue of their own, so that many wake-ups do not delay them.
task_default_queue = "smsclick"
# Each bound as `send_task(queue=…)` of any plain Celery app would declare it.
task_queues = tuple(
    Queue(name, Exchange(name, type="direct"), routing_key=name)
    for name in ("smsclick", "smsclick.ticks", "smsclick.send", "smsclick.poll", "smsclick.callbacks")
)
task_create_missing_queues = True
task_routes = {
    "smsclick.enqueue": {"queue": "smsclick"},
    "smsclick.cancel": {"queue": "smsclick"},
    "smsclick.send": {"queue": "smsclick.send"},
    "smsclick.poll": {"queue": "smsclick.poll"},
    "smsclick.callbacks": {"queue": "smsclick.callbacks"},
    "smsclick.*": {"queue": "smsclick.ticks"},
}

# In memory: the due times stand in the database, and two beats in one folder must not fight over a file. No `expires`:
# it would compare this machine's clock with a worker's (docs/decisions/0026-no-clock-of-another-machine.md).
beat_scheduler = "worker.broker.beat:Scheduler"
beat_max_loop_interval = 1
beat_schedule = {
    name: {
        "task": f"smsclick.{name}",
        "schedule": seconds,
        "options": {"expiration": TTL_SECONDS, "retry": False, "declare": []},
    }
    for name, seconds in periods(_settings).items()
}
timezone = "UTC"
