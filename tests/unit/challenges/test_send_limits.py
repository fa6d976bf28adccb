"""Codes of a channel for which nobody set a limit."""

from __future__ import annotations

import pytest

from app.challenges.send_limits import sendable_ids
from app.outbox import Message


@pytest.mark.one_database
@pytest.mark.parametrize("rank", ["", "person", "known"])
def test_codes_of_a_channel_without_limits_fail_loudly(app, rank):
    message = Message(id="1", channel="pigeon", to="ada", destination="loft", attempts=1, facts={"rank": rank})
    with app.app_context(), pytest.raises(KeyError, match="pigeon"):
        sendable_ids([message])
