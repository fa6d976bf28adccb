"""A trusted proxy's request ID, as far as the database stores it."""

from __future__ import annotations

import pytest

from app.audit import Event


@pytest.mark.settings(trusted_proxies=1)
def test_audit_event_has_the_request_id_of_the_proxy(wire, rows):
    wire.fetch_csrf()
    headers = {"X-Request-ID": "x" * 64, "X-Forwarded-For": "192.0.2.7"}
    wire.post("/us-signin", headers=headers, identity="ada@example.com", passcode="12345678")
    assert [event.request_id for event in rows(Event, name="sign_in.failed")] == ["x" * 64]
