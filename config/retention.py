"""Settings for how long data is kept."""

from datetime import timedelta

from pydantic import BaseModel, Field

from config import types


class RetentionSettings(BaseModel, defer_build=True):
    """Exports, accounts pending deletion or confirmation, statistics, and webhook deliveries."""

    export_keep: types.Duration = Field(
        default=timedelta(hours=24), description="How long an export of someone's data can be downloaded."
    )
    delete_wait: types.Duration = Field(
        default=timedelta(days=7),
        description="Time between a request to delete an account and its erasure, during which its owner can undo it.",
    )
    unconfirmed_keep: types.DurationOrZero = Field(
        default=timedelta(days=7),
        description="How long an account that nobody has confirmed is kept; `0` keeps it forever.",
    )
    webhooks_keep: types.Duration = Field(
        default=timedelta(days=7), description="How long an event that was posted to a webhook endpoint remains listed."
    )
    statistics_keep: types.Duration = Field(
        default=timedelta(days=400), description="How long the counts for the charts in the console are kept."
    )
