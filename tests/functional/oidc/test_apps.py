"""/apps: the apps that a user can open, those with access to the account, and removing it."""

from __future__ import annotations

import pytest

from app import clock
from app.extensions import db
from app.oidc.models import OAuthClient
from tests.oidc import register
from tests.signed_in import sign_in
from tests.wire import Wire

NOT_NOW = "No access right now"
NOTHING = [False, [], False, False]


@pytest.fixture
def json_browser(app, ada) -> Wire:
    """Ada's browser, as her script sees it."""
    return sign_in(Wire(app, "json"), ada)


@pytest.fixture
def asking(app):
    """An app that people have to allow things."""
    return register(app, "immich", name="Immich", consent="ask", home_url="https://photos.example.com/")


def allow(wire: Wire, rp, **asked) -> dict:
    """Sign in to an app and allow it what it asks for; return its tokens."""
    page = wire.get(rp.request(**asked))
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": "yes"}
    answer = rp.answer(wire.client.post("/oauth/consent", data=fields))
    return dict(rp.exchange(answer["code"]).json)


def facts_of(wire: Wire) -> tuple[list[str], dict[str, dict]]:
    """Return the names of the apps to open, and the apps with access by ID."""
    answer = wire.get("/apps")
    assert answer.status == 200
    return [app["name"] for app in answer.json["apps"]], {app["id"]: app for app in answer.json["access"]}


def test_apps_page_without_apps_shows_no_launcher(browser):
    page = browser.get("/apps")
    assert "Your apps" not in page.text
    assert "None yet." in page.text


def test_launcher_lists_apps_with_a_home_page_and_an_allowed_group(app, json_browser, ada):
    from app.groups import service as groups

    register(app, "b", name="Beta", home_url="https://b.example.com/start")
    register(app, "a", name="alpha", home_url="https://a.example.com", groups=["staff"])
    register(app, "c", name="No home page")
    register(app, "d", name="Of admins", home_url="https://d.example.com", groups=["admins"])
    assert facts_of(json_browser)[0] == ["Beta"]
    with app.app_context():
        groups.create("staff", by="test")
        groups.add_member("staff", ada.id, by="test")
        db.session.commit()
    assert facts_of(json_browser)[0] == ["alpha", "Beta"]
    [alpha, _] = json_browser.get("/apps").json["apps"]
    assert alpha == {
        "id": "a", "name": "alpha", "url": "https://a.example.com", "host": "a.example.com", "logo_url": None,
    }  # fmt: skip


@pytest.mark.parametrize("change", ["source", "disabled_at"])
def test_launcher_omits_self_registered_and_disabled_apps(app, json_browser, change):
    register(app, home_url="https://grafana.example.com")
    assert facts_of(json_browser)[0] == ["Grafana"]
    with app.app_context():
        row = db.session.get(OAuthClient, "grafana")
        setattr(row, change, "registration" if change == "source" else clock.now())
        db.session.commit()
    assert facts_of(json_browser)[0] == []


def test_app_with_consent_is_listed_with_access_after_logout(app, browser, json_browser, asking, clock):
    clock.shift(60)
    allow(browser, asking, scope="openid email")
    clock.shift(60)
    asking.tokens(browser, scope="openid")
    access = facts_of(json_browser)[1]["immich"]
    assert (access["name"], access["host"]) == ("Immich", "photos.example.com")
    assert access["scopes"] == ["openid", "email"]
    assert (access["signed_in"], access["stays_signed_in"]) == (True, False)
    assert access["since"] < access["last_used_at"]
    browser.post("/logout")
    access = facts_of(json_browser)[1]["immich"]
    assert (access["scopes"], access["signed_in"]) == (["openid", "email"], False)
    assert access["last_used_at"] > access["since"]


def test_trusted_app_is_listed_with_access_only_while_signed_in(app, browser, json_browser, grafana):
    grafana.tokens(browser, scope="openid groups")
    assert facts_of(json_browser)[1]["grafana"]["scopes"] == ["openid", "groups"]
    browser.post("/logout")
    assert facts_of(json_browser)[1] == {}


def test_app_with_offline_access_is_listed_as_staying_signed_in(browser, json_browser, grafana):
    tokens = grafana.tokens(browser, scope="openid offline_access")
    browser.post("/logout")
    access = facts_of(json_browser)[1]["grafana"]
    assert (access["signed_in"], access["stays_signed_in"]) == (True, True)
    grafana.post("/oauth/revoke", token=tokens["refresh_token"])
    assert facts_of(json_browser)[1] == {}


@pytest.mark.both_databases
def test_users_can_see_and_remove_only_their_own_apps(app, people, browser, asking):
    allow(browser, asking)
    other = sign_in(Wire(app, "json"), people.open(email="grace@example.com", methods=["email"]))
    assert facts_of(other)[1] == {}
    answer = other.post("/apps/remove", client="immich")
    assert answer.json["removed"] is False
    assert "Immich" in browser.get("/apps").text


