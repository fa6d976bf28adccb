"""Settings of apps: those that sign people in here by OpenID Connect, and those behind a proxy that asks us."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from config import types

Networks = Annotated[
    tuple[Annotated[str, AfterValidator(types.check_network)], ...],
    NoDecode,
    BeforeValidator(types.read_list),
    AfterValidator(types.unique),
]


class AppSettings(BaseSettings, defer_build=True):
    """Clients, and how long what they get is valid."""

    clients_file: str = Field(
        default="", description="Path of a TOML file with apps that sign people in by OpenID Connect; empty: none."
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
        default="", description="Path of a TOML file with apps behind a proxy that asks us (forward auth); empty: none."
    )
    forward_auth_proxies: Networks = Field(
        default=(),
        description="Addresses or networks of the proxies that may ask, separated by commas; no other is believed.",
    )
    forward_auth_cookie_domain: Annotated[str, BeforeValidator(types.read_host)] = Field(
        default="",
        description="Domain whose apps share one cookie, which each of them could use at the others; empty: none.",
    )
