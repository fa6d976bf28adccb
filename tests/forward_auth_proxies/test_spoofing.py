"""Spoofed headers and paths, in front of each proxy: they have no effect, and no app gets them."""

from __future__ import annotations

import itertools
import posixpath
import re
from urllib.parse import unquote

import pytest

from tests.forward_auth_proxies.recipes import WIKI
from tests.forward_auth_proxies.visitor import PAGE

pytestmark = pytest.mark.one_database

NAMED = ("Remote-User", "Remote-Groups", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-For",
         "X-Original-URL", "X-Original-Method")  # fmt: skip
SPOOFED = {
    "identity": [(f"Remote-{each}", "spoofed") for each in ("User", "Email", "Name", "Groups")],
    "identity twice": [("Remote-User", "spoofed"), ("remote-user", "spoofed"), ("REMOTE-GROUPS", "spoofed")],
    "identity with underscores": [(f"Remote_{each}", "spoofed") for each in ("User", "Email", "Name", "Groups")],
    "identity in other letters": [("REMOTE_USER", "spoofed"), ("remote_groups", "spoofed"), ("rEmOtE-nAmE", "spoofed")],
    "identity that is empty": [("Remote-User", ""), ("Remote_User", ""), ("Remote-Groups", "")],
    "nginx": [("X-Original-URL", f"https://{WIKI}/public/spoofed"), ("X-Original-Method", "POST")],
    "path": [("X-Forwarded-Uri", "/public/spoofed"), ("X-Rewrite-URL", "/public/spoofed")],
    "prefix": [("X-Forwarded-Prefix", "/public/spoofed")],
    "host": [("X-Forwarded-Host", "open.example.com"), ("X-Forwarded-Server", "open.example.com")],
    "method": [("X-Forwarded-Method", "POST"), ("X-HTTP-Method-Override", "POST")],
    "address": [("X-Forwarded-For", "127.0.0.99"), ("X-Real-IP", "127.0.0.99"), ("Forwarded", "for=127.0.0.99")],
    "addresses": [("X-Forwarded-For", "127.0.0.99, 127.0.0.99"), ("X-Forwarded-For", "127.0.0.99")],
    "scheme": [("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", "8080"), ("X-Forwarded-Ssl", "off")],
    "underscores": [("X_Forwarded_Host", "open.example.com"), ("X_Forwarded_Uri", "/public/spoofed"),
                    ("X_Forwarded_For", "127.0.0.99"), ("X_Forwarded_Method", "POST"), ("X_Forwarded_Proto", "http"),
                    ("X_Forwarded_Port", "8080"), ("X_Forwarded_Prefix", "/public/spoofed"),
                    ("X_Forwarded_Ssl", "off")],
    "other underscores": [("X_Original_URL", f"https://{WIKI}/public/spoofed"), ("X_Original_Method", "POST"),
                          ("X_Rewrite_URL", "/public/spoofed"), ("X_HTTP_Method_Override", "POST"),
                          ("X_Real_IP", "127.0.0.99")],
    "hop by hop": [("Connection", f"close, {', '.join(NAMED)}")],
}  # fmt: skip
CLAIMS = re.compile(r"spoofed|open\.example\.com|127\.0\.0\.99|(?:^|:)8080\b")
"""The port at the start or after a colon only: a proxy's random request id may hold the same digits."""
NEVER_SENT = {
    "X_FORWARDED_METHOD", "X_FORWARDED_URI", "X_FORWARDED_PREFIX", "X_FORWARDED_SSL", "X_ORIGINAL_URL",
    "X_ORIGINAL_METHOD", "X_REWRITE_URL", "X_HTTP_METHOD_OVERRIDE", "X_REAL_IP", "FORWARDED",
}  # fmt: skip
"""What a visitor alone would have sent."""

REFUSED = ("envoy", "hop by hop")
"""Envoy takes no request that has it leave out what it sends."""


def test_spoofed_headers_do_not_affect_access(front, reached, app_cookie):
    stranger, ada = front.visitor(), front.visitor(app_cookie)
    for claim, claimed in SPOOFED.items():
        headers = [*PAGE.items(), *claimed]
        for target, status in (("/private", 302), ("/inside/x", 302), ("/closed/x", 403), ("/hook", 403)):
            expected = 400 if (front.kind, claim) == REFUSED else status
            assert stranger.ask(target, headers).status == expected, (claim, target)
        for target in ("/closed/x", "/hook"):
            assert ada.ask(target, headers).status == (400 if (front.kind, claim) == REFUSED else 403), (claim, target)
        assert reached == [], claim


@pytest.mark.parametrize("target", ["/public/x", "/private"])
def test_spoofed_headers_do_not_reach_the_app(front, reached, app_cookie, target):
    for claim, claimed in SPOOFED.items():
        reached.clear()
        headers = [*PAGE.items(), *claimed]
        answer = front.visitor(app_cookie).ask(target, headers)
        if (front.kind, claim) == REFUSED:
            assert (answer.status, reached) == (400, [])
            continue
        assert answer.status == 200, claim
        named = [reached[-1].as_environ[f"REMOTE_{each}"] for each in ("USER", "EMAIL", "NAME", "GROUPS")]
        assert named == ["ada", "ada@example.com", "ada", "staff"], claim
        if target == "/public/x":
            assert front.visitor().ask(target, headers).status == 200, claim
            assert not [name for name in reached[-1].as_environ if name.startswith("REMOTE_")], claim
        for each in reached:
            assert faults_of(each, front.kind) == [], claim


