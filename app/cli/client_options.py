"""Options of ``flask clients create`` and ``change`` that set a client's fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

import click
from pydantic import ValidationError

from app.command_language import N_, gettext
from app.oidc.clients import ALGORITHMS, DEVICE_CODE, GRANT_TYPES, SCOPES, Client

F = TypeVar("F", bound=Callable[..., Any])

METHODS = ("secret", "client_secret_basic", "client_secret_post", "private_key_jwt", "none")
GRANTS = {name.rpartition(":")[2]: name for name in GRANT_TYPES}
"""``device_code`` for the URN of RFC 8628; the others have their own names."""


def _many(name: str, field: str, text: str, **more: Any) -> Callable[[F], F]:
    return click.option(name, field, multiple=True, help=text, **more)


OPTIONS: tuple[Callable[[Any], Any], ...] = (
    _many(
        "--redirect-uri",
        "redirect_uris",
        N_("Where people are redirected after signing in, matched exactly; may be repeated."),
        metavar="URI",
    ),
    _many(
        "--post-logout-uri",
        "post_logout_redirect_uris",
        N_("Where they may be redirected after signing out; may be repeated."),
        metavar="URI",
    ),
    click.option(
        "--backchannel-uri",
        "backchannel_logout_uri",
        metavar="URL",
        help=N_("URL that is notified when a session ends."),
    ),
    _many(
        "--origin",
        "origins",
        N_("Origin of pages whose scripts call the endpoints; may be repeated."),
        metavar="ORIGIN",
    ),
    click.option("--home-url", metavar="URL", help=N_("URL of the app, for the list of apps.")),
    click.option("--policy-url", metavar="URL", help=N_("Its privacy policy.")),
    click.option("--terms-url", metavar="URL", help=N_("Its terms of service.")),
    _many(
        "--scope",
        "scopes",
        N_("A scope that it may request; default: all; may be repeated."),
        type=click.Choice(SCOPES),
    ),
    _many(
        "--grant", "grant_types", N_("A grant type that it may use; may be repeated."), type=click.Choice(list(GRANTS))
    ),
    _many(
        "--group", "groups", N_("A group whose members may use it; default: everyone; may be repeated."), metavar="NAME"
    ),
    click.option("--level", type=click.Choice(["aal1", "aal2"]), help=N_("aal2 requires two factors.")),
    click.option("--trusted", "consent", flag_value="trusted", help=N_("Don't ask people for consent.")),
    click.option("--ask", "consent", flag_value="ask", help=N_("Ask each person for consent once (default).")),
    click.option(
        "--pkce", type=click.Choice(["required", "optional"]), help=N_("optional: for apps that don't support it.")
    ),
    click.option(
        "--auth-method", type=click.Choice(METHODS), help=N_("How it authenticates; secret: in header or body.")
    ),
    click.option(
        "--public", "auth_method", flag_value="none", help=N_("It can't keep a secret: browser, phone, desktop.")
    ),
    click.option("--jwks", type=click.File("rb"), help=N_("A file with its public keys, for private_key_jwt.")),
    click.option(
        "--alg", "id_token_alg", type=click.Choice(ALGORITHMS), help=N_("Algorithm that signs its ID tokens.")
    ),
    click.option("--access-token", type=click.Choice(["opaque", "jwt"]), help=N_("Format of its access tokens.")),
    click.option("--subject", type=click.Choice(["public", "pairwise"]), help=N_("pairwise: its own IDs for people.")),
    click.option("--sector", metavar="HOST", help=N_("Clients with the same sector share pairwise IDs.")),
    _many("--resource", "resources", N_("A service that its tokens may be for; may be repeated."), metavar="URI"),
    _many(
        "--serves",
        "serves",
        N_("A service that it provides, so that it may introspect tokens for it; may be repeated."),
        metavar="URI",
    ),
    click.option(
        "--serves-all/--no-serves-all", default=None, help=N_("Any app may request tokens for what it serves.")
    ),
    click.option("--introspects/--no-introspects", default=None, help=N_("It may introspect tokens of other apps.")),
    click.option("--require-pushed/--no-require-pushed", default=None, help=N_("Accept only pushed requests (PAR).")),
    click.option("--require-dpop/--no-require-dpop", default=None, help=N_("Bind its tokens to a key (DPoP).")),
    click.option(
        "--max-age",
        "default_max_age",
        type=click.IntRange(min=0),
        metavar="S",
        help=N_("Time after which people have to sign in again."),
    ),
)

NAMES = {field: name for name, field in (
    ("--redirect-uri", "redirect_uris"), ("--post-logout-uri", "post_logout_redirect_uris"),
    ("--backchannel-uri", "backchannel_logout_uri"), ("--origin", "origins"), ("--scope", "scopes"),
    ("--grant", "grant_types"), ("--group", "groups"), ("--alg", "id_token_alg"), ("--resource", "resources"),
    ("--max-age", "default_max_age"), ("--id", "id"), ("NAME", "name"),
)}  # fmt: skip
"""Option that sets a field, if it isn't named after the field."""


def client_options(command: F) -> F:
    """Add every client option to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def given_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that were given. "" clears a list.

    :raises click.ClickException: when ``--jwks`` isn't valid JSON
    """
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if value is None or value == ():
            continue
        fields[name] = [each for each in value if each] if isinstance(value, tuple) else value
    if "grant_types" in fields:
        fields["grant_types"] = [GRANTS[each] for each in fields["grant_types"]]
    if "jwks" in fields:
        fields["jwks"] = _json_of(fields["jwks"])
    return fields


def grants_of_device(fields: dict[str, Any]) -> list[str]:
    """Return the grants of a device app: those given, or all that it can use, plus the device code grant."""
    usual = (["authorization_code"] if fields.get("redirect_uris") else []) + ["refresh_token"]
    return list(dict.fromkeys([*fields.get("grant_types", usual), DEVICE_CODE]))


def made_client(client_id: str, secret_digests: tuple[str, ...] = (), **fields: Any) -> Client:
    """Return a client with these fields.

    :raises click.ClickException: listing all errors by the option they concern
    """
    try:
        return Client(**fields, id=client_id, secret_digests=secret_digests)
    except ValidationError as error:
        faults = [_said(fault) for fault in error.errors(include_url=False, include_input=False)]
        raise click.ClickException("\n".join(dict.fromkeys(faults))) from None


def _said(fault: Any) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return text
    field = str(fault["loc"][0])
    return f"{NAMES.get(field, '--' + field.replace('_', '-'))}: {text}"


def _json_of(file: BinaryIO) -> Any:
    try:
        return json.loads(file.read(65536))
    except (ValueError, RecursionError):
        raise click.ClickException(gettext("{option}: the file isn't JSON.", option="--jwks")) from None
