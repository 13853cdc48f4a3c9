"""The HTTP API's calls on the three databases: what each stores, answers and refuses."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute

from smsclick._database.engine import Database
from smsclick.contract import State, events, messages, tokens
from tests.api_server import ALL_SCOPES, Api, serving
from tests.conftest import migrate
from tests.factories import insert, settings
from tests.manual_clock import MovedTime
from tests.processes import wait_until
from web.app import create
from web.authentication import KNOWN_FOR_SECONDS
from web.pages.router import build
from worker.operator.access import tokens as operator_tokens
from worker.sql import audit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

PHONE, TEXT = "5551402211", "Tu pedido va en camino"
MESSAGE = {"phone": PHONE, "text": TEXT}


@pytest.fixture
def api(database: Database) -> Iterator[Api]:
    with serving(database) as running:
        yield running


def rows(api: Api) -> list[sa.Row[tuple[object, ...]]]:
    with api.database.read() as connection:
        return list(connection.execute(sa.select(messages).order_by(messages.c.id)))


def problem(answer: requests.Response, kind: str, status: int) -> str:
    """The detail of a problem of this kind."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:smsclick:problem:{kind}"
    assert body["status"] == status
    detail: str = body["detail"]
    return detail


def test_a_message_is_committed_before_the_answer_and_the_same_key_is_the_same_message(api: Api) -> None:
    first = api.post(MESSAGE | {"key": "order-1:shipped", "priority": "high", "reference": "order 1"})
    assert first.status_code == 202
    [row] = rows(api)
    assert first.json() == {"id": row.id, "key": "order-1:shipped", "state": "queued", "new": True}
    assert (row.phone, row.text, row.priority, row.reference) == (PHONE, TEXT, 0, "order 1")
    with api.database.begin() as connection:
        connection.execute(sa.update(messages).values(state="sent", id_mensaje=7))
    again = api.post(MESSAGE | {"key": "order-1:shipped"})
    assert again.status_code == 202
    assert again.json() == first.json() | {"new": False, "state": "sent"}
    other = api.post({"phone": PHONE, "text": "otro", "key": "order-1:shipped"})
    assert "message " + str(row.id) in problem(other, "key-conflict", 409)
    assert len(rows(api)) == 1


def test_the_header_is_the_key_of_a_message_without_one(api: Api) -> None:
    for header in ("order-2", '"order-2"'):
        answer = api.post(MESSAGE, headers={"Idempotency-Key": header})
        assert answer.json()["key"] == "order-2"
    assert api.post(MESSAGE | {"key": "order-2"}, headers={"Idempotency-Key": "order-2"}).status_code == 202
    problem(api.post(MESSAGE | {"clave": "order-3"}, headers={"Idempotency-Key": "order-2"}), "invalid", 422)
    problem(api.post({"messages": [MESSAGE]}, headers={"Idempotency-Key": "order-2"}), "invalid", 422)
    assert len(rows(api)) == 1


def test_of_many_each_is_stored_or_refused_by_itself_in_their_order(api: Api) -> None:
    api.post(MESSAGE | {"key": "in-use"})
    answer = api.post(
        {
            "messages": [
                {"telefono": "55 5140 2211", "mensaje": "uno", "clave": "a"},
                {"phone": "12", "text": "dos"},
                MESSAGE | {"key": "in-use"},
                {"phone": PHONE, "text": "otro", "key": "in-use"},
                {"phone": PHONE, "text": "tres", "telefono": PHONE},
                {"phone": PHONE, "text": "cuatro", "5551402211": 1},
                "cinco",
                {"phone": PHONE, "text": "uno", "key": "a"},
            ]
        }
    )
    assert answer.status_code == 202
    results = answer.json()
    assert [each.get("new", each.get("status")) for each in results] == [True, 422, False, 409, 422, 422, 422, False]
    assert results[0]["id"] == results[7]["id"]
    assert PHONE not in results[5]["detail"]
    assert [row.key for row in rows(api)] == ["in-use", "a"]


