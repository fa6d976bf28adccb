"""/admin/invitations and ``flask invitations``: create, list and revoke; a link is shown once, or never."""

from __future__ import annotations

import re

import orjson
import pytest

from app.audit import Event
from app.invitations.models import Invitation
from tests.groups import put_in
from tests.invitations import invite
from tests.sinks import link_in

HERE = "/admin/invitations"


@pytest.fixture
def staff(app, ada):
    """A group with one member."""
    put_in(app, ada, "staff")
    return "staff"


def link_of(console, answer) -> str | None:
    """Return the link in an answer, if there is one."""
    if console.language == "json":
        return answer.json.get("link")
    found = re.search(r'<code id="made-link">([^<]+)</code>', answer.text)
    return found and found[1]


def test_email_invitation_link_is_mailed_and_never_shown_in_the_console(console, grace, staff, rows, mail_to):
    answer = console.post(HERE, email="New@Example.com", groups=[staff], expires_in_days="3")
    assert answer.ok, answer
    assert link_of(console, answer) is None
    mail = mail_to("new@example.com")
    token = link_in(mail, "/invite/").rpartition("/")[2]
    assert token not in answer.text + console.get(HERE).text
    (made,) = rows(Invitation)
    assert (made.email, made.groups, made.uses, made.created_by[:6]) == ("new@example.com", "staff", 1, "admin:")
    assert (made.expires_at - made.created_at).days == 3
    by = {event.name: event for event in rows(Event)}
    assert by["invitation.created"].facts["by"] == made.created_by
    assert by["admin.invitation_created"].user_id == grace.id
    assert token not in str([event.facts for event in rows(Event)])


def test_open_invitation_link_is_shown_once_to_its_creator(console, rows):
    answer = console.post(HERE, uses="20")
    link = link_of(console, answer)
    assert link
    assert link.startswith("http://localhost/invite/")
    assert link not in console.get(HERE).text
    assert console.elsewhere().get(link.removeprefix("http://localhost")).status == 200
    assert [row.uses for row in rows(Invitation)] == [20]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"email": "no address"}, "invalid_email_address"),
        ({"email": "a@example.com", "uses": "2"}, "invitation_uses"),
        ({"uses": "0"}, "invitation_uses"),
        ({"uses": "10001"}, "invitation_uses"),
        ({"uses": "many"}, "invitation_uses"),
        ({"uses": "-1"}, "invitation_uses"),
        ({"uses": "9" * 400}, "invitation_uses"),
        ({"expires_in_days": "0"}, "invitation_lasts"),
        ({"expires_in_days": "91"}, "invitation_lasts"),
        ({"expires_in_days": "1.5"}, "invitation_lasts"),
        ({"groups": ["nobody"]}, "unknown_group"),
        ({"language": "tlh"}, "invalid_choice"),
    ],
)
def test_invalid_invitation_is_rejected(console, rows, deliver, wrong, code):
    answer = console.post(HERE, **wrong)
    assert answer.status == 400
    assert answer.codes == [code]
    assert rows(Invitation) == deliver() == []


def test_revoked_invitation_returns_410(app, console, rows):
    path = invite(app, uses=5)
    (made,) = rows(Invitation)
    for revoked in (True, False):
        answer = console.post(f"{HERE}/{made.id}/revoke")
        assert answer.ok
        if console.language == "json":
            assert answer.json["revoked"] is revoked
    assert console.elsewhere().get(path).status == 410
    names = [event.name for event in rows(Event)]
    assert names.count("invitation.revoked") == names.count("admin.invitation_revoked") == 1


@pytest.mark.parametrize("which", ["0" * 32, "x", "%00"])
def test_revoking_an_unknown_invitation_returns_404(console, which):
    assert console.post(f"{HERE}/{which}/revoke").status == 404


def test_creating_and_revoking_invitations_requires_reauthentication(app, console, clock, rows):
    invite(app)
    (made,) = rows(Invitation)
    clock.shift(400)
    for path in (HERE, f"{HERE}/{made.id}/revoke"):
        assert console.post(path).status in (401, 302)
    assert [row.revoked_at for row in rows(Invitation)] == [None]


@pytest.mark.both_databases
def test_invitation_list_shows_open_ones_unless_all_are_requested(app, json_wire, grace, clock):
    from tests.signed_in import sign_in

    console = sign_in(json_wire, grace)
    for number in range(53):
        clock.shift(1)
        invite(app, email=f"p{number}@example.com")
    first = console.get(HERE).json
    assert [row["email"] for row in first["invitations"]][:2] == ["p52@example.com", "p51@example.com"]
    second = console.get(f"{HERE}?after={first['after']}").json
    assert [row["email"] for row in second["invitations"]] == [f"p{number}@example.com" for number in (2, 1, 0)]
    assert second["after"] is None
    console.post(f"{HERE}/{first['invitations'][0]['id']}/revoke")
    assert console.get(HERE).json["invitations"][0]["email"] == "p51@example.com"
    assert console.get(f"{HERE}?state=all").json["invitations"][0]["state"] == "revoked"
    assert console.get(f"{HERE}?after=x").status == 400


@pytest.mark.one_database
def test_invitations_command_creates_lists_and_revokes(app, staff, rows, deliver, browser_wire):
    run = app.test_cli_runner().invoke
    made = run(args=["invitations", "create", "--group", "staff", "--uses", "20", "--expires", "P2D"])
    assert made.exit_code == 0, made.output
    link = made.stdout.strip()
    assert browser_wire.get(link.removeprefix("http://localhost")).status == 200
    mailed = run(args=["invitations", "create", "--email", "new@example.com", "--language", "de"])
    assert "/invite/" not in mailed.output
    assert len(deliver()) == 1
    listed = [orjson.loads(line) for line in run(args=["invitations", "list", "--json"]).stdout.splitlines()]
    assert [(row["email"], row["uses"], row["created_by"]) for row in listed] == [
        ("new@example.com", 1, "operator"),
        (None, 20, "operator"),
    ]
    assert "/invite/" not in run(args=["invitations", "list"]).output
    assert run(args=["invitations", "revoke", listed[0]["id"]]).exit_code == 0
    assert [row.revoked_at is None for row in rows(Invitation)].count(False) == 1
    assert run(args=["invitations", "revoke", "x"]).exit_code == 1
    for wrong in (["--email", "x"], ["--group", "nobody"], ["--uses", "0"], ["--expires", "P1000D"]):
        refused = run(args=["invitations", "create", *wrong])
        assert refused.exit_code == 1
        assert "Traceback" not in refused.output
