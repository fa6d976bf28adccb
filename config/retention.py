"""Settings for how long data is kept."""

from datetime import timedelta

from pydantic import BaseModel, Field

from config import types


class RetentionSettings(BaseModel, defer_build=True):
    """Exports, accounts pending deletion or confirmation, statistics, and webhook deliveries."""

    export_keep: types.Duration = Field(
        default=timedelta(hours=24), description="How long an export of someone's data can be fetched."
    )
    delete_wait: types.Duration = Field(
        default=timedelta(days=7),
        description="Time between asking for an account to be deleted and its erasure, in which its owner can undo it.",
    )
    unconfirmed_keep: types.DurationOrZero = Field(
        default=timedelta(days=7),
        description="How long an account that nobody has confirmed is kept; `0` keeps it for good.",
    )
    webhooks_keep: types.Duration = Field(
        default=timedelta(days=7), description="How long an event that was posted to a webhook endpoint stays listed."
    )
    statistics_keep: types.Duration = Field(
        default=timedelta(days=400), description="How long the counts behind the charts of the console are kept."
    )
