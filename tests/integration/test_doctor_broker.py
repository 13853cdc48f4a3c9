"""Doctor asks the broker: who consumes our queues, and whether those use this database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance import Cluster, ready
from tests.commandline import call
from tests.servers import HOST

if TYPE_CHECKING:
    from tests.conftest import StartProcess

# Of another app on the same machine: none of it is ours.
FOREIGN = {
    "BROKER_URL": f"redis://{HOST}:1/0",
    "CELERY_BROKER_READ_URL": f"redis://{HOST}:1/0",
    "CELERY_BROKER_WRITE_URL": f"redis://{HOST}:1/0",
    "CELERY_RESULT_BACKEND": f"redis://{HOST}:1/0",
    "CELERY_LOADER": "theirs.loader:Loader",
    "CELERY_CONFIG_MODULE": "theirs.celeryconfig",
    "CELERY_WORKER_QUEUES": "theirs",
    "DJANGO_SETTINGS_MODULE": "theirs.settings",
}


def verdicts(cluster: Cluster) -> dict[str, str]:
    """Doctor's, by the check's name."""
    return {check["name"]: check["verdict"] for check in call("doctor", "--json", env=cluster.env).records}


def test_doctor_sees_who_consumes_and_a_worker_of_another_database(
    broker_url: str, migrated_postgres_url: str, migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, broker_url) as cluster:
        found = verdicts(cluster)
        assert (found["broker"], found["queues"], found["workers"]) == ("ok", "warning", "skipped")

        ours = start_process(
            ["celery", "-A", "worker", "worker", "-l", "info", "-n", "ours@%h"], cluster.env | FOREIGN, name="ours"
        )
        ready(ours)
        found = verdicts(cluster)
        assert (found["broker"], found["queues"], found["workers"]) == ("ok", "ok", "ok")

        stray = {"DATABASE_URL": migrated_sqlite_url}
        theirs = start_process(
            ["celery", "-A", "worker", "worker", "-l", "info", "-n", "theirs@%h"], cluster.env | stray, name="theirs"
        )
        ready(theirs)
        assert verdicts(cluster)["workers"] == "failed"