@pytest.mark.parametrize(
    ("sent", "kind", "status"),
    [
        ({"data": b"{"}, "bad-json", 400),
        ({"data": b'{"phone": "\\ud800"}'}, "bad-json", 400),
        ({"data": b"\xff\xfe"}, "bad-json", 400),
        ({"data": b"[" * 100_000}, "bad-json", 400),
        ({"data": b'{"phone": NaN, "text": "x"}'}, "bad-json", 400),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, "not-json", 415),
        ({"data": b"[]"}, "invalid", 422),
        ({"data": b"null"}, "invalid", 422),
        ({"data": b'{"messages": []}'}, "invalid", 422),
        ({"data": b'{"messages": [%s]}' % b",".join([b"{}"] * 1001)}, "invalid", 422),
        ({"data": b'{"phone": 5551402211.5, "text": "x"}'}, "invalid", 422),
        ({"data": b'{"phone": true, "text": "x"}'}, "invalid", 422),
        ({"data": b'{"phone": %s, "text": "x"}' % (b"9" * 5000)}, "bad-json", 400),
        ({"data": b'{"phone": %s, "text": "x"}' % (b"9" * 50)}, "invalid", 422),
        ({"data": b'{"phone": "5551402211", "text": "x", "ttl": 1, "expires_at": "2030-01-01T00Z"}'}, "invalid", 422),
        ({"data": b'{"phone": "5551402211", "text": "x", "send_at": "2030-01-01T00:00:00"}'}, "invalid", 422),
        ({"data": b'{"phone": "5551402211", "text": "\\u0000"}'}, "invalid", 422),
        ({"data": b" " * (4 * 1024 * 1024 + 1)}, "too-large", 413),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_problem_that_repeats_nothing_of_it(
    api: Api, sent: dict[str, object], kind: str, status: int
) -> None:
    options: dict[str, Any] = {"headers": {"Content-Type": "application/json"}} | sent
    detail = problem(api.call("POST", "/v1/messages", **options), kind, status)
    assert "5551402211" not in detail
    assert rows(api) == []


def test_a_body_of_unannounced_size_ends_at_the_limit(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    problem(api.call("POST", "/v1/messages", data=iter([b" " * 1024 * 1024] * 5), headers=headers), "too-large", 413)


def test_a_list_goes_on_by_cursor_until_null_and_filters_hold(api: Api) -> None:
    insert(api.database, 25)
    with api.database.begin() as connection:
        ids = list(connection.scalars(sa.select(messages.c.id).order_by(messages.c.id)))
        third = [each for index, each in enumerate(ids) if index % 3 == 0]
        connection.execute(
            sa.update(messages)
            .where(messages.c.id.in_(third))
            .values(state="failed", reference="r", phone="5512345678")
        )

    def listed(query: str) -> list[int]:
        found, cursor = [], ""
        while True:
            page = api.call("GET", f"/v1/messages?limit=4{query}{cursor}").json()
            assert len(page["messages"]) <= 4
            found += [each["id"] for each in page["messages"]]
            if page["cursor"] is None:
                return found
            cursor = f"&cursor={page['cursor']}"

    newest_first = sorted(ids, reverse=True)
    assert listed("") == newest_first
    for query in ("&state=failed", "&reference=r", "&phone=55 1234 5678", "&state=failed&state=sent&reference=r"):
        assert listed(query) == sorted(third, reverse=True)
    assert listed("&state=delivered") == []
    assert listed("&since=2100-01-01T00:00:00Z") == []
    assert listed("&until=2100-01-01T00:00:00Z&since=2001-01-01T00:00:00Z") == newest_first
    key = rows(api)[5].key
    assert listed(f"&key={key}") == [ids[5]]
    for wrong in (
        "&refs=r",
        "&limit=0",
        "&cursor=x",
        "&since=2030-01-01T00:00:00",
        "&phone=1",
        "&key=%00",
        "&state=x",
    ):
        problem(api.call("GET", f"/v1/messages?{wrong}"), "invalid", 422)


def test_a_message_has_its_history_and_says_what_comes_next(api: Api) -> None:
    message_id = api.post(MESSAGE | {"key": "one"}).json()["id"]
    shown = api.call("GET", f"/v1/messages/{message_id}").json()
    assert (shown["id"], shown["phone"], shown["text"], shown["events"]) == (message_id, PHONE, TEXT, [])
    assert shown["next"]
    secret = api.token("operate")
    assert api.call("POST", f"/v1/messages/{message_id}/cancel", secret).json() == {
        "id": message_id,
        "state": "cancelled",
    }
    [event] = api.call("GET", f"/v1/messages/{message_id}").json()["events"]
    assert (event["from_state"], event["to_state"], event["cause"]) == ("queued", "cancelled", "operator")
    problem(api.call("POST", f"/v1/messages/{message_id}/cancel"), "state-conflict", 409)
    problem(api.call("POST", f"/v1/messages/{message_id}/retry"), "state-conflict", 409)
    for path in ("", "/cancel", "/retry"):
        method = "POST" if path else "GET"
        problem(api.call(method, f"/v1/messages/999999{path}"), "no-such-message", 404)
        problem(api.call(method, f"/v1/messages/0{path}"), "invalid", 422)
    with api.database.read() as connection:
        assert str(connection.scalar(sa.select(events.c.actor))).startswith("token test ")


def test_a_failed_message_is_queued_again(api: Api) -> None:
    [message_id] = insert(api.database, 1, state=State.FAILED, due_at=None)
    assert api.call("POST", f"/v1/messages/{message_id}/retry").json() == {"id": message_id, "state": "queued"}


def test_the_account_is_shown_held_and_resumed(api: Api) -> None:
    insert(api.database, 3)
    shown = api.call("GET", "/v1/account").json()
    assert (shown["states"]["queued"], shown["hold"], shown["balance"]) == (3, None, None)
    assert api.call("POST", "/v1/account/hold").json()["changed"] is True
    held = api.call("POST", "/v1/account/hold").json()
    assert (held["held"], held["changed"]) == (True, False)
    assert api.call("GET", "/v1/account").json()["hold"]["by_operator"] is True
    assert api.call("POST", "/v1/account/resume").json() == {"held": False, "changed": True, "reasons": []}
    assert api.call("POST", "/v1/account/resume").json()["changed"] is False
    assert {each.actor[:6] for each in audit.listed(api.database) if each.act in {"hold", "resume"}} == {"token "}


NEEDED = {
    ("POST", "/v1/messages"): "send",
    ("GET", "/v1/messages"): "read",
    ("GET", "/v1/messages/{message_id}"): "read",
    ("POST", "/v1/messages/{message_id}/cancel"): "operate",
    ("POST", "/v1/messages/{message_id}/retry"): "operate",
    ("GET", "/v1/account"): "read",
    ("POST", "/v1/account/hold"): "operate",
    ("POST", "/v1/account/resume"): "operate",
}
OPEN = (("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/openapi.json"))


def test_the_matrix_of_scopes_has_every_call() -> None:
    """Routes of the page are in test_page_routes.py."""
    pages = {route.path for router in build() for route in router.routes if isinstance(route, APIRoute)}
    calls = {
        (method, route.path)
        for route in create(settings("sqlite:///api.db")).state.calls
        for method in route.methods
        if route.path not in pages
    }
    assert calls == {*OPEN, *NEEDED}


@pytest.mark.parametrize("scopes", [of for n in range(4) for of in itertools.combinations(ALL_SCOPES, n)])
def test_a_call_needs_a_token_with_its_scope(one_api: Api, scopes: tuple[str, ...]) -> None:
    secret = one_api.token(*scopes) if scopes else ""
    [message_id] = insert(one_api.database, 1)
    for (method, path), scope in NEEDED.items():
        body = MESSAGE if (method, path) == ("POST", "/v1/messages") else None
        answer = one_api.call(method, path.format(message_id=message_id), secret, json=body)
        if not scopes:
            problem(answer, "unauthenticated", 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        elif scope in scopes:
            assert answer.status_code in {200, 202, 409}
        else:
            assert scope in problem(answer, "scope-missing", 403)
    for method, path in OPEN:
        assert one_api.call(method, path, "").status_code == 200


@pytest.fixture(scope="module")
def one_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    database = Database(migrate(f"sqlite:///{tmp_path_factory.mktemp('api')}/api.db"))
    with serving(database) as running:
        yield running
    database.dispose()


def test_a_revoked_token_and_a_wrong_one_are_refused_and_only_a_hash_is_stored(api: Api) -> None:
    secret = api.token("read")
    assert api.call("GET", "/v1/account", secret).status_code == 200
    with api.database.read() as connection:
        stored = connection.execute(sa.select(tokens)).all()
    assert secret not in repr(stored)
    name = next(row.name for row in stored if row.scopes == "read")
    assert next(row.last_used_at for row in stored if row.scopes == "read")
    assert operator_tokens.revoke(api.database, name, actor="me")
    wait_until(lambda: api.call("GET", "/v1/account", secret).status_code == 401, what="its end")
    for wrong in ("x", secret + "x", secret[:-1], "smsclick_" + "á" * 43):
        answer = api.call("GET", "/v1/account", headers={"Authorization": f"Bearer {wrong}".encode()})
        problem(answer, "unauthenticated", 401)


def test_a_token_that_is_in_use_ends_within_a_second_of_its_revocation(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = MovedTime()
    monkeypatch.setattr("web.authentication.time", moved)
    secret = api.token("read")
    assert api.call("GET", "/v1/account", secret).status_code == 200
    with api.database.read() as connection:
        newest = sa.select(tokens.c.name).order_by(tokens.c.id.desc()).limit(1)
        name = connection.execute(newest).scalar_one()
    assert operator_tokens.revoke(api.database, name, actor="me")
    moved.ahead = 1.0
    assert api.call("GET", "/v1/account", secret).status_code == 401


def test_guessing_is_slowed_down_for_one_address_and_a_known_token_still_works(api: Api) -> None:
    assert api.call("GET", "/v1/account").status_code == 200
    unknown = [api.token("read") for _ in range(10)]  # a token that the process has not seen yet may be a guess too
    time.sleep(KNOWN_FOR_SECONDS)  # so that the known token is looked up again

    def guess(number: int) -> int:
        return api.call("GET", "/v1/account", f"smsclick_{number:043}").status_code

    assert guess(0) == 401
    # A guess a second is allowed, so on a slow machine the next one may pass too.
    wait_until(lambda: guess(1) == 429, what="guesses to be refused")
    assert api.call("GET", "/v1/account").status_code == 200
    found = []
    for token in unknown:
        wait_until(lambda: guess(2) == 429, what="guesses to be refused")
        found.append(api.call("GET", "/v1/account", token).status_code)
    assert 429 in found


def test_an_address_that_has_no_call_and_a_method_that_it_does_not_have(api: Api) -> None:
    problem(api.call("GET", "/v1/nothing"), "no-such-call", 404)
    answer = api.call("DELETE", "/v1/messages")
    problem(answer, "method-not-allowed", 405)
    assert answer.headers["Allow"] == "GET, POST"
    for answer in (api.call("GET", "/healthz", ""), api.call("GET", "/v1/nothing", "")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
