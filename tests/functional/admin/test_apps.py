"""/admin/apps: add apps, show the values they need, create new secrets, disable and delete them."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.crypto import secrets
from app.oidc.models import Consent, Grant, OAuthClient
from tests.groups import put_in
from tests.signed_in import sign_in
from tests.wire import Wire

CALLBACK = "https://wiki.example.com/oauth2/callback"
ONE = "/admin/apps/client"


@pytest.fixture
def wiki(app) -> str:
    """The id of an app with a secret."""
    return stored(app, "wiki")


def stored(app, client_id: str, **fields: object) -> str:
    """Store a client; return its id."""
    from app.extensions import db
    from app.oidc import client_store
    from app.oidc.clients import Client

    with app.app_context():
        client = Client(**({"id": client_id, "name": client_id.title(), "redirect_uris": [CALLBACK]} | fields))
        assert client_store.create(client, by="test", secret="" if client.is_public else "x" * 40)
        db.session.commit()
    return client_id


def secret_in(answer) -> str:
    """Return the secret that an answer shows, or ""."""
    if answer.language == "json":
        return answer.json["recipe"].get("client_secret", "")
    _, _, rest = answer.text.partition('<code id="made-secret">')
    return rest.partition("<")[0]


def test_created_client_shows_its_secret_once(console, grace, rows):
    answer = console.post("/admin/apps", name="Team Wiki", redirect_uris=[CALLBACK])
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    secret = secret_in(answer)
    [row] = rows(OAuthClient)
    assert (row.id, row.source, row.secret_digest) == ("team-wiki", "command", secrets.digest(secret))
    again = console.get(f"{ONE}?id=team-wiki")
    assert secret_in(again) == ""
    assert secret not in again.response.get_data(as_text=True)
    [event] = rows(Event, name="admin.client_created")
    assert (event.user_id, event.facts) == (grace.id, {"subject": "team-wiki"})
    assert not [event for event in rows(Event) if secret in str(event.facts)]


def test_client_page_shows_the_configuration_for_the_app(console, wiki):
    answer = console.get(f"{ONE}?id=wiki")
    if console.language == "json":
        assert answer.json["recipe"] == {
            "discovery_url": "http://localhost/.well-known/openid-configuration", "issuer": "http://localhost",
            "client_id": "wiki", "redirect_uris": [CALLBACK],
            "scopes": ["openid", "profile", "email", "phone", "groups", "offline_access"],
        }  # fmt: skip
        assert answer.json["client"]["state"] == "enabled"
    else:
        assert "http://localhost/.well-known/openid-configuration" in answer.text
        assert CALLBACK in answer.text


@pytest.mark.parametrize(
    ("kind", "uris", "grants"),
    [
        ("public", [CALLBACK], ["authorization_code", "refresh_token"]),
        ("device", [], ["refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]),
    ],
)
def test_public_and_device_clients_get_no_secret(console, rows, kind, uris, grants):
    answer = console.post("/admin/apps", name="TV", kind=kind, redirect_uris=uris)
    assert (answer.status, secret_in(answer)) == (200, "")
    [row] = rows(OAuthClient)
    assert (row.secret_digest, row.registered["grant_types"]) == (None, grants)


def test_redirect_uris_are_entered_one_per_line(browser_wire, grace, rows):
    console = sign_in(browser_wire, grace)
    console.post("/admin/apps", name="x", redirect_uris=f"{CALLBACK}\r\n  {CALLBACK}2\r\n\r\n")
    assert rows(OAuthClient)[0].registered["redirect_uris"] == [CALLBACK, f"{CALLBACK}2"]


def test_client_can_be_restricted_to_groups_and_trusted(console, app, ada, rows):
    put_in(app, ada, "staff")
    assert console.post("/admin/apps", name="x", redirect_uris=[CALLBACK], groups=["staff"], trusted=True).status == 200
    registered = rows(OAuthClient)[0].registered
    assert (registered["groups"], registered["consent"]) == (["staff"], "trusted")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"name": " "}, 400, "required"),
        ({"name": "x"}, 400, "client_invalid"),
        ({"name": "x", "redirect_uris": ["http://example.com/#a"]}, 400, "client_invalid"),
        ({"name": "x", "redirect_uris": ["nonsense"]}, 400, "client_invalid"),
        ({"name": "x" * 81, "redirect_uris": [CALLBACK]}, 400, "client_invalid"),
        ({"name": "x", "client_id": "é", "redirect_uris": [CALLBACK]}, 400, "client_invalid"),
        ({"name": "x", "client_id": "y" * 5000, "redirect_uris": [CALLBACK]}, 400, "client_invalid"),
        ({"name": "x", "groups": ["none"], "redirect_uris": [CALLBACK]}, 400, "unknown_group"),
        ({"name": "x", "kind": "y", "redirect_uris": [CALLBACK]}, 400, "api_error"),
        ({"name": "wiki", "redirect_uris": [CALLBACK]}, 409, "client_exists"),
    ],
)
def test_invalid_client_is_rejected(console, wiki, rows, fields, status, code):
    answer = console.post("/admin/apps", **fields)
    assert (answer.status, answer.codes or [code]) == (status, [code])
    assert [row.id for row in rows(OAuthClient)] == ["wiki"]
    assert rows(Event, name="admin.client_created") == []


def test_rotated_secret_replaces_the_old_one_after_an_overlap(console, wiki, rows):
    [before] = rows(OAuthClient)
    answer = console.post(f"{ONE}/rotate-secret", client="wiki")
    [after] = rows(OAuthClient)
    assert after.secret_digest == secrets.digest(secret_in(answer)) != before.secret_digest
    assert after.old_secret_digest == before.secret_digest
    assert rows(Event, name="admin.client_secret_rotated")[0].facts == {"subject": "wiki", "overlap": 86400}
    console.post(f"{ONE}/rotate-secret", client="wiki", overlap="0")
    assert rows(OAuthClient)[0].old_secret_digest is None
    assert console.post(f"{ONE}/rotate-secret", client="wiki", overlap="5").codes == ["api_error"]


def test_secret_of_a_public_client_cannot_be_rotated(console, app, rows):
    stored(app, "tv", auth_method="none")
    answer = console.post(f"{ONE}/rotate-secret", client="tv")
    assert (answer.status, answer.codes) == (409, ["client_without_secret"])


def test_client_can_be_disabled_and_enabled(console, wiki, rows):
    assert console.post(f"{ONE}/disable", client="wiki").ok
    assert rows(OAuthClient)[0].disabled_at is not None
    assert console.post(f"{ONE}/disable", client="wiki").ok
    assert console.post(f"{ONE}/enable", client="wiki").ok
    assert rows(OAuthClient)[0].disabled_at is None
    names = [event.name for event in rows(Event) if event.name.startswith("admin.client")]
    assert names == ["admin.client_disabled", "admin.client_enabled"]


def test_client_is_deleted_only_with_confirmation(console, wiki, rows):
    assert console.post(f"{ONE}/delete", client="wiki").codes == ["person_unsure"]
    assert len(rows(OAuthClient)) == 1
    assert console.post(f"{ONE}/delete", client="wiki", sure=True).ok
    assert (rows(OAuthClient), rows(Grant), rows(Consent)) == ([], [], [])
    assert rows(Event, name="admin.client_deleted")[0].facts == {"subject": "wiki"}


def test_unknown_client_returns_404(console):
    for path in ("rotate-secret", "disable", "enable", "delete"):
        assert console.post(f"{ONE}/{path}", client="none").status == 404
    for unknown in ("none", "%00", "x" * 3000, "a%20b"):
        assert console.get(f"{ONE}?id={unknown}").status == 404
    assert console.get("/admin/apps?after=a%20b").status == 400


def test_client_of_the_clients_file_is_read_only(console, app, monkeypatch):
    from app.oidc import clients

    filed = clients.Client(id="filed", name="Filed", redirect_uris=[CALLBACK])
    monkeypatch.setitem(app.extensions, clients._IN_MEMORY, {"filed": filed})
    answer = console.get(f"{ONE}?id=filed")
    assert answer.status == 200
    if console.language == "form":
        assert "clients file" in answer.text
        assert "/disable" not in answer.text
    for path in ("rotate-secret", "disable", "enable", "delete"):
        refused = console.post(f"{ONE}/{path}", client="filed", sure=True)
        assert (refused.status, refused.codes or ["client_of_file"]) == (409, ["client_of_file"])
    assert console.post("/admin/apps", name="filed", redirect_uris=[CALLBACK]).status == 409


@pytest.mark.both_databases
def test_client_list_is_paginated(json_wire, grace, app, monkeypatch):
    monkeypatch.setattr("app.admin.app_views.ON_PAGE", 2)
    for number in range(5):
        stored(app, f"c{number}")
    console, seen, after = sign_in(json_wire, grace), [], ""
    for _ in range(4):
        answer = console.get(f"/admin/apps?after={after}").json
        seen += [client["id"] for client in answer["clients"]]
        after = answer["after"] or ""
        if not after:
            break
    assert seen == [f"c{number}" for number in range(5)]


def test_forward_auth_apps_of_the_apps_file_are_listed(make_app, wire, grace, tmp_path):
    file = tmp_path / "apps.toml"
    file.write_text('[apps.grafana]\nname = "Grafana"\nurl = "https://grafana.example.com"\nlevel = "aal2"\n')
    console = sign_in(Wire(make_app(apps_file=str(file)), wire.language), grace)
    answer = console.get("/admin/apps")
    if wire.language == "json":
        [app] = answer.json["protected"]
        assert (app["id"], app["url"], app["level"]) == ("grafana", "https://grafana.example.com", "aal2")
    else:
        assert "Two factors needed" in answer.text


def test_client_changes_require_recent_reauthentication(console, wiki, clock, rows):
    console.get("/admin/apps")
    clock.shift(60 * 6)
    for path in ("rotate-secret", "disable", "delete"):
        answer = console.post(f"{ONE}/{path}", client="wiki", sure=True)
        assert answer.status == (401 if console.language == "json" else 302)
    assert rows(OAuthClient)[0].disabled_at is None
