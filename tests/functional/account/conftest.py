"""Fixtures of the account's pages."""

from __future__ import annotations

import pytest

from tests.sinks import code_in


@pytest.fixture
def come_in(mail_to):
    """Signs someone in through the pages, by email code."""

    def enter(browser, email):
        browser.post("/us-signin/send-code", identity=email, chosen_method="email")
        assert browser.post("/us-signin", identity=email, passcode=code_in(mail_to(email))).ok
        return browser

    return enter
