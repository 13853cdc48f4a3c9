"""A changed key file is noticed by the workers, without a restart."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import sqlalchemy as sa

from smsclick.contract import HoldReason, State, messages
from smsclick.settings import load_settings
from tests.acceptance import KEY, Cluster, texts
from tests.processes import wait_until
from worker.account import account_key
from worker.account.key_file import KeyFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import StartProcess

NEW = "another-key-of-the-account"


def write(path: Path, key: str) -> None:
    """As Kubernetes and careful people do: the new content takes the old one's place at once."""
    beside = path.with_suffix(".new")
    beside.write_text(f"{key}\n")
    beside.replace(path)


def test_another_key_is_noticed_once_it_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    write(path, KEY)
    monkeypatch.delenv("SMSCLICK_API_KEY", raising=False)
    monkeypatch.setenv("SMSCLICK_API_KEY_FILE", str(path))
    watched = KeyFile(load_settings())
    assert not watched.changed()
    write(path, KEY)
    assert not watched.changed()  # the same key
    write(path, "")
    assert not watched.changed()
    write(path, "two words")
    assert not watched.changed()
    path.unlink()
    assert not watched.changed()
    assert "the old key stays" in caplog.text
    assert "two words" not in caplog.text
    write(path, NEW)
    assert watched.changed()
    assert NEW not in caplog.text


def test_a_key_of_the_environment_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMSCLICK_API_KEY_FILE", raising=False)
    monkeypatch.setenv("SMSCLICK_API_KEY", KEY)
    watched = KeyFile(load_settings())
    monkeypatch.setenv("SMSCLICK_API_KEY", NEW)
    assert not watched.changed()


def test_a_new_key_lifts_the_hold_of_the_refused_one_without_a_restart(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    write(path, KEY)
    key = {"SMSCLICK_API_KEY": "", "SMSCLICK_API_KEY_FILE": os.fspath(path)}
    with Cluster(start_process, migrated_postgres_url, redis_url, env=key) as cluster:
        workers, _ = cluster.start(workers=2, beats=1)
        cluster.enqueue(texts(20))
        cluster.wait_final(20)
        cluster.provider.set(api_key=NEW)
        cluster.enqueue(texts(20, "Nuevo"))
        wait_until(lambda: cluster.hold() == HoldReason.KEY_REFUSED, what="the hold")
        write(path, NEW)
        cluster.wait_final(40)
        assert cluster.hold() is None
        assert cluster.states()[State.DELIVERED] == 40
        assert all(worker.running for worker in workers)
        assert len(cluster.assert_ledger_agrees()) == 40
        with cluster.database.read() as connection:
            rows = connection.execute(sa.select(messages.c.text, messages.c.account_fingerprint)).all()
    expected = {"Nuevo": account_key.fingerprint(NEW), "Pedido": account_key.fingerprint(KEY)}
    assert {row.text.split()[0]: row.account_fingerprint for row in rows} == expected
