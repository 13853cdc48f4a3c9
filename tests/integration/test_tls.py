"""TLS to brokers and databases, with real servers and an authority of our own: verified unless the address says no."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._net.certificates import tls_reason
from smsclick._wakeups.publisher import _Publisher
from smsclick.errors import DatabaseUnavailable
from smsclick.settings import load_settings
from tests.acceptance import Cluster, ready
from tests.certificates import Authority
from tests.processes import wait_until
from tests.sentinels import NAME, _Sentinel
from tests.servers import HOST, PostgresServer, RabbitServer, RedisServer
from worker.operator.doctor import broker as doctor_broker
from worker.operator.doctor.check import Check, Verdict, guarded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import OwnServer, StartProcess
    from tests.servers import MariaDBServer

NOBODY_KNOWS = "certificate was not accepted: nobody here knows its authority"


@dataclasses.dataclass(frozen=True)
class Secured:
    """A broker's address by TLS; its certificate names `localhost` alone."""

    scheme: str
    login: str
    port: int
    path: str

    def url(self, parameters: str = "", host: str = "localhost") -> str:
        """With what it says of TLS."""
        return f"{self.scheme}://{self.login}{host}:{self.port}/{self.path}{parameters}"


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Secured]:
    """The test runs on Redis and on RabbitMQ."""
    if request.param == "redis":
        own: OwnServer = request.getfixturevalue("own_server")
        made = own(RedisServer, prepare=lambda server: server.secure(*authority.issue("DNS:localhost")))
        yield Secured("rediss", "", made.tls_port, "0")
    else:
        url: str = request.getfixturevalue("rabbitmq_url")
        rabbit: RabbitServer = request.getfixturevalue("rabbitmq")
        yield Secured("amqps", "guest:guest@", rabbit.tls_port, url.rpartition("/")[2])


def trust(authority: Authority) -> str:
    return f"?ssl_ca_certs={authority.root}"


def test_a_broker_is_verified_by_doctor_and_by_producers(broker: Secured, authority: Authority, tmp_path: Path) -> None:
    unknown_authority = Authority(tmp_path, "unknown")
    known = trust(authority)
    cases = [
        (broker.url(known), Verdict.OK, ""),
        (broker.url("?ssl_cert_reqs=CERT_NONE", HOST), Verdict.WARNING, "TLS is not verified (ssl_cert_reqs=none)"),
        (broker.url(f"{known}&ssl_check_hostname=false", HOST), Verdict.WARNING, "does not verify the host's name"),
        (broker.url(), Verdict.FAILED, NOBODY_KNOWS),
        (broker.url(trust(unknown_authority)), Verdict.FAILED, NOBODY_KNOWS),
        (broker.url(known, HOST), Verdict.FAILED, "certificate was not accepted: it names another"),
    ]
    for url, verdict, words in cases:
        found = examined(url)
        assert (found.verdict, words in found.found) == (verdict, True), found
        assert (verdict is Verdict.OK) == (not found.todo), found
        if verdict is Verdict.FAILED:
            assert "?ssl_ca_certs=" in found.todo
    assert published(cases[0][0]) == published(cases[1][0]) == ""
    assert NOBODY_KNOWS in published(cases[3][0])
    assert cases[-1][2] in published(cases[-1][0])


def examined(url: str) -> Check:
    """Doctor's check of the broker."""
    settings = load_settings(CELERY_BROKER_URL=url)
    return guarded("broker", lambda: doctor_broker.reached(settings))


def published(url: str) -> str:
    """Why a producer's wake-up could not be published; empty where it was."""
    publisher = _Publisher(url)
    try:
        publisher([1])
    except Exception as error:  # noqa: BLE001 - kombu raises whatever its transport does
        return str(tls_reason(error))
    finally:
        publisher._close()
    return ""


