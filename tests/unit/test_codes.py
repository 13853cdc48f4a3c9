"""The table of codes against the manual."""

from __future__ import annotations

import pytest

from smsclick.provider.codes import CODES, Action, Estatus, Fault, lookup

MANUAL = [1, -100, -101, -102, -103, -104, -105, -200, -201, -300, -301, -302, -303]


def test_every_code_of_the_manual_is_one_row() -> None:
    assert [row.code for row in CODES] == MANUAL


@pytest.mark.parametrize("code", [-102, -103, -105])
def test_a_fault_of_the_message_is_refused_for_good(code: int) -> None:
    assert (lookup(code).fault, lookup(code).action) == (Fault.MESSAGE, Action.FAIL)


@pytest.mark.parametrize("code", [-100, -101])
def test_a_refused_key_holds_the_account(code: int) -> None:
    assert (lookup(code).fault, lookup(code).action) == (Fault.ACCOUNT, Action.HOLD_KEY)


def test_no_balance_holds_the_account() -> None:
    assert (lookup(-104).fault, lookup(-104).action) == (Fault.ACCOUNT, Action.HOLD_NO_BALANCE)


@pytest.mark.parametrize("code", [-200, -201, -300, -301, -302, -303])
def test_a_fault_of_a_query_is_no_verdict_on_a_message(code: int) -> None:
    assert (lookup(code).fault, lookup(code).action) == (Fault.QUERY, Action.RETRY)


@pytest.mark.parametrize("code", [0, 2, -1, -106, -999, 2**31])
def test_a_code_that_the_manual_does_not_list_is_retried(code: int) -> None:
    row = lookup(code)
    assert (row.code, row.fault, row.action) == (code, Fault.NONE, Action.RETRY)


def test_only_success_asks_for_nothing() -> None:
    assert [row.code for row in CODES if row.action is Action.NONE] == [1]


def test_estatus_has_the_manuals_numbers_and_names() -> None:
    assert {status.value: status.name for status in Estatus} == {
        0: "PENDIENTE",
        1: "EN_PROCESO",
        2: "ENVIADO",
        3: "RECIBIDO",
        4: "RECHAZADO",
    }


def test_only_recibido_and_rechazado_are_final() -> None:
    assert [status for status in Estatus if status.final] == [Estatus.RECIBIDO, Estatus.RECHAZADO]
