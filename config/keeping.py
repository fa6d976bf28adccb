"""Settings of what is kept for people, and for how long."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings

from config import kinds


class KeepingSettings(BaseSettings, defer_build=True):
    """Exports and their lives."""

    export_keep: kinds.Duration = Field(
        default=timedelta(hours=24), description="How long an export of somebody's data can be fetched."
    )
