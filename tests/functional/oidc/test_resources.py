"""Resource indicators (RFC 8707): who may request tokens for a service, and who may introspect them."""

from __future__ import annotations

import pytest

from app.oidc.models import OAuthClientResource
from tests.client_rows import SECRET
from tests.client_rows import register as store
from tests.devices import Device, tv
from tests.functional.oidc.test_interaction import decide
from tests.oidc import REDIRECT, RelyingParty, register

API, OTHER = "https://api.example.com/mcp", "https://other.example.com/mcp"


@pytest.fixture
def add(app):
    """Adds a client of the operator's as the command does: ``add("api", serves=[API], serves_all=True)``."""

    def make(client_id: str, **fields) -> RelyingParty:
        from app.extensions import db
        from app.oidc import client_store
        from app.oidc.clients import Client

        usual = {"name": f"The {client_id}", "grant_types": [], "source": "command"}
        with app.app_context():
            assert client_store.create(Client(id=client_id, **(usual | fields)), by="test", secret=SECRET)
            db.session.commit()
        return RelyingParty(app, client_id, SECRET)

    return make


@pytest.fixture
def api(add) -> RelyingParty:
    """A service that any app may ask for tokens for."""
    return add("api", serves=[API], serves_all=True)


@pytest.fixture
def stranger(app) -> RelyingParty:
    """An app that registered itself."""
    store(app, "stranger", source="registration", name="A stranger", redirect_uris=[REDIRECT])
    return RelyingParty(app, "stranger", SECRET)


@pytest.mark.parametrize("needs", [{}, {"groups": ["staff"]}, {"level": "aal2"}], ids=["open", "group", "level"])
def test_device_may_request_an_open_resource_subject_to_its_requirements(app, add, browser, needs):
    api = add("api", serves=[API], serves_all=True, **needs)
    device = Device(tv(app), resource=API)
    page = browser.post("/device", user_code=device.user_code)
    if needs:
        assert ("have access to Living room TV" in page.text) is ("groups" in needs)
        assert ("Confirm with a second factor" in page.text) is ("level" in needs)
        return
    assert 'Use <strong class="breakable">The api</strong> with your account' in page.text
    browser.post("/device/consent", user_code=device.user_code, allow="yes")
    assert is_active(api, device.tokens()["access_token"])


def test_device_approval_fails_when_its_resource_was_disabled(app, api, browser):
    from app.extensions import db
    from app.oidc.client_store import set_disabled

    device = Device(tv(app), resource=API)
    with app.app_context():
        set_disabled("api", disabled=True, by="test")
        db.session.commit()
    answer = browser.post("/device/consent", user_code=device.user_code, allow="yes")
    assert answer.codes == ["device_code_over"]


def error_of(rp, browser, **asked) -> str:
    return rp.answer(browser.client.get(rp.request(**asked)))["error"]


def allowed(rp, browser, **asked):
    """Return an app's tokens after someone consents."""
    code = rp.answer(decide(browser, browser.get(rp.request(**asked)), "yes"))["code"]
    return rp.exchange(code).json


def is_active(service, token: str) -> bool:
    return service.post("/oauth/introspect", token=token).json["active"]


def test_any_client_gets_tokens_for_an_open_resource(api, add, stranger, browser):
    tokens = allowed(stranger, browser, resource=API)
    facts = api.post("/oauth/introspect", token=tokens["access_token"]).json
    assert (facts["active"], facts["aud"], facts["client_id"]) == (True, [API], "stranger")
    other = add("other", serves=[OTHER], serves_all=True)
    assert not is_active(other, tokens["access_token"])


def test_closed_resource_is_limited_to_listed_clients(app, add, stranger, browser):
    closed = add("closed", serves=[API])
    assert error_of(stranger, browser, resource=API) == "invalid_target"
    listed = register(app, "listed", resources=[API])
    assert is_active(closed, listed.tokens(browser, resource=API)["access_token"])


def test_unknown_resource_is_rejected_as_invalid_target(api, stranger, browser):
    for resource in (OTHER, API + "/", API.upper(), API + "/x", "https://api.example.com"):
        assert error_of(stranger, browser, resource=resource) == "invalid_target"
    assert error_of(stranger, browser, resource=[API, OTHER]) == "invalid_target"


def test_client_allowed_to_request_a_resource_cannot_introspect_its_tokens(app, api, stranger, browser):
    tokens = allowed(stranger, browser, resource=API)
    assert not is_active(register(app, "listed", resources=[API]), tokens["access_token"])
    assert is_active(api, tokens["access_token"])