def test_a_worker_waits_for_a_certificate_that_it_can_trust_and_says_so_once(
    broker: Secured, authority: Authority, tmp_path: Path, migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(Authority(tmp_path, "unknown").root.read_bytes())
    with Cluster(start_process, migrated_sqlite_url, broker.url(f"?ssl_ca_certs={trusted}")) as cluster:
        worker = start_process(["celery", "-A", "worker", "worker", "-l", "info"], cluster.env, name="worker")
        wait_until(lambda: NOBODY_KNOWS in worker.output, 120, what="the worker to say what it waits for")
        trusted.write_bytes(authority.root.read_bytes())
        ready(worker)
        said = worker.output
    assert said.count(NOBODY_KNOWS) == 1
    assert "Traceback" not in said


@pytest.fixture
def secured_postgres(own_server: OwnServer, authority: Authority) -> str:
    """A PostgreSQL with TLS for `localhost`: its address, to which a host and parameters are yet to be given."""
    made = own_server(PostgresServer, prepare=lambda server: server.secure(*authority.issue("DNS:localhost")))
    return f"postgresql://postgres@HOST:{made.port}/postgres"


@pytest.fixture
def secured_mariadb(mariadb: MariaDBServer) -> str:
    """MariaDB, the same."""
    return f"mysql://smsclick@HOST:{mariadb.port}/mysql"


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_database_is_verified_as_its_address_asks(
    kind: str, authority: Authority, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(f"secured_{kind}")
    unknown_authority = Authority(tmp_path, "unknown").root
    mode, ca = ("sslmode", "sslrootcert") if kind == "postgres" else ("ssl-mode", "ssl_ca")
    query = {
        "postgres": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        "mariadb": "SELECT variable_value <> '' FROM information_schema.session_status "
        "WHERE variable_name = 'Ssl_cipher'",
    }[kind]

    def opened(host: str, parameters: str) -> str:
        database = Database(load_settings(DATABASE_URL=url.replace("HOST", host) + parameters).database_url, threads=1)
        try:
            with database.read() as connection:
                return "TLS" if connection.scalar(sa.text(query)) else "no TLS"
        except DatabaseUnavailable as error:
            return str(error)
        finally:
            database.dispose()

    full, authority_only, any_certificate = ("verify-full", "verify-ca", "require")
    if kind == "mariadb":
        full, authority_only, any_certificate = ("VERIFY_IDENTITY", "VERIFY_CA", "REQUIRED")
    assert opened("localhost", f"?{mode}={full}&{ca}={authority.root}") == "TLS"
    assert opened(HOST, f"?{mode}={authority_only}&{ca}={authority.root}") == "TLS"
    assert opened(HOST, f"?{mode}={any_certificate}") == "TLS"
    for host, parameters in (
        (HOST, f"?{mode}={full}&{ca}={authority.root}"),
        ("localhost", f"?{mode}={full}&{ca}={unknown_authority}"),
        ("localhost", f"?{mode}={authority_only}&{ca}={unknown_authority}"),
    ):
        said = opened(host, parameters)
        assert "certificate" in said.lower(), said
        assert "\n" not in said
        assert "Traceback" not in said


class _SecuredSentinel(_Sentinel):
    """Watches a Redis over TLS, alone; it shows the certificate of `secure`."""

    root: Path

    def _create(self) -> None:
        assert self._tls
        root = self.directory / "root.pem"
        root.write_bytes(self.root.read_bytes())
        root.chmod(0o644)
        file = self.directory / "sentinel.conf"
        file.write_text(
            f"tls-port {self.tls_port}\ntls-cert-file {self._tls[0]}\ntls-key-file {self._tls[1]}\n"
            f"tls-ca-cert-file {root}\ntls-auth-clients no\ntls-replication yes\n"
            f"sentinel monitor {NAME} {HOST} {self.master.tls_port} 1\n"
        )
        if self._account:
            os.chown(file, self._account.pw_uid, self._account.pw_gid)


def test_sentinels_and_the_redis_that_they_name_are_verified(own_server: OwnServer, authority: Authority) -> None:
    """The certificate names `localhost`, and Sentinels give out addresses: so the name of Redis is wrong."""
    shown = authority.issue("DNS:localhost")
    master = own_server(RedisServer, prepare=lambda server: server.secure(*shown))

    def watch(server: _SecuredSentinel) -> None:
        server.secure(*shown)
        server.master, server.root = master, authority.root

    sentinel = own_server(_SecuredSentinel, prepare=watch)
    url = f"sentinel://localhost:{sentinel.tls_port}/0?master_name={NAME}"
    known = f"&ssl_ca_certs={authority.root}"
    assert "its certificate was not accepted: it names another" in published(f"{url}{known}")
    assert published(f"{url}{known}&ssl_check_hostname=false") == ""
    assert published(f"{url}&ssl_cert_reqs=none") == ""
    assert examined(f"{url}{known}&ssl_check_hostname=false").verdict is Verdict.WARNING
    assert examined(f"{url}&ssl=true").verdict is Verdict.FAILED
