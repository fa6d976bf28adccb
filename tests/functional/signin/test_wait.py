"""Rate limits: responses say when to retry, and the page keeps what was entered."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.settings(starts_per_address=1, failures_per_address=1), pytest.mark.one_database]

SEND, SIGN_IN = "/us-signin/send-code", "/us-signin"


def refused(wire, path: str, **fields):
    """Ask twice; return the second answer, which is a refusal, and the seconds to wait."""
    wire.post(path, **fields)
    answer = wire.post(path, **fields)
    assert (answer.status, answer.codes) == (429, ["too_many_requests"])
    return answer, int(answer.headers["Retry-After"])


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (SEND, {"identity": "ada@example.com", "chosen_method": "email"}),
        (SIGN_IN, {"identity": "ada@example.com", "passcode": "00000000"}),
        ("/register", {"email": "ada@example.com"}),
    ],
)
def test_rate_limited_response_has_retry_after(wire, path, fields):
    _answer, seconds = refused(wire, path, **fields)
    assert 590 < seconds <= 601


def test_rate_limited_page_counts_down_and_keeps_the_identity(browser_wire):
    answer, seconds = refused(browser_wire, SEND, identity="ada@example.com", chosen_method="email")
    assert f'data-wait="{seconds}"' in answer.text
    assert f">{-(-seconds // 60)} minutes</time>" in answer.text
    assert answer.page.value("identity") == "ada@example.com"


def test_failed_sign_in_page_has_no_countdown(browser_wire):
    answer = browser_wire.post(SIGN_IN, identity="ada@example.com", passcode="00000000")
    assert (answer.status, "data-wait=" in answer.text) == (400, False)


def test_rate_limited_code_attempt_stays_on_the_code_page(browser_wire, ada, code_for):
    code_for(ada.email, by=browser_wire)
    answer, seconds = refused(browser_wire, SIGN_IN, identity=ada.email, chosen_method="email", passcode="00000000")
    assert f'data-wait="{seconds}"' in answer.text
    assert answer.page.value("identity") == ada.email
    assert "Check your email" in answer.text
