"""The first requests of a server that just started load libraries that only some requests need."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.accounts import open_one
from tests.faults.visitors import Visitor
from tests.redis_server import started_redis

pytestmark = pytest.mark.both_databases

APART = 0.01
"""Seconds between two requests: loading a library takes several times as long."""

ASSERTION = {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {
    "clientDataJSON": "e30", "authenticatorData": "AAAA", "signature": "AAAA",
}}  # fmt: skip

VISITS = {
    "a code by mail": lambda visitor: visitor.send_code("ada@example.com"),
    "a code by SMS": lambda visitor: visitor.send_code("+14155550132", "sms"),
    "a wrong code": lambda visitor: visitor.sign_in("ada@example.com", "00000000"),
    "a number that is none": lambda visitor: visitor.send_code("+0", "sms"),
    "an address that is none": lambda visitor: visitor.send_code("ada@nowhere@example.com"),
    "a passkey's challenge": lambda visitor: visitor.post("/wan-signin"),
    "a passkey's answer": lambda visitor: visitor.post("/wan-signin/made-up", credential=ASSERTION),
    "an account": lambda visitor: visitor.post("/register", email="bob@example.com"),
    "a code of an app": lambda visitor: visitor.post("/oauth/token", grant_type="authorization_code", code="none"),
    "claims": lambda visitor: visitor.get("/oauth/userinfo"),
    "keys": lambda visitor: visitor.get("/oauth/jwks"),
    "readiness": lambda visitor: visitor.get("/readyz"),
}
"""What people and apps do, each of which needs something that no process has loaded before."""


@pytest.mark.usefixtures("started_as_typed")
def test_concurrent_first_requests_succeed_while_modules_are_loading(fresh_database, start, tmp_path):
    open_one(fresh_database, email="ada@example.com", methods=["email"])
    with started_redis(tmp_path) as redis:
        server = start(
            fresh_database,
            workers=1,
            LATCHKEY_REDIS_URL=redis.url,
            LATCHKEY_LIMITS="on",
            LATCHKEY_METRICS_LISTEN=f"unix:{tmp_path}/metrics.sock",
        )
        waiting = [(name, visit, Visitor(server.url)) for name, visit in VISITS.items() for _ in range(2)]
        numbers = itertools.count()

        def visit(waits) -> tuple[str, int]:
            name, request, visitor = waits
            time.sleep(next(numbers) * APART)
            return name, request(visitor).status

        with ThreadPoolExecutor(len(waiting)) as threads:
            answers = list(threads.map(visit, waiting))
    assert [answer for answer in answers if answer[1] >= 500] == [], server.output[-3000:]
    assert len({name for name, status in answers}) == len(VISITS)
