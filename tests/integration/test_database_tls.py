"""TLS to real servers with an authority of our own: never less than what DATABASE_URL asks for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.errors import DatabaseUnavailable
from tests.certificates import Authority
from tests.processes import wait_until
from tests.servers import MariaDBServer, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.conftest import OwnServer

HERE, ELSEWHERE = "IP:127.0.0.1", "DNS:db.example.com"


def cipher(url: str) -> str:
    """How the connection is protected; empty where it is not."""
    database = Database(url, threads=1)
    question = (
        "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        if database.engine.dialect.name == "postgresql"
        else "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'SSL_CIPHER'"
    )
    try:
        with database.read() as connection:
            return connection.scalar(sa.text(question)) or ""
    finally:
        database.dispose()


def installed(pair: tuple[Path, Path], folder: Path, mode: int) -> tuple[Path, Path]:
    """A certificate and its key where the server's user can read them."""
    owner = folder.stat()
    certificate, key = (Path(shutil.copy(file, folder / f"server{file.suffix}")) for file in pair)
    for file in (certificate, key):
        file.chmod(mode)
        os.chown(file, owner.st_uid, owner.st_gid)
    return certificate, key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def postgres_with(postgres: PostgresServer, postgres_url: str, authority: Authority) -> Iterator[Callable[[str], str]]:
    """PostgreSQL with a certificate for a name; gives its URL."""

    def administer(*statements: str) -> None:
        engine = sa.create_engine(postgres.url(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in (*statements, "SELECT pg_reload_conf()"):
                connection.execute(sa.text(statement))

    def start(name: str) -> str:
        certificate, key = installed(authority.issue(name), postgres.directory / "data", 0o600)
        administer(
            f"ALTER SYSTEM SET ssl_cert_file = '{certificate}'",
            f"ALTER SYSTEM SET ssl_key_file = '{key}'",
            "ALTER SYSTEM SET ssl = on",
        )
        wait_until(lambda: cipher(postgres_url) != "", 60)
        return postgres_url

    yield start
    administer("ALTER SYSTEM RESET ssl")


class _WithTls(MariaDBServer):
    pair: tuple[Path, Path]

    def _command(self) -> Sequence[str]:
        return [*super()._command(), f"--ssl-cert={self.pair[0]}", f"--ssl-key={self.pair[1]}"]


@pytest.fixture
def mariadb_with(own_server: OwnServer, authority: Authority) -> Callable[[str], str]:
    """MariaDB with a certificate for a name; gives its URL."""

    def prepare(server: _WithTls, name: str) -> None:
        server.directory.mkdir(parents=True, exist_ok=True)
        server.pair = installed(authority.issue(name), server.directory, 0o644)  # of no use to anybody

    return lambda name: own_server(_WithTls, prepare=lambda server: prepare(server, name)).url()


def check(url: str, root: Path, name: str) -> None:
    """What each word means, by a certificate of an authority that only `root` knows."""
    url += "&" if "?" in url else "?"
    is_mysql = url.startswith("mysql")
    known = f"{'ssl_ca' if is_mysql else 'sslrootcert'}={root}"
    for asked in ("sslmode=require", "ssl-mode=REQUIRED", f"ssl-mode=VERIFY_CA&{known}", f"sslmode=verify-ca&{known}"):
        assert cipher(url + asked) != "", asked
    assert cipher(f"{url}sslmode=disable") == ""
    verified = [f"sslmode=verify-full&{known}", f"ssl-mode=VERIFY_IDENTITY&{known}", f"ssl=true&{known}"]
    verified += [known] if is_mysql else []
    for asked in verified:
        if name == HERE:
            assert cipher(url + asked) != "", asked
        else:
            with pytest.raises(DatabaseUnavailable, match="its certificate is not one that sslmode"):
                cipher(url + asked)
    with pytest.raises(DatabaseUnavailable, match="its certificate is not one that sslmode"):
        cipher(f"{url}ssl=true")


@pytest.mark.parametrize("name", [HERE, ELSEWHERE])
def test_postgresql(postgres_with: Callable[[str], str], authority: Authority, name: str) -> None:
    check(postgres_with(name), authority.root, name)


def test_mariadb(mariadb_with: Callable[[str], str], authority: Authority) -> None:
    url = mariadb_with(HERE)
    check(url, authority.root, HERE)
    # The same server by a name that its certificate does not have.
    check(url.replace("127.0.0.1", "localhost"), authority.root, ELSEWHERE)
