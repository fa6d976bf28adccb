"""``flask apps``: check the apps file, list the apps, and try a request."""

from __future__ import annotations

import pytest

from tests.forward_auth import FILE
from tests.groups import put_in

WIKI = "https://wiki.example.com"

pytestmark = pytest.mark.one_database


@pytest.fixture
def app(make_app, file_of, clock):
    """The application with the apps of a file."""
    return make_app(apps_file=str(file_of(FILE)), forward_auth_proxies=("10.0.0.2/32",))


@pytest.fixture
def eve(people):
    """Someone in no group."""
    return people.open(email="eve@example.com", methods=["email"])


def test_valid_apps_file_passes_the_check(operate, eve, app):
    put_in(app, eve, "admins")
    done = operate("apps", "check")
    assert (done.exit_code, done.stdout) == (0, "2 apps, 0 to fix.\n")
    assert done.stderr == "Note: apps.board: there is no group staff yet; flask groups create staff\n"


def test_check_validates_the_given_file(operate, tmp_path):
    path = tmp_path / "other.toml"
    path.write_text(FILE + '\n[apps.x]\nname = "X"\n')
    done = operate("apps", "check", str(path))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{path} line ")
    assert "apps.x.url: is missing" in done.stderr
    assert done.stdout == "2 apps, 1 to fix.\n"


def test_app_at_the_services_own_address_is_rejected(operate, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[apps.x]\nname = "X"\nurl = "http://localhost"\n')
    done = operate("apps", "check", str(path))
    assert done.exit_code == 1
    assert "line 3: apps.x.url is this service's own address" in done.stderr


def test_list_shows_apps(operate):
    done = operate("apps", "list")
    assert done.output.splitlines() == [
        "board  https://board.example.org  for everyone who is signed in, in the group staff, 0 rules for its parts",
        "wiki  https://wiki.example.com  for everyone who is signed in, 8 rules for its parts",
    ]
    assert '"groups":["staff"]' in operate("apps", "list", "--json").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([f"{WIKI}/public/x?y=1"], ["Wiki: GET /public/x", "Decided by rule 1: open to everyone."]),
        ([f"{WIKI}/metrics"], ["Wiki: GET /metrics", "Decided by rule 4: closed to everyone."]),
        (
            [f"{WIKI}/public//x"],
            [
                "Wiki: GET /public//x",
                "The path can be read in two ways, so the strictest of the rules holds.",
                (
                    "Decided by rule 1 + rule 2 + rule 4 + rule 6 + rule 7 + rule 8 + the app wiki: "
                    "closed to everyone, in the group admins, verified within 300 s."
                ),
            ],
        ),
        (
            [f"{WIKI}/internal/x", "--from", "192.0.2.9"],
            ["Wiki: GET /internal/x", "Decided by rule 3: for everyone who is signed in."],
        ),
        ([f"{WIKI}/hook", "--method", "post"], ["Wiki: POST /hook", "Decided by rule 5: open to everyone."]),
        (
            [f"{WIKI}/admin/x", "--as", "eve@example.com"],
            [
                "Wiki: GET /admin/x",
                "Decided by rule 2: for everyone who is signed in with two factors, in the group admins.",
                "eve@example.com gets 403: the account is in no group, and admins is required.",
            ],
        ),
        (
            [f"{WIKI}/strong", "--as", "eve@example.com"],
            [
                "Wiki: GET /strong",
                "Decided by rule 7: for everyone who is signed in with two factors.",
                (
                    "eve@example.com may pass once signed in at wiki.example.com. "
                    "A second factor is required if the session has only one."
                ),
            ],
        ),
        (["https://wiki.example.com:443/health"], ["Wiki: GET /health", "Decided by rule 1: open to everyone."]),
        (
            [f"{WIKI}/public/caf\u00e9/\u65e5"],
            ["Wiki: GET /public/caf%C3%A9/%E6%97%A5", "Decided by rule 1: open to everyone."],
        ),
        (["https://WIKI.example.com", "--as", "eve@example.com"],
         ["Wiki: GET /", "Decided by the app wiki: for everyone who is signed in.",
          "eve@example.com may pass once signed in at wiki.example.com."]),
    ],
)  # fmt: skip
def test_try_shows_the_deciding_rule_and_outcome(operate, eve, arguments, said):
    done = operate("apps", "try", *arguments)
    assert done.output.splitlines() == said
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["https://evil.example/"], "The apps file has no app at https://evil.example/: a proxy gets 403 for it."),
        (["wiki.example.com"], "The apps file has no app at wiki.example.com"),
        ([WIKI, "--from", "x"], "--from: x isn't an IP address."),
        ([WIKI, "--as", "nobody@example.com"], "nobody@example.com: no account has that."),
    ],
)
def test_try_reports_invalid_arguments(operate, arguments, said):
    done = operate("apps", "try", *arguments)
    assert said in done.output
    assert done.exit_code == 1
