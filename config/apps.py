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
        raise ValueError("list groups, as in staff,developers, or use everyone")
    return text


def check_host_or_subdomains(text: str) -> str:
    """Return a host name in lower case and A-labels. ``*.example.com`` matches the hosts below example.com."""
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if not types.HOST.fullmatch(host := ascii_host(name)) or ":" in host:
        raise ValueError("a host must be a name, as in app.example.com, or *.example.com for its subdomains")
    return star + host


Group = Annotated[str, AfterValidator(check_group)]
Groups = Annotated[tuple[Group, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]
Host = Annotated[str, AfterValidator(check_host_or_subdomains)]
Hosts = Annotated[tuple[Host, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]


class AppSettings(BaseModel, defer_build=True):
    """Clients, and the lifetimes of their tokens."""

    clients_file: str = Field(
        default="", description="Path of a TOML file with apps that sign people in with OpenID Connect; if empty, none."
    )
    client_documents: Groups = Field(
        default=(),
        description="Groups whose members may use apps that are identified by a metadata document at their own URL; "
        "`everyone` stands for all accounts; if empty, such apps are rejected.",
    )
    client_document_hosts: Hosts = Field(
        default=(),
        description="Hosts that these documents may be on; `*.example.com` stands for its subdomains; if empty, any "
        "host.",
    )
    client_documents_loopback: bool = Field(
        default=False, description="Whether these documents may be on this machine. For development only."
    )
    oauth_access_token_lifetime: types.Duration = Field(
        default=timedelta(hours=1),
        description="Lifetime of an app's access token, which also ends with its session.",
    )
    oauth_jwt_lifetime: types.Duration = Field(
        default=timedelta(minutes=5),
        description="Lifetime of access tokens that are JWTs, which other services accept without asking Latchkey.",
    )
    oauth_refresh_idle: types.Duration = Field(
        default=timedelta(days=30), description="Time after which an app's unused refresh token expires."
    )
    oauth_refresh_absolute: types.Duration = Field(
        default=timedelta(days=365), description="Time after which an app with offline access needs a new sign-in."
    )
    oauth_key_rotation: types.Duration = Field(
        default=timedelta(days=90),
        description="Interval at which the key that signs ID tokens is replaced, at least two days.",
    )
    apps_file: str = Field(
        default="",
        description="Path of a TOML file with apps behind a proxy that asks Latchkey about each request; if empty, "
        "none.",
    )
    forward_auth_proxies: types.Networks = Field(
        default=(),
        description="Addresses or networks of the proxies that may ask about requests, separated by commas. No "
        "others are trusted.",
    )
    forward_auth_cookie_domain: Annotated[str, BeforeValidator(types.read_host)] = Field(
        default="",
        description="Domain whose apps share one cookie, which each of them could use at the others; if empty, each "
        "app has its own.",
    )
