"""`smsclick token` and `smsclick user`: who may use the HTTP API, and who may use the page."""

import getpass
import sys
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick.errors import InvalidField
from worker.operator.access import tokens, users
from worker.operator.access.tokens import Scope, Token
from worker.operator.access.users import PASSWORD_CHARACTERS, Role
from worker.operator.commands.options import AsJson
from worker.operator.commands.parts.current_user import current_user

token = typer.Typer(no_args_is_help=True, help="Who may use the HTTP API.")

TokenName = Annotated[str, typer.Argument(help="What the token is for, in your words: shop, support-desk.")]


@token.command()
def create(
    name: TokenName,
    *,
    scope: Annotated[list[Scope], typer.Option(help="What it allows; several: --scope send --scope read.")],
) -> None:
    """Create a token and print it; it is stored as a hash only, so it is never shown again."""
    with open_database() as database:
        secret = tokens.create(database, name, [str(each) for each in scope], actor=current_user())
    output.say(secret)
    output.note("Keep it now: only its hash is stored. Send it as: Authorization: Bearer TOKEN")


@token.command("list")
def list_tokens(*, as_json: AsJson = False) -> None:
    """Show the tokens without their secrets, the newest first."""
    with open_database() as database:
        found = tokens.list_all(database)
    if as_json:
        for each in found:
            output.json_line(_token_record(each))
        return
    output.show_table(
        ("name", "scopes", "created", "by", "last used", "revoked"),
        [
            (
                each.name,
                " ".join(sorted(each.scopes)),
                each.created_at,
                each.created_by,
                "never" if each.last_used_at is None else each.last_used_at,
                each.revoked_at,
            )
            for each in found
        ],
        texts={"name", "by"},
    )


@token.command()
def revoke(name: TokenName) -> None:
    """Revoke a token: within a second it allows nothing any more."""
    with open_database() as database:
        revoked = tokens.revoke(database, name, actor=current_user())
    output.say("revoked" if revoked else "revoked already")


def _token_record(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at,
        "created_by": token.created_by,
        "last_used_at": token.last_used_at,
        "revoked_at": token.revoked_at,
    }


user = typer.Typer(no_args_is_help=True, help="Who may use the page.")

UserName = Annotated[str, typer.Argument(help="With which the person signs in: ana.")]
RoleOption = Annotated[
    Role, typer.Option(help="viewer: masked phones, no texts, no acts; operator: sees and does everything.")
]


@user.command()
def add(name: UserName, *, role: RoleOption = Role.VIEWER) -> None:
    """Add a user. The password is asked for twice, or is the first line of the standard input."""
    password = _read_password()
    with open_database() as database:
        added = users.add(database, name, role, password, actor=current_user())
    output.say(f"added {added.name} ({role})")


@user.command()
def passwd(name: UserName) -> None:
    """Change a user's password, which is read as for add, and end the user's sessions."""
    password = _read_password()
    with open_database() as database:
        users.set_password(database, name, password, actor=current_user())
    output.say("changed")


@user.command()
def remove(name: UserName) -> None:
    """Remove a user and end the user's sessions."""
    with open_database() as database:
        users.remove(database, name, actor=current_user())
    output.say("removed")


@user.command("list")
def list_users(*, as_json: AsJson = False) -> None:
    """Show the users by name."""
    with open_database() as database:
        found = users.list_all(database)
    if as_json:
        for each in found:
            output.json_line(
                {
                    "name": each.name,
                    "role": each.role,
                    "created_at": each.created_at,
                    "created_by": each.created_by,
                    "signed_in_at": each.signed_in_at,
                }
            )
        return
    output.show_table(
        ("name", "role", "created", "by", "last sign-in"),
        [
            (
                each.name,
                "(unknown)" if each.role is None else each.role,
                each.created_at,
                each.created_by,
                "never" if each.signed_in_at is None else each.signed_in_at,
            )
            for each in found
        ],
        texts={"name", "by"},
    )


def _read_password() -> str:
    """Read a new password; it is no argument, because other users of the machine see arguments.

    Raises:
        InvalidField: there is none, or the two are not the same.
    """
    if not sys.stdin.isatty():
        line = sys.stdin.readline(PASSWORD_CHARACTERS[1] + 2).rstrip("\r\n")
        if not line:
            raise InvalidField("password: write it as the first line of the standard input")
        return line
    password = getpass.getpass("Password (at least 12 characters): ")
    if getpass.getpass("The same again: ") != password:
        raise InvalidField("password: the two are not the same")
    return password