def test_apps_page_describes_the_granted_scopes(browser, asking):
    allow(browser, asking, scope="openid email offline_access")
    page = browser.get("/apps")
    for text in (
        "Your apps",
        "Apps with access",
        "See your email",
        "Stay signed in after you sign out here",
        "Access since ",
    ):
        assert text in page.text
    assert "See your phone number" not in page.text
    assert "https://photos.example.com/" in page.page.links


@pytest.mark.both_databases
def test_removing_an_app_revokes_its_tokens_and_its_consent(browser, json_browser, asking, rows):
    from app.audit import Event

    tokens = allow(browser, asking, scope="openid offline_access")
    page = browser.get("/apps")
    answer = browser.client.post("/apps/remove", data={"csrf_token": page.csrf_token, "client": "immich"})
    assert answer.headers["Location"] == "/apps"
    assert "Immich no longer has access to your account." in browser.get("/apps").text
    assert asking.userinfo(tokens["access_token"]).status_code == 401
    assert asking.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert facts_of(json_browser)[1] == {}
    assert [event.facts for event in rows(Event, name="app.removed")] == [{"client": "immich", "app": "Immich"}]
    assert "Allow Immich?" in browser.get(asking.request(scope="openid")).text
    assert "Removed access for the app Immich" in browser.get("/activity").text


@pytest.mark.both_databases
def test_removing_an_app_sends_one_logout_token_per_session(app, ada, browser, json_browser, endpoint, deliver):
    wiki = register(app, "wiki", name="Wiki", backchannel_logout_uri=endpoint.url)
    register(app, "blog", name="Blog", backchannel_logout_uri=endpoint.url).tokens(browser)
    over = sign_in(Wire(app, "form"), ada)
    lasting = wiki.tokens(over, scope="openid offline_access")
    over.post("/logout")
    deliver()
    assert len(endpoint.posted) == 1
    claims = wiki.claims(wiki.tokens(browser)["id_token"])
    wiki.tokens(browser, scope="openid offline_access")
    wiki.code(browser)
    assert json_browser.post("/apps/remove", client="wiki").json["removed"] is True
    deliver()
    told = [wiki.claims(each.token) for each in endpoint.posted[1:]]
    assert [(each["aud"], each["sub"], each["sid"]) for each in told] == [("wiki", claims["sub"], claims["sid"])]
    assert wiki.refresh(lasting["refresh_token"]).json["error"] == "invalid_grant"
    assert json_browser.post("/apps/remove", client="wiki").json["removed"] is False
    browser.post("/logout")
    deliver()
    assert [wiki.claims(each.token)["aud"] for each in endpoint.posted[2:]] == ["blog"]


@pytest.mark.both_databases
def test_removing_an_app_keeps_access_of_other_apps_and_users(app, people, browser, json_browser, asking, grafana):
    theirs = sign_in(Wire(app, "form"), people.open(email="grace@example.com", methods=["email"]))
    others = allow(theirs, asking)
    mine = grafana.tokens(browser)
    allow(browser, asking)
    assert json_browser.post("/apps/remove", client="immich").json["removed"] is True
    assert asking.userinfo(others["access_token"]).status_code == 200
    assert grafana.userinfo(mine["access_token"]).status_code == 200
    assert asking.code(theirs)
    assert set(facts_of(json_browser)[1]) == {"grafana"}


def test_self_registered_app_is_listed_with_access_but_not_in_the_launcher(app, browser, json_browser, asking):
    allow(browser, asking)
    with app.app_context():
        db.session.get(OAuthClient, "immich").source = "registration"
        db.session.commit()
    to_open, access = facts_of(json_browser)
    assert to_open == []
    assert access["immich"]["host"] == "app.example.com"  # its home page is its own claim


@pytest.mark.both_databases
def test_code_that_expired_unredeemed_grants_no_access(browser, json_browser, grafana, clock):
    grafana.code(browser)
    assert facts_of(json_browser)[1]["grafana"]["signed_in"] is True
    clock.shift(61)
    assert facts_of(json_browser)[1] == {}


@pytest.mark.both_databases
def test_removing_an_app_revokes_its_unredeemed_code(browser, json_browser, grafana):
    code = grafana.code(browser)
    assert json_browser.post("/apps/remove", client="grafana").json["removed"] is True
    assert grafana.exchange(code).json["error"] == "invalid_grant"


@pytest.mark.parametrize("client", ["immich", "nobody", "\u00e9", "x" * 255])
def test_removing_an_app_without_access_changes_nothing(json_browser, asking, rows, client):
    from app.audit import Event

    answer = json_browser.post("/apps/remove", client=client)
    assert (answer.status, answer.json["removed"]) == (200, False)
    assert rows(Event, name="app.removed") == []


@pytest.mark.parametrize("fields", [{}, {"client": ""}, {"client": "x" * 256}, {"client": 7}])
def test_removal_with_invalid_client_field_is_rejected(json_browser, fields):
    assert json_browser.post("/apps/remove", **fields).status == 400


