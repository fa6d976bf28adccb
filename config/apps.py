"""Settings for apps: OpenID Connect clients, and apps behind a proxy that uses forward auth."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from config import types
from config.hosts import ascii_host


def check_group(text: str) -> str:
    """Accept valid group names. ``everyone`` is one, syntactically."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", text):
        raise ValueError("name groups, as in staff,developers, or say everyone")
    return text


def check_host_or_subdomains(text: str) -> str:
    """Return a host name in lower case and A-labels. ``*.example.com`` matches the hosts below example.com."""
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if not types.HOST.fullmatch(host := ascii_host(name)) or ":" in host:
        raise ValueError("a host is a name, as in app.example.com, or *.example.com for those below it")
    return star + host


Group = Annotated[str, AfterValidator(check_group)]
Groups = Annotated[tuple[Group, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]
Host = Annotated[str, AfterValidator(check_host_or_subdomains)]
Hosts = Annotated[tuple[Host, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]


class AppSettings(BaseModel, defer_build=True):
    """Clients, and the lifetimes of their tokens."""

    clients_file: str = Field(
        default="", description="Path of a TOML file with apps that sign people in by OpenID Connect; empty: none."
    )
    client_documents: Groups = Field(
        default=(),
        description="Groups whose members may use apps that are known by a metadata document at their own address; "
        "`everyone`: every account; empty: no such app is accepted.",
    )
    client_document_hosts: Hosts = Field(
        default=(), description="Hosts that such documents may be on; `*.example.com`: those below it; empty: any."
    )
    client_documents_loopback: bool = Field(
        default=False, description="Whether they may be on this machine. For development only."
    )
    oauth_access_token_lifetime: types.Duration = Field(
        default=timedelta(hours=1),
        description="Lifetime of an app's access token, which ends with its session in any case.",
    )
    oauth_jwt_lifetime: types.Duration = Field(
        default=timedelta(minutes=5),
        description="The same for access tokens that are JWTs, which other services accept without asking.",
    )
    oauth_refresh_idle: types.Duration = Field(
        default=timedelta(days=30), description="Time after which an app's unused refresh token expires."
    )
    oauth_refresh_absolute: types.Duration = Field(
        default=timedelta(days=365), description="Time after which an app with offline access needs a new sign-in."
    )
    oauth_key_rotation: types.Duration = Field(
        default=timedelta(days=90), description="Time after which another key signs ID tokens, at least two days."
    )
    apps_file: str = Field(
        default="",
        description="Path of a TOML file with apps behind a proxy that asks Latchkey about each request; empty: none.",
    )
    forward_auth_proxies: types.Networks = Field(
        default=(),
        description="Addresses or networks of the proxies that may ask, separated by commas; no other is believed.",
    )
    forward_auth_cookie_domain: Annotated[str, BeforeValidator(types.read_host)] = Field(
        default="",
        description="Domain whose apps share one cookie, which each of them could use at the others; empty: none.",
    )
