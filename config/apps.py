"""Settings of apps that sign people in here by OpenID Connect."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings

from config import types


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
