"""Who has access to the console, from where, and for how long."""

from __future__ import annotations

import pytest

from app.admin.models import AdminVisit
from app.audit import Event
from tests.functional.admin.conftest import make_administrator
from tests.signed_in import give_token, sign_in
from tests.wire import Program, Wire


def paths(app) -> list[str]:
    """Return every path of the console, with its methods."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("admin.")]
    return sorted({(rule.rule, method) for rule in rules for method in rule.methods & {"GET", "POST"}})


def asked(wire, path: str, method: str):
    """Return what an address of the console answers."""
    path = path.replace("<handle>", "0" * 32).replace("<session_id>", "0" * 32).replace("<name>", "x")
    return wire.get(path) if method == "GET" else wire.post(path)


def test_console_rejects_everyone_but_administrators(app, wire, people):
    eve = sign_in(wire.elsewhere(), people.open(email="eve@example.com"))
    for path, method in paths(app):
        nobody, other = asked(wire, path, method), asked(eve, path, method)
        assert nobody.status == (401 if wire.language == "json" else 302), path
        if "/first" not in path:
            assert other.status == 403, path


def test_console_requires_reauthentication_after_inactivity(console, clock, rows):
    assert console.get("/admin").status == 200
    for _ in range(5):
        clock.shift(60 * 25)
        assert console.get("/admin/people").status == 200
    clock.shift(60 * 31)
    refused = console.get("/admin/people")
    assert refused.status == (401 if console.language == "json" else 302)
    if console.language == "form":
        assert refused.location == "/us-verify?next=%2Fadmin%2Fpeople"
    assert [event.name for event in rows(Event, name="admin.console_opened")] == ["admin.console_opened"]


def test_console_requires_reauthentication_after_half_a_day(console, clock, make_app):
    console.get("/admin")
    for _ in range(29):
        clock.shift(60 * 25)
        last = console.get("/admin")
    assert last.status == (401 if console.language == "json" else 302)


def test_console_requires_the_strongest_sign_in_method(wire, grace, rows):
    answer = sign_in(wire, grace, via="email").get("/admin")
    assert answer.status == (401 if wire.language == "json" else 302)
    if wire.language == "json":
        assert answer.json["reauth_reason"] == "too_weak"
    assert rows(AdminVisit) == []


def test_change_requires_recent_reauthentication(console, clock, of_ada, rows):
    assert console.get(of_ada).status == 200
    clock.shift(60 * 6)
    page = console.get(of_ada)
    assert page.status == 200
    if console.language == "form":
        assert "To make changes, confirm it's you" in page.text
        assert "/disable" not in page.text
    refused = console.post(f"{of_ada}/disable")
    assert refused.status == (401 if console.language == "json" else 302)
    assert rows(Event, name="account.disabled") == []


def test_revoked_administrator_loses_console_access_immediately(console, app, grace):
    from app.extensions import db
    from app.users import administrators

    assert console.get("/admin").status == 200
    with app.app_context():
        administrators.revoke(grace.id)
        db.session.commit()
    assert console.get("/admin").status == 403


def test_signing_out_ends_console_access(console, grace):
    console.get("/admin")
    console.post("/logout")
    assert console.get("/admin").status == (401 if console.language == "json" else 302)


def test_disabled_console_returns_404(make_app, wire, grace):
    off = sign_in(Wire(make_app(admin=False), wire.language), grace)
    assert [off.get("/admin").status, off.get("/admin/first?token=x").status] == [404, 404]


@pytest.mark.parametrize(("networks", "status"), [("10.0.0.0/8", 404), ("10.0.0.0/8,127.0.0.1", 200), ("", 200)])
def test_console_is_served_only_to_allowed_networks(make_app, wire, grace, networks, status):
    there = sign_in(Wire(make_app(admin_networks=networks), wire.language), grace)
    assert there.get("/admin").status == status


def test_api_token_needs_admin_scope_and_an_administrator_as_owner(app, json_wire, grace, people, of_ada):
    eve = sign_in(json_wire.elsewhere(), people.open(email="eve@example.com"))
    refused = eve.post("/tokens", name="x", scopes=["admin"], expires_in_days=7)
    assert refused.codes == ["token_scope_unknown"]
    here = sign_in(json_wire, grace)
    assert "admin" in here.get("/tokens").json["scopes"]
    tokens = {
        scope: here.post("/tokens", name=scope, scopes=[scope], expires_in_days=7).json["token"]
        for scope in ("admin", "manage")
    }

    def call(scope: str, path: str, **body: object) -> int:
        client = app.test_client()
        headers = {"Authentication-Token": tokens[scope], "Accept": "application/json"}
        answer = (
            client.post(path, json=body, headers=headers)
            if body or "/un" in path
            else client.get(path, headers=headers)
        )
        return answer.status_code

    assert [call("admin", "/admin/people"), call("manage", "/admin/people"), call("admin", "/sessions")] == [
        200,
        403,
        403,
    ]
    assert call("admin", f"{of_ada}/unlock") == 200
    from app.extensions import db
    from app.users import administrators

    with app.app_context():
        administrators.revoke(grace.id)
        db.session.commit()
    assert call("admin", "/admin/people") == 403


def test_admin_token_stays_revoked_after_its_owner_becomes_admin_again(app, json_wire, program, grace, ada, of_ada):
    make_administrator(app, ada)
    hers, console = sign_in(json_wire.elsewhere(), ada), sign_in(json_wire, grace)
    program.token = hers.post("/tokens", name="x", scopes=["admin"], expires_in_days=5).json["token"]
    reads = Program(app)
    reads.token = hers.post("/tokens", name="y", scopes=["read"], expires_in_days=5).json["token"]
    assert program.get("/admin/people").status == 200
    assert console.post(f"{of_ada}/administrator/remove").ok
    assert console.post(f"{of_ada}/administrator").ok
    assert program.get("/admin/people").status == 401
    assert reads.get("/").status == 200


def test_session_access_token_requires_reauthentication_in_the_console(program, grace, clock):
    give_token(program, grace)
    assert program.get("/admin/people").status == 200
    clock.shift(60 * 40)
    assert program.get("/admin/people").status == 401


def test_last_administrator_cannot_be_removed(console, app, grace, people, of_ada):
    from app.extensions import db
    from app.users import User

    with app.app_context():
        mine = f"/admin/people/{db.session.get_one(User, grace.id).handle}"
    assert console.post(f"{mine}/administrator/remove").codes == ["last_administrator"]
    assert console.post(f"{of_ada}/administrator").ok
    assert console.post(f"{mine}/administrator/remove").ok
    assert console.get("/admin").status == 403


def test_disabled_administrator_does_not_count_as_remaining(console, app, grace, ada, of_ada):
    make_administrator(app, ada)
    console.post(f"{of_ada}/disable")
    from app.extensions import db
    from app.users import User

    with app.app_context():
        mine = f"/admin/people/{db.session.get_one(User, grace.id).handle}"
    assert console.post(f"{mine}/administrator/remove").codes == ["last_administrator"]


def test_account_page_links_to_the_console_only_for_administrators(browser_wire, grace, people):
    assert "/admin" in sign_in(browser_wire, grace).get("/").page.links
    eve = sign_in(browser_wire.elsewhere(), people.open(email="eve@example.com"))
    assert "/admin" not in eve.get("/").page.links


def test_head_request_neither_opens_nor_extends_a_console_visit(console, clock, rows):
    assert console.client.head("/admin").status_code == 200
    assert rows(AdminVisit) == []
    console.get("/admin")
    clock.shift(60 * 20)
    console.client.head("/admin")
    clock.shift(60 * 11)
    assert console.get("/admin").status != 200
