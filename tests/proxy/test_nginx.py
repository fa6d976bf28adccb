"""What the proxy of the Compose setup does with requests, and what Latchkey trusts behind it."""

from __future__ import annotations

import json
import time

import pytest

from tests.faults.visitors import code_for
from tests.proxy.caller import Caller
from tests.proxy.conftest import ADA, HOST

pytestmark = pytest.mark.one_database


@pytest.fixture
def database(databases):
    """A database in SQLite: what is tried here is in front of it."""
    return databases.shared("sqlite")


@pytest.fixture
def sign_in(front, smtp):
    """Signs someone in and returns them: ``sign_in(Forwarded="for=1.2.3.4")``."""

    def enter(**more: str) -> Caller:
        caller, since = Caller(front, **more), len(smtp.mails)
        assert caller.post("/us-signin/send-code", identity=ADA, chosen_method="email")[0] == 200
        status, answer = caller.post("/us-signin", identity=ADA, passcode=code_for(ADA, smtp, since, 10))
        assert (status, answer.get("tf_required")) == (200, False)
        return caller

    return enter


def test_sign_in_over_tls_works_across_two_replicas(sign_in, front, smtp):
    caller = sign_in()
    assert all(line.startswith("__Host-") and "; Secure" in line for line in caller.handed)
    assert caller.headers["strict-transport-security"].startswith("max-age=31536000")
    assert f"https://{HOST}/us-verify-link?token=" in smtp.mails[0].text
    for _ in range(4):
        assert "user" in caller.ask("GET", "/us-signin")[1]
    assert all("GET /us-signin" in each.output or '"/us-signin"' in each.output for each in front.replicas)


def test_spoofed_forwarding_headers_do_not_change_the_session_address(sign_in):
    named = {"X_Forwarded_For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X_Real_IP": "203.0.113.9"}
    caller = sign_in(**named)
    sessions = caller.ask("GET", "/sessions")[1]["sessions"]
    assert {session["address"] for session in sessions} == {"127.0.0.1"}


def test_request_id_links_proxy_and_application_logs(front):
    caller = Caller(front, X_Request_ID="0123456789-from-a-stranger")
    caller.ask("GET", "/us-signin")
    given = caller.headers["x-request-id"]
    deadline = time.monotonic() + 10
    while given not in front.log or not any(given in each.output for each in front.replicas):
        assert time.monotonic() < deadline, "it stands in one log alone"
        time.sleep(0.05)
    lines = [json.loads(line) for line in (front.directory / "access.log").read_text().splitlines()]
    (line,) = [line for line in lines if line["id"] == given]
    (replica,) = [each for each in front.replicas if given in each.output]
    assert line["upstream"] == f"127.0.0.1:{replica.port}"
    assert "from-a-stranger" not in "".join(each.output for each in front.replicas)


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X_Forwarded_Proto", "Authentication_Token"])
def test_header_names_with_underscores_are_dropped(front, name):
    caller = Caller(front)
    caller.more = {name: "203.0.113.9"}
    assert caller.ask("GET", "/us-signin")[0] == 200
    assert "203.0.113.9" not in "".join(each.output for each in front.replicas)


def test_unknown_host_is_rejected(front):
    assert Caller(front).ask("GET", "/us-signin", host="evil.example.com")[0] == 400


def test_access_log_omits_query_strings_and_path_tokens(front):
    caller = Caller(front)
    caller.ask("GET", "/us-verify-link?token=abc-secret-abc")
    caller.ask("GET", "/confirm/abc-secret-abc")
    caller.ask("GET", "/not-me/abc-secret-abc")
    caller.ask("GET", "/auth/us-setup/abc-secret-abc")
    caller.ask("GET", "/id/v2/change-email/undo/abc-secret-abc")
    assert "/us-verify-link" in front.log
    assert "abc-secret-abc" not in front.log


def test_readiness_endpoint_is_not_exposed(front):
    assert Caller(front).ask("GET", "/readyz")[0] == 404
    assert "/readyz" not in "".join(each.output for each in front.replicas)
    assert Caller(front).ask("GET", "/auth/readyz")[0] == 404