def test_self_registered_client_cannot_serve_a_resource(app, stranger, browser):
    store(app, "evil", source="registration", serves=[API], serves_all=True)
    _open(app, "evil", API)
    assert error_of(stranger, browser, resource=API) == "invalid_target"


def test_consent_page_names_the_resource_and_asks_each_time(api, stranger, browser):
    assert "The api" not in browser.get(stranger.request()).text
    allowed(stranger, browser)
    for _ in range(2):
        page = browser.get(stranger.request(resource=API))
        assert "Allow A stranger?" in page.text
        assert "The api" in page.text
        assert "code" in stranger.answer(decide(browser, page, "yes"))
    assert error_of(stranger, browser, resource=API, prompt="none") == "consent_required"
    assert "code" in stranger.answer(browser.client.get(stranger.request()))


def test_trusted_client_needs_no_consent_for_a_resource(api, grafana, browser):
    assert grafana.tokens(browser, resource=API)["access_token"]


def test_resource_groups_are_required_in_addition(app, ada, add, stranger, browser):
    from app.extensions import db
    from app.groups import service

    add("closed", serves=[API], serves_all=True, groups=["staff"])
    assert browser.get(stranger.request(resource=API)).status == 403
    assert browser.get(stranger.request()).status == 200
    with app.app_context():
        service.create("staff", by="test")
        service.add_member("staff", ada.id, by="test")
        db.session.commit()
    assert browser.get(stranger.request(resource=API)).status == 200


def test_resource_aal2_level_is_required_in_addition(add, stranger, browser):
    add("strict", serves=[API], serves_all=True, level="aal2")
    assert "two factors" in browser.get(stranger.request(resource=API)).text


def test_disabled_resource_is_rejected_as_invalid_target(app, api, stranger, browser):
    from app.extensions import db
    from app.oidc import client_store

    with app.app_context():
        client_store.set_disabled("api", disabled=True, by="operator")
        db.session.commit()
    assert error_of(stranger, browser, resource=API) == "invalid_target"


@pytest.mark.both_databases
def test_changing_served_resources_takes_effect_at_once(app, api, stranger, browser, rows):
    result = app.test_cli_runner().invoke(args=["clients", "change", "api", "--serves", OTHER])
    assert result.exit_code == 0, result.output
    assert [row.resource for row in rows(OAuthClientResource)] == [OTHER]
    assert error_of(stranger, browser, resource=API) == "invalid_target"
    app.test_cli_runner().invoke(args=["clients", "change", "api", "--no-serves-all"])
    assert rows(OAuthClientResource) == []
    assert error_of(stranger, browser, resource=OTHER) == "invalid_target"


def test_resources_of_the_clients_file_are_found(make_app, tmp_path, people, stranger):
    from tests.signed_in import sign_in
    from tests.wire import Wire

    text = f'[clients.api]\nname = "The api"\ngrant_types = []\nserves = ["{API}"]\nserves_all = true\n'
    path = tmp_path / "clients.toml"
    digest = f'secret_digest = "sha256:{"0" * 64}"\n'
    closed = f'[clients.closed]\nname = "Closed"\ngrant_types = []\nserves = ["{OTHER}"]\n'
    path.write_text(text + digest + closed + digest)
    app = make_app(clients_file=str(path))
    browser = sign_in(Wire(app, "form"), people.open("eve@example.com", methods=["email"]))
    there = RelyingParty(app, stranger.id, SECRET)
    assert "The api" in browser.get(there.request(resource=API)).text
    assert error_of(there, browser, resource=OTHER) == "invalid_target"


def test_overlong_resource_list_is_rejected(app, browser):
    many = [f"https://api.example.com/{number}{'x' * 200}" for number in range(8)]
    rp = register(app, resources=many)
    assert error_of(rp, browser, resource=many) == "invalid_target"
    assert rp.code(browser, resource=many[:4])


def test_serves_all_without_serves_is_rejected(app):
    result = app.test_cli_runner().invoke(args=["clients", "create", "Api", "--serves-all"])
    assert result.exit_code != 0
    assert "set serves" in result.output


def _open(app, client_id: str, resource: str) -> None:
    from app.extensions import db

    with app.app_context():
        db.session.add(OAuthClientResource(resource=resource, client_id=client_id))
        db.session.commit()
