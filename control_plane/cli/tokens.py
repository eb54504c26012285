"""`control-plane token`: access tokens for administration."""

from enum import StrEnum
from typing import Annotated

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, Json, show, show_all
from control_plane.cli.remote import Url, ask, ask_for_all, given

token_app = typer.Typer(name="token", help="Access tokens for administration.", no_args_is_help=True)

COLUMNS = ("token_id", "prefix", "name", "role", "organization_id", "team_id", "status", "expires_at", "last_used_at")

Token = Annotated[str, typer.Argument(help="The token's id, as `token list` shows it.")]


class Role(StrEnum):
    """Roles as the command line names them."""

    OWNER = "owner"
    ADMIN = "admin"
    FINANCE = "finance"
    DEVELOPER = "developer"
    VIEWER = "viewer"


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What the token is for, as the audit log shows it.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    org: Annotated[str | None, typer.Option(help="For this organization and its teams.")] = None,
    team: Annotated[str | None, typer.Option(help="For this team.", show_default="the platform")] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="When it expires (RFC 3339 with an offset).", show_default="never")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create an access token; it is shown only once."""
    if org is not None and team is not None:
        raise typer.BadParameter("name an organization or a team, not both", param_hint="--team")
    body: Json = {
        "name": name,
        "role": role.value,
        "organization_id": org,
        "team_id": team,
        "expires_at": expires_at,
    }
    show(ask(url, "POST", "access-tokens", shape=answers.NewToken, body=given(body)), as_json=as_json)


@token_app.command("list")
def list_tokens(url: Url = None, as_json: AsJson = False) -> None:
    """List access tokens by prefix, expired and revoked ones too."""
    show_all(
        ask_for_all(url, "access-tokens", name="tokens", shape=answers.Token),
        *COLUMNS,
        as_json=as_json,
    )


@token_app.command("revoke")
def revoke_token(token: Token, url: Url = None, as_json: AsJson = False) -> None:
    """Revoke an access token; effective on every replica within 5 s."""
    show(ask(url, "DELETE", "access-tokens", token, shape=answers.Token), as_json=as_json)