def faults_of(request, kind: str) -> list[object]:
    """Return what an app was told in a visitor's words, or not as it is."""
    said = {name: value for name, value in request.as_environ.items() if name not in ("CONNECTION", "COOKIE")}
    true = {"X_FORWARDED_FOR": "127.0.0.77", "X_FORWARDED_PROTO": "https", "HOST": WIKI}
    if kind != "envoy" or "X_FORWARDED_HOST" in said:
        true["X_FORWARDED_HOST"] = WIKI
    return [
        *(pair for pair in said.items() if CLAIMS.search(pair[1])),
        *(NEVER_SENT & set(said)),
        *((name, said.get(name)) for name, value in true.items() if said.get(name) != value),
    ]


def test_hop_by_hop_headers_cannot_strip_identity_from_a_websocket(front, reached, app_cookie):
    answer, said = front.visitor(app_cookie).socket("/socket", {"Connection": f"Upgrade, {', '.join(NAMED)}"})
    if said == "hello":
        assert reached[-1].as_environ["REMOTE_USER"] == "ada"
    else:
        assert (answer.status, reached) == (400, [])


def test_network_rules_use_the_real_visitor_address(front, reached):
    assert front.visitor(source="127.0.0.99").ask("/inside/x").status == 200
    assert front.visitor(source="127.0.0.98").ask("/inside/x").status == 302
    assert len(reached) == 1


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/closed/x", "open.example.com"),
        (f"https://{WIKI}/closed/x", "open.example.com"),
        (f"http://{WIKI}/closed/x", "open.example.com"),
        ("https://open.example.com/closed/x", WIKI),
        ("/closed/x", f"{WIKI}:443@open.example.com"),
        ("/closed/x", f"{WIKI}, open.example.com"),
        ("/closed/x", f"{WIKI}."),
        ("/closed/x", f"{WIKI}:444"),
    ],
)
def test_host_of_another_app_does_not_grant_access(front, reached, app_cookie, target, host):
    for visitor in (front.visitor(), front.visitor(app_cookie)):
        visitor.ask(target, host=host)
    assert reached == []


def test_request_with_two_host_headers_reaches_no_app(front, reached):
    front.visitor().ask("/closed/x", [("Host", "open.example.com")])
    assert reached == []


ODD = [
    "/public/a%2Fb/../x?q=1",
    "/app/a%2Fb/../x?q=1",
    "/public/../closed/x",
    "/public/%2e%2e/closed/x",
    "/public/.%2E/closed/x",
    "/public/..%2fclosed/x",
    "/public/..%5cclosed/x",
    "/public/..\\closed\\x",
    "/public/%252e%252e/closed/x",
    "/public/%252e%252e%252fclosed/x",
    "//closed/x",
    "/public//../closed/x",
    "///closed/x",
    "/public/..;/closed/x",
    "/public;/../closed/x",
    "/closed;a=b/x",
    "/CLOSED/x",
    "/%63losed/x",
    "/./closed/x",
    "/public/./../closed/x",
    "/closed%2fx",
    "/public/%00/../closed/x",
    "/public/x%00",
    "/public/%c0%ae%c0%ae/closed/x",
    "/public/%zz/../closed/x",
    "/public/%",
    "/public/x\x00",
    "/public/x\x01",
    "/public/\x7f",
    "/public/\xff\xfe",
    "/public/é",
    "/public/x\t/../../closed/x",
    "/public/x#/../../closed/x",
    "/public/x?/../../closed/x",
    "/.latchkey/../closed/x",
    "/.latchkey/%2e%2e/closed/x",
    "/.latchkey/..%2fclosed/x",
    "/.latchkey//../closed/x",
    "/.latchkey",
    "/.latchkey/check",
    "closed/x",
    "*",
    "/public/" + "a" * 8100,
    "/public/" + "a/" * 4040 + "../" * 4041 + "closed/x",
]


def readings(target: str) -> set[str]:
    """Return each path that some app may take this for."""
    found = {target.partition("?")[0].partition("#")[0], target.partition("?")[0]}
    for change in (unquote, unquote, lambda path: path.replace("\\", "/"), lambda path: re.sub(r";[^/]*", "", path)):
        found |= {change(path) for path in found}
    found |= {posixpath.normpath(path) for path in found}
    return {re.sub("^/+", "/", path).lower() for path in found}


def test_ambiguous_path_never_reaches_a_denied_path(front, reached, app_cookie):
    for target in ODD:
        for visitor in (front.visitor(), front.visitor(app_cookie)):
            answer = visitor.ask(target)
            assert answer.status < 500, (target[:80], answer.body)
    for each, path in itertools.chain.from_iterable(
        [(each, path) for path in readings(each.target)] for each in reached
    ):
        assert not path.startswith("/closed"), each
        if "REMOTE_USER" not in each.as_environ:
            assert path.startswith("/public"), each


def test_hostile_requests_cause_no_server_errors(front, latchkey):
    """It runs after them, in the order of this file."""
    assert [line for line in latchkey.output.splitlines() if '"status": 5' in line or "Traceback" in line] == []