def test_removal_without_csrf_token_is_rejected(browser, asking):
    allow(browser, asking)
    assert browser.client.post("/apps/remove", data={"client": "immich"}).status_code == 400
    assert "Immich" in browser.get("/apps").text


def test_removing_an_app_requires_no_reauthentication(browser, json_browser, asking, clock):
    allow(browser, asking)
    clock.shift(3 * 3600)
    assert json_browser.post("/apps/remove", client="immich").json["removed"] is True


@pytest.mark.both_databases
def test_deleted_app_is_listed_by_its_id_and_can_be_removed(app, browser, json_browser, asking):
    allow(browser, asking)
    with app.app_context():
        db.session.delete(db.session.get(OAuthClient, "immich"))
        db.session.commit()
    access = facts_of(json_browser)[1]["immich"]
    assert (access["name"], access["host"], access["signed_in"]) == ("immich", None, False)
    assert NOT_NOW in browser.get("/apps").text
    assert json_browser.post("/apps/remove", client="immich").json["removed"] is True
    assert facts_of(json_browser)[1] == {}


@pytest.fixture(params=["disabled", "for others", "for nothing of it", "source"])
def without_access(request, app):
    """Removes an app's access in one of several ways, without notifying anyone."""
    changes = {"for others": {"groups": ["admins"]}, "for nothing of it": {"scopes": ["phone"]}}

    def change(client_id):
        with app.app_context():
            row = db.session.get(OAuthClient, client_id)
            row.registered = row.registered | changes.get(request.param, {})
            if request.param == "disabled":
                row.disabled_at = clock.now()
            elif request.param == "source":
                row.source = "document"
            db.session.commit()

    return change


def test_app_that_lost_access_is_listed_as_such_and_can_be_removed(
    browser, json_browser, asking, grafana, without_access
):
    tokens = allow(browser, asking, scope="openid email offline_access")
    grafana.tokens(browser)
    asking.post("/oauth/revoke", token=tokens["refresh_token"])
    assert (facts_of(json_browser)[1]["immich"]["has_access"], NOT_NOW in browser.get("/apps").text) == (True, False)
    without_access("immich")
    access = facts_of(json_browser)[1]
    assert list(access) == ["grafana", "immich"]
    assert [access["immich"][name] for name in ("has_access", "scopes", "signed_in", "stays_signed_in")] == NOTHING
    page = browser.get("/apps")
    assert NOT_NOW in page.text
    assert "See your email" not in page.text
    answer = browser.client.post("/apps/remove", data={"csrf_token": page.csrf_token, "client": "immich"})
    assert answer.headers["Location"] == "/apps"
    assert NOT_NOW not in browser.get("/apps").text
    assert list(facts_of(json_browser)[1]) == ["grafana"]


@pytest.mark.parametrize("change", [{"disabled_at": "now"}, {"groups": ["admins"]}], ids=str)
def test_app_whose_tokens_are_rejected_is_listed_without_access(app, browser, json_browser, grafana, change):
    tokens = grafana.tokens(browser, scope="openid offline_access")
    with app.app_context():
        row = db.session.get(OAuthClient, "grafana")
        row.registered = row.registered | {"groups": change.get("groups", [])}
        row.disabled_at = clock.now() if "disabled_at" in change else None
        db.session.commit()
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    access = facts_of(json_browser)[1]["grafana"]
    assert [access[name] for name in ("has_access", "scopes", "signed_in", "stays_signed_in")] == NOTHING


@pytest.mark.both_databases
def test_unregistered_scopes_are_listed_only_while_tokens_carry_them(app, browser, json_browser, asking):
    tokens = allow(browser, asking, scope="openid email offline_access")
    with app.app_context():
        row = db.session.get(OAuthClient, "immich")
        row.registered = row.registered | {"scopes": ["openid", "phone"]}
        db.session.commit()
    access = facts_of(json_browser)[1]["immich"]
    assert (access["scopes"], access["signed_in"], access["stays_signed_in"]) == (["openid"], True, False)
    assert "email" not in asking.userinfo(tokens["access_token"]).json
    asking.post("/oauth/revoke", token=tokens["refresh_token"])
    assert facts_of(json_browser)[1]["immich"]["scopes"] == ["openid"]


@pytest.mark.both_databases
def test_launcher_list_length_is_capped(app, json_browser, monkeypatch):
    from app.oidc import apps

    for number in range(4):
        register(app, f"app{number}", home_url="https://a.example.com")
    monkeypatch.setattr(apps, "MAX_LISTED", 3)
    assert len(facts_of(json_browser)[0]) == 3


@pytest.mark.both_databases
def test_self_registered_apps_do_not_count_toward_the_launcher_cap(app, json_browser, monkeypatch):
    from app.oidc import apps

    monkeypatch.setattr(apps, "MAX_LISTED", 3)
    for number in range(4):
        register(app, f"app{number}", home_url="https://a.example.com")
        with app.app_context():
            db.session.get(OAuthClient, f"app{number}").source = "registration"
            db.session.commit()
    register(app, "theirs", home_url="https://theirs.example.com")
    assert facts_of(json_browser)[0] == ["Grafana"]
