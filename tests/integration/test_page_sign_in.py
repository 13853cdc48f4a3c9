"""The page's door: who is signed in, what each role may call, forms of other sites, and the headers of each answer."""

from __future__ import annotations

import datetime as dt
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
import sqlalchemy as sa

from smsclick.contract import users as users_table
from smsclick.contract import web_sessions as sessions_table
from tests.factories import USER_PASSWORD
from tests.page import Visitor, signed_in, token_in
from worker.operator.access import users, web_sessions
from worker.operator.access.users import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from argon2 import PasswordHasher

    from smsclick._database.engine import Database
    from tests.api_server import Api


def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(site: Api) -> None:
    visitor = Visitor(site.url)
    answer = visitor.get("/?a=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/entrar?next=%2F%3Fa%3D1")
    users.add(site.database, "ana", Role.VIEWER, USER_PASSWORD, actor="a test")
    assert visitor.sign_in("ana", next="/?a=1").headers["Location"] == "/?a=1"
    page = visitor.get("/")
    assert page.status_code == 200
    assert "ana" in page.text
    assert visitor.get("/entrar").headers["Location"] == "/"
    [user] = users.list_all(site.database)
    assert user.signed_in_at is not None


@pytest.mark.parametrize("elsewhere", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/entrar"])
def test_no_sign_in_leads_to_another_site(site: Api, elsewhere: str) -> None:
    users.add(site.database, "ana", Role.VIEWER, USER_PASSWORD, actor="a test")
    assert Visitor(site.url).sign_in("ana", next=elsewhere).headers["Location"] == "/"


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer_and_no_session(site: Api) -> None:
    users.add(site.database, "ana", Role.VIEWER, USER_PASSWORD, actor="a test")
    visitor = Visitor(site.url)
    shown = []
    for name, password in (("ana", "a wrong password"), ("eva", USER_PASSWORD), ("ana", ""), ("ana\0", "x" * 5000)):
        answer = visitor.sign_in(name, password)
        assert answer.status_code == 403
        shown.append(re.sub(r'value="[^"]*"', "", answer.text))
    assert len(set(shown)) == 1
    assert "El usuario o la contraseña no es correcto" in shown[0]
    assert visitor.get("/").status_code == 303
    with site.database.read() as connection:
        assert connection.execute(sa.select(sessions_table)).all() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_after_five_wrong_passwords_a_name_must_wait_and_others_need_not(
    site: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ana", "eva"):
        users.add(site.database, name, Role.VIEWER, USER_PASSWORD, actor="a test")
    visitor = Visitor(site.url)
    for _ in range(5):
        assert visitor.sign_in("ana", "a wrong password").status_code == 403
    assert visitor.sign_in("a password in the wrong field", "x").status_code == 403
    for _ in range(3):
        refused = visitor.sign_in("ana")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 30
    assert "Intente de nuevo en" in refused.text
    [ana, _] = users.list_all(site.database)
    logged = [each.getMessage() for each in caplog.records if "ign-in" in each.getMessage()]
    assert len(logged) == 7
    assert [line for line in logged[:5] if f"user_id={ana.id}" not in line] == []
    assert "user_id" not in logged[5]
    assert "requests=1" in logged[6]  # the others are counted in the next line
    assert not any(word in caplog.text for word in ("ana ", "in the wrong field", "a wrong password", "127.0.0.1"))
    assert Visitor(site.url).sign_in("eva").status_code == 303


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_wrong_passwords_that_are_sent_at_once_are_not_all_tried(site: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    users.add(site.database, "ana", Role.VIEWER, USER_PASSWORD, actor="a test")
    tried = []
    sign_in = users.sign_in

    def counted(database: Database, name: str, password: str) -> str | None:
        tried.append(password)
        return sign_in(database, name, password)

    monkeypatch.setattr(users, "sign_in", counted)
    visitor = Visitor(site.url)
    token = token_in(visitor.get("/entrar").text)
    cookie = "; ".join(f"{each.name}={each.value}" for each in visitor.http.cookies)

    def guess(number: int) -> int:
        fields = {"name": "ana", "password": f"a wrong password {number}"}
        return Visitor(site.url).post("/entrar", fields, csrf=token, headers={"Cookie": cookie}).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(guess, range(20)))
    assert set(answers) == {403, 429}
    assert 5 <= len(tried) <= 12  # five, one more beside the fifth, and those whose wait is over


def test_a_session_ends_by_signing_out_by_idleness_by_age_and_with_its_user(site: Api) -> None:
    def with_session() -> Visitor:
        visitor = signed_in(site.url, site.database, Role.OPERATOR)
        assert visitor.get("/").status_code == 200
        return visitor

    def ended(visitor: Visitor) -> bool:
        return visitor.get("/").status_code == 303

    out, other = with_session(), with_session()
    kept = out.http.cookies.copy()
    assert out.post("/salir").headers["Location"] == "/entrar"
    out.http.cookies = kept  # the browser's own forgetting is not what ends it
    assert ended(out)
    assert not ended(other)
    for column, age in (("seen_at", web_sessions.IDLE), ("created_at", web_sessions.LONGEST)):
        visitor = with_session()
        with site.database.begin() as connection:
            earlier = site.database.clock() - age - dt.timedelta(seconds=5)
            connection.execute(sa.update(sessions_table).values({column: earlier}))
        assert ended(visitor)
    visitor = with_session()
    users.set_password(site.database, "operator-user", USER_PASSWORD + "!", actor="a test")
    assert ended(visitor)
    users.set_password(site.database, "operator-user", USER_PASSWORD, actor="a test")
    visitor = with_session()
    users.remove(site.database, "operator-user", actor="a test")
    assert ended(visitor)


def test_an_open_window_that_asks_by_itself_does_not_keep_a_session_alive(site: Api) -> None:
    visitor = signed_in(site.url, site.database, Role.VIEWER)
    earlier = site.database.clock() - web_sessions.IDLE / 2
    with site.database.begin() as connection:
        connection.execute(sa.update(sessions_table).values(seen_at=earlier))

    def seen() -> dt.datetime:
        with site.database.read() as connection:
            found: dt.datetime = connection.execute(sa.select(sessions_table.c.seen_at)).scalar_one()
            return found

    before = seen()
    with visitor.get("/ahora/eventos", stream=True) as stream:
        assert stream.status_code == 200
        assert any(line.startswith("data:") for line in stream.iter_lines(decode_unicode=True))
    assert seen() == before
    assert visitor.get("/").status_code == 200
    assert seen() > before


def test_no_session_begins_with_a_password_that_is_changed_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.add(database, "ana", Role.VIEWER, USER_PASSWORD, actor="a test")
    needs = users._HASHER.check_needs_rehash

    def changed_meanwhile(stored: str) -> bool:
        users.set_password(database, "ana", USER_PASSWORD + "!", actor="a test")
        return needs(stored)

    monkeypatch.setattr(users, "_HASHER", _Hasher(users._HASHER, changed_meanwhile))
    assert users.sign_in(database, "ana", USER_PASSWORD) is None
    with database.read() as connection:
        assert connection.execute(sa.select(sessions_table)).all() == []
    monkeypatch.undo()
    assert users.sign_in(database, "ana", USER_PASSWORD + "!") is not None


def test_a_name_that_nobody_has_takes_as_much_work_as_another() -> None:
    assert not users._HASHER.check_needs_rehash(users._NOBODY)
    assert users._HASHER.verify(users._NOBODY, "no user has this password")


class _Hasher:
    """The real hasher; what happens between the check of a password and the session is the test's."""

    def __init__(self, real: PasswordHasher, between: Callable[[str], bool]) -> None:
        self.hash, self.verify = real.hash, real.verify
        self.check_needs_rehash = between


def test_a_role_that_this_version_does_not_know_may_nothing(site: Api) -> None:
    visitor = signed_in(site.url, site.database, Role.OPERATOR)
    with site.database.begin() as connection:
        connection.execute(sa.update(users_table).values(role="auditor"))
    assert visitor.get("/").status_code == 303
    assert Visitor(site.url).sign_in("operator-user").status_code == 403


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_form_without_the_sessions_own_token_does_nothing(site: Api) -> None:
    visitor = signed_in(site.url, site.database, Role.OPERATOR)
    other = signed_in(site.url, site.database, Role.OPERATOR, name="other")
    for token in ("", "x", other.csrf, "ñ"):
        answer = visitor.post("/salir", csrf=token)
        assert answer.status_code == 403
        assert "no se hizo nada" in answer.text
        assert visitor.get("/").status_code == 200
    passerby = Visitor(site.url)
    form = Visitor(site.url).get("/entrar")  # another visit's token
    fields = {"name": "other", "password": USER_PASSWORD}
    assert passerby.post("/entrar", fields, csrf=token_in(form.text)).status_code == 403


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_cookies_are_for_this_site_and_its_server_only(site: Api) -> None:
    users.add(site.database, "ana", Role.VIEWER, USER_PASSWORD, actor="a test")
    port = site.url.rpartition(":")[2]
    for host, name, secure in (
        ("127.0.0.1", "smsclick-session", False),
        ("sms.example", "__Host-smsclick-session", True),
    ):
        visitor = Visitor(site.url)
        visitor.http.headers["Host"] = f"{host}:{port}"
        form = visitor.get("/entrar")
        visit = form.headers["Set-Cookie"]
        cookie = visit.partition(";")[0]
        answer = visitor.post(
            "/entrar",
            {"name": "ana", "password": USER_PASSWORD},
            csrf=token_in(form.text),
            headers={"Cookie": cookie},
        )
        assert answer.status_code == 303
        given = answer.headers["Set-Cookie"]
        assert given.startswith(f"{name}=")
        assert "HttpOnly" in given
        assert "SameSite=lax" in given
        assert "Path=/" in given
        assert "Domain" not in given
        assert ("Secure" in given, "Secure" in visit) == (secure, secure)


SELF: Final = {"style-src", "script-src", "connect-src", "form-action"}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_page_has_a_policy_that_lets_nothing_in(site: Api) -> None:
    visitor = signed_in(site.url, site.database, Role.VIEWER)
    for answer in (visitor.get("/"), Visitor(site.url).get("/entrar"), visitor.get("/nothing")):
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert {policy[each] for each in ("default-src", "frame-ancestors", "base-uri")} == {"'none'"}
        assert {policy[each] for each in SELF} == {"'self'"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|(src|href|action)=.https?:", answer.text)
    assert visitor.get("/nothing").status_code == 404
    [style] = re.findall(r'rel="stylesheet" href="([^"]+)"', visitor.get("/").text)
    kept = visitor.get(style)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert visitor.get(re.sub(r"/[0-9a-f]{16}/", "/0000000000000000/", style)).status_code == 404


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_language_is_the_persons_choice_then_the_browsers_then_the_installations(site: Api) -> None:
    def title(visitor: Visitor) -> str:
        found = re.search(r"<h1>(.*?)</h1>", visitor.get("/entrar").text)
        assert found is not None
        return found[1]

    assert title(Visitor(site.url, "en-US,es;q=0.5")) == "Sign in"
    assert title(Visitor(site.url, "de,es;q=0.3,en;q=0.2")) == "Entrar"
    assert title(Visitor(site.url, "de")) == "Entrar"
    assert title(Visitor(site.url, "en;q=x,;;,q")) == "Entrar"
    visitor = Visitor(site.url, "es")
    assert visitor.post("/idioma", {"language": "en", "next": "/entrar"}, csrf="").status_code == 303
    assert title(visitor) == "Sign in"
    visitor.post("/idioma", {"language": "<script>"}, csrf="")
    assert title(visitor) == "Sign in"
