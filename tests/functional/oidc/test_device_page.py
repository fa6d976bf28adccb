"""People enter a device's code, see which app requests it from where, and decide (RFC 8628, 3.3 and 5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from app.oidc import consents
from tests.devices import Device, decide, tv
from tests.oidc import register
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in
from tests.wire import Program, Wire

NEW_KEY = "5b" * 32
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def hers(app, language, ada) -> Wire:
    """Ada, signed in with a browser and with an API client that has cookies."""
    return sign_in(Wire(app, language), ada)


@pytest.fixture
def party(app):
    """A device's app that people have to allow things."""
    return tv(app, consent="ask", home_url="https://tv.example.com/")


@pytest.fixture
def device(party) -> Device:
    """A device that shows a code."""
    return Device(party, headers={"User-Agent": FIREFOX})


def events(rows, name: str) -> list[dict]:
    """Return the facts of all events of a name."""
    from app.audit import Event

    return [event.facts for event in rows(Event, name=name)]


# --- the code -----------------------------------------------------------------------------------


def test_signed_out_user_returns_to_device_page_with_the_code(app, device, ada):
    wire = Wire(app, "form")
    sent = wire.get(f"/device?user_code={device.user_code}")
    assert sent.status == 302
    back = parse_qs(urlsplit(sent.location).query)["next"][0]
    assert back == f"/device?user_code={device.user_code}"
    at_sign_in = wire.follow(sent)
    while at_sign_in.status in (302, 303):
        at_sign_in = wire.follow(at_sign_in)
    assert at_sign_in.page.value("next") == back
    sign_in(wire, ada)
    assert wire.get(back).page.value("user_code") == device.user_code


def test_unauthenticated_api_client_gets_401_on_device_pages(app, device):
    wire = Wire(app, "json")
    for answer in (
        wire.get("/device"),
        wire.post("/device", user_code=device.user_code),
        wire.post("/device/consent", user_code=device.user_code, allow="yes"),
        wire.post("/device/account", user_code=device.user_code),
    ):
        assert (answer.status, answer.codes) == (401, ["unauthenticated"])
    assert device.error() == "authorization_pending"


@pytest.mark.both_databases
def test_link_with_code_asks_to_compare_it_without_a_lookup(browser, device, statements):
    browser.get("/device")
    with statements() as without:
        browser.get("/device")
    with statements() as counted:
        page = browser.get(urlsplit(device.told["verification_uri_complete"])._replace(scheme="", netloc="").geturl())
    assert [text for text in counted if "oauth_device" in text] == []
    assert len(counted) == len(without)
    assert "Check that your device shows exactly this code" in page.text
    assert page.page.value("user_code") == device.user_code
    assert "Living room TV" not in page.text


@pytest.mark.parametrize(
    "given", ["", "x", "AAAA-AAAA", "BBBB-BBBBB", "<b>", "%00", "B" * 5000, "BBBB-BBBB&user_code=x"]
)
def test_link_with_invalid_code_shows_an_empty_field(browser, given):
    page = browser.get(f"/device?user_code={given}")
    assert page.status == 200
    assert page.page.value("user_code") == ("BBBB-BBBB" if given.startswith("BBBB-BBBB&") else "")


def test_changing_language_keeps_the_user_code(browser, device):
    page = browser.get(f"/device?user_code={device.user_code}")
    shown = browser.post("/device", user_code=device.user_code)
    for each in (page, shown):
        fields = {"csrf_token": each.csrf_token, "language": "de", "page": each.page.value("page")}
        back = browser.client.post("/language", data=fields).headers["Location"]
        assert back == f"/device?user_code={device.user_code}"
        assert browser.get(back).page.value("user_code") == device.user_code


def spellings(code: str) -> list[str]:
    """Return the ways in which people may type a code."""
    plain = code.replace("-", "")
    return [code, plain, plain.lower(), f" {plain[:4]} {plain[4:]} ", "-".join(plain), code.replace("-", "–"),
            "".join(chr(ord(letter) + 0xFEE0) for letter in plain), f"\u200b{code}"]  # fmt: skip


@pytest.mark.parametrize("number", range(8))
def test_user_code_ignores_case_dashes_and_spaces(hers, device, number):
    answer = hers.post("/device", user_code=spellings(device.user_code)[number])
    assert answer.status == 200
    assert hers.language == "json" or "Connect Living room TV?" in answer.text


def test_user_code_is_recognized_after_secret_key_rotation(app, make_app, settings_values, ada, device):
    rotated = make_app(secret_keys=f"{NEW_KEY},{settings_values['secret_keys']}")
    assert decide(sign_in(Wire(rotated, "form"), ada), device).ok
    assert device.tokens()["access_token"]


WRONG = ["BCDFGHJK", "A", "AEIOUAEI", "BBBBBBB", "BBBBBBBBB", "BBBB-BBB1", "x" * 200, "ＡＢ", "é" * 8]


@pytest.mark.parametrize("typed", WRONG)
def test_wrong_user_code_is_rejected_on_its_field(hers, device, typed):
    for path, more in (("/device", {}), ("/device/consent", {"allow": "yes"})):
        answer = hers.post(path, user_code=typed, **more)
        assert (answer.status, answer.codes) == (400, ["device_code_wrong"])
        assert list(answer.errors) == ["user_code"]
    assert device.error() == "authorization_pending"


@pytest.mark.parametrize("typed", [None, "", "   ", "x" * 201])
def test_missing_or_overlong_user_code_is_rejected_on_its_field(hers, device, typed):
    for path, more in (("/device", {}), ("/device/consent", {"allow": "yes"}), ("/device/account", {})):
        answer = hers.post(path, user_code=typed, **more)
        assert answer.status == 400
        assert list(answer.errors) == ["user_code"]


@pytest.mark.parametrize("value", [5, True, ["BBBB-BBBB"], {"a": 1}])
@pytest.mark.parametrize("field", ["user_code", "allow"])
def test_non_string_json_value_is_rejected(app, ada, device, field, value):
    wire = sign_in(Wire(app, "json"), ada)
    fields = {"user_code": device.user_code, "allow": "yes"} | {field: value}
    answer = wire.post("/device/consent", **fields)
    assert (answer.status, list(answer.errors)) == (400, [field])
    assert device.error() == "authorization_pending"


@pytest.mark.parametrize("allow", [None, "", "yes" * 10])
def test_invalid_decision_leaves_the_device_pending(hers, device, allow):
    answer = hers.post("/device/consent", user_code=device.user_code, allow=allow)
    assert (answer.status, answer.ok) == (400, False)
    assert device.error() == "authorization_pending"


# --- what the page says -------------------------------------------------------------------------


def test_device_page_shows_app_scopes_and_origin_of_the_request(app, ada, browser, device):
    page = browser.post("/device", user_code=device.user_code)
    for text in (
        "Connect Living room TV?", "tv.example.com", ada.email, "See your email", "Firefox on Linux", "127.0.0.1",
        "in front of you", device.user_code,
    ):  # fmt: skip
        assert text in page.text, text
    assert "See your phone number" not in page.text
    told = sign_in(Wire(app, "json"), ada).post("/device", user_code=device.user_code).json
    assert told["app"] == {"id": "tv", "name": "Living room TV", "host": "tv.example.com", "is_vetted": True}
    assert (told["device"]["browser"], told["device"]["address"]) == ("Firefox on Linux", "127.0.0.1")
    assert (told["scopes"], told["user_code"]) == (["openid", "email"], device.user_code)
    assert device.error() == "authorization_pending"


def test_device_page_warns_about_self_registered_clients(app, browser, device):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    with app.app_context():
        row = db.session.get(OAuthClient, "tv")
        row.source, row.registered = "registration", row.registered | {"redirect_uris": []}
        db.session.commit()
    text = browser.post("/device", user_code=device.user_code).text
    assert "This app added itself and hasn't been checked, and it may use another app's name" in text.replace(
        "&#39;", "'"
    )
    assert "tv.example.com" not in text


def test_device_approval_is_required_for_trusted_apps_too(app, browser):
    device = Device(tv(app, consent="trusted"))
    assert "Connect Living room TV?" in browser.post("/device", user_code=device.user_code).text
    assert device.error() == "authorization_pending"


# --- the decision -------------------------------------------------------------------------------


def test_approved_device_is_audited_listed_and_removable(hers, device, rows, ada):
    answer = decide(hers, device)
    assert hers.language == "json" or "Device connected" in answer.text
    assert hers.language == "form" or answer.json["allowed"] is True
    (facts,) = events(rows, "app.device_allowed")
    assert facts == {
        "client": "tv", "app": "Living room TV", "scopes": "openid email", "device": "Firefox on Linux",
        "device_address": "127.0.0.1",
    }  # fmt: skip
    tokens = device.tokens()
    assert len(events(rows, "app.signed_in")) == 1
    activity = hers.get("/activity")
    shown = activity.text.replace("&#39;", "'")
    assert "Let another device sign in to the app Living room TV" in shown
    apps = hers.get("/apps")
    assert "Living room TV" in apps.text
    assert hers.post("/apps/remove", client="tv").ok
    assert device.rp.userinfo(tokens["access_token"]).status_code == 401


def test_denied_device_is_audited_and_gets_no_access(app, ada, hers, device, rows):
    answer = decide(hers, device, "no")
    assert hers.language == "json" or "Device not connected" in answer.text
    assert hers.language == "form" or answer.json["allowed"] is False
    assert events(rows, "app.device_refused")[0]["device_address"] == "127.0.0.1"
    assert events(rows, "app.device_allowed") == []
    assert sign_in(Wire(app, "json"), ada).get("/apps").json["access"] == []
    assert device.error() == "access_denied"


def test_device_approval_stores_consent_unless_the_app_is_trusted(app, browser, ada, device):
    decide(browser, device)
    with app.app_context():
        assert consents.relation_of(ada.id, "tv", "x").allowed == {"openid", "email"}
    trusted = Device(tv(app, "radio", name="Radio"))
    decide(browser, trusted)
    with app.app_context():
        assert consents.relation_of(ada.id, "radio", "x").allowed == frozenset()


@pytest.mark.parametrize("how", ["allowed", "refused", "fetched", "expired", "client disabled"])
def test_used_or_expired_user_code_is_rejected(app, hers, device, clock, how):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    if how in ("allowed", "refused", "fetched"):
        decide(hers, device, "no" if how == "refused" else "yes")
    if how == "fetched":
        device.tokens()
    clock.shift(600 if how == "expired" else 31)  # no double click
    if how == "client disabled":
        with app.app_context():
            db.session.get(OAuthClient, "tv").disabled_at = db.session.get(OAuthClient, "tv").created_at
            db.session.commit()
    for path, more in (("/device", {}), ("/device/consent", {"allow": "yes"}), ("/device/consent", {"allow": "no"})):
        answer = hers.post(path, user_code=device.user_code, **more)
        assert (answer.status, answer.codes, list(answer.errors)) == (400, ["device_code_over"], ["user_code"])


@pytest.mark.parametrize("lost", [{"grant_types": ["refresh_token"]}, {"scopes": ["phone"]}])
def test_user_code_is_rejected_when_the_client_lost_grant_or_scopes(app, hers, device, lost):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    with app.app_context():
        row = db.session.get(OAuthClient, "tv")
        row.registered = row.registered | lost
        db.session.commit()
    for path, more in (("/device", {}), ("/device/consent", {"allow": "yes"})):
        answer = hers.post(path, user_code=device.user_code, **more)
        assert (answer.status, answer.codes) == (400, ["device_code_over"])


def test_device_decision_without_csrf_token_is_rejected(hers, device):
    for path in ("/device", "/device/consent", "/device/account"):
        assert hers.post(path, csrf=None, user_code=device.user_code, allow="yes").status == 400
    assert device.error() == "authorization_pending"
    assert hers.get("/device").status == 200


def test_api_token_cannot_approve_a_device(app, ada, device):
    program = give_token(Program(app), ada)
    for path in ("/device", "/device/consent"):
        answer = program.post(path, user_code=device.user_code, allow="yes")
        assert (answer.status, answer.codes) == (403, ["token_not_accepted"])
    assert device.error() == "authorization_pending"


def test_user_can_switch_account_on_the_device_page(app, hers, device, people):
    answer = hers.post("/device/account", user_code=device.user_code)
    assert answer.status == (200 if hers.language == "json" else 303)
    assert hers.signed_in_as() is None
    if hers.language == "form":
        assert answer.location == f"/device?user_code={device.user_code}"
    grace = people.open(email="grace@example.com", methods=["email"])
    decide(sign_in(hers, grace), device)
    assert device.rp.userinfo(device.tokens()["access_token"]).json["email"] == "grace@example.com"


# --- who may ------------------------------------------------------------------------------------


def test_only_members_of_an_allowed_group_can_approve_the_device(app, hers, ada, rows):
    from app.extensions import db
    from app.groups import service as groups

    device = Device(tv(app, groups=["staff"]))
    for path, more in (("/device", {}), ("/device/consent", {"allow": "yes"})):
        answer = hers.post(path, user_code=device.user_code, **more)
        assert answer.status == 403
        if hers.language == "json":
            assert answer.codes == ["app_not_allowed"]
        else:
            assert "You don't have access to Living room TV" in answer.text.replace("&#39;", "'")
            assert (answer.page.forms[0]["action"], answer.page.value("user_code")) == (
                "/device/account", device.user_code,
            )  # fmt: skip
    assert [facts["client"] for facts in events(rows, "app.not_allowed")] == ["tv", "tv"]
    assert device.error() == "authorization_pending"
    with app.app_context():
        groups.create("staff", by="test")
        groups.add_member("staff", ada.id, by="test")
        db.session.commit()
    decide(hers, device)
    assert device.tokens()["access_token"]


def test_user_without_access_to_the_app_can_deny_the_device(app, hers):
    device = Device(tv(app, groups=["staff"]))
    assert hers.post("/device/consent", user_code=device.user_code, allow="no").status == 200
    assert device.error() == "access_denied"


def test_app_requiring_aal2_requires_a_second_factor_to_approve_a_device(app, language, people):
    grace = people.open(email="grace@example.com", methods=["email", "authenticator"])
    wire = sign_in(Wire(app, language), grace, "email")
    device = Device(tv(app, level="aal2"))
    for path, more in (("/device", {}), ("/device/consent", {"allow": "yes"})):
        answer = wire.post(path, user_code=device.user_code, **more)
        if language == "json":
            assert (answer.status, answer.codes) == (401, ["reauthentication_required"])
            assert answer.json["reauth_reason"] == "too_weak"
        else:
            assert "Confirm with a second factor" in answer.text
            assert f"/us-verify?next=%2Fdevice%3Fuser_code%3D{device.user_code}" in answer.page.links
    assert device.error() == "authorization_pending"
    assert wire.post("/us-verify", passcode=grace.app_code()).ok
    decide(wire, device)
    assert device.rp.claims(device.tokens()["id_token"])["acr"] == "aal2"


def test_app_with_max_age_requires_reauthentication_to_approve_a_device(app, language, ada, clock):
    wire = sign_in(Wire(app, language), ada)
    clock.shift(600)
    device = Device(tv(app, default_max_age=300))
    answer = wire.post("/device", user_code=device.user_code)
    if language == "json":
        assert (answer.status, answer.json["reauth_reason"]) == (401, "too_old")
    else:
        assert answer.location == f"/us-verify?next=%2Fdevice%3Fuser_code%3D{device.user_code}"
    sign_in(wire, ada)
    decide(wire, device)
    assert device.tokens()["access_token"]


# --- guessing -----------------------------------------------------------------------------------


@pytest.mark.settings(failures_per_hour=3)
def test_wrong_user_codes_are_limited_per_account_across_ip_addresses(app, language, ada, party, device, rows, clock):
    for number in range(3):
        wire = sign_in(Wire(app, language, address=f"192.0.2.{number}"), ada)
        assert wire.post("/device", user_code="BCDF-GHJK").codes == ["device_code_wrong"]
    for path, more in (("/device", {}), ("/device/consent", {"allow": "yes"})):
        stopped = wire.post(path, user_code=device.user_code, **more)
        assert (stopped.status, stopped.codes) == (429, ["too_many_requests"])
        assert stopped.headers["Retry-After"] == "3600"
    assert [facts["budget"] for facts in events(rows, "budget.exhausted")] == ["failures"]
    clock.shift(3601)
    assert decide(sign_in(Wire(app, language), ada), Device(party)).ok


@pytest.mark.settings(failures_per_hour=3)
def test_correct_and_malformed_user_codes_do_not_count_as_failures(hers, device, clock, party):
    for _ in range(5):
        assert hers.post("/device", user_code=device.user_code).ok
        assert hers.post("/device", user_code="no code").codes == ["device_code_wrong"]
    decide(hers, device)
    for _ in range(5):
        assert hers.post("/device", user_code=device.user_code).codes == ["device_code_over"]
    assert decide(hers, Device(party)).ok


@pytest.mark.settings(failures_per_hour=3)
def test_wrong_user_codes_do_not_block_sign_in_codes_of_the_account(app, ada, mail_to, device):
    wire = sign_in(Wire(app, "form"), ada)
    for _ in range(4):
        wire.post("/device", user_code="BCDF-GHJK")
    other = Wire(app, "form", address="192.0.2.9")
    assert other.post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok
    assert other.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok
    assert other.signed_in_as() == ada.email
    assert wire.post("/us-verify/send-code", chosen_method="email").ok
    assert wire.post("/us-verify", passcode=code_in(mail_to(ada.email))).ok


@pytest.mark.settings(failures_per_address=3)
def test_wrong_user_codes_are_limited_per_ip_address_across_accounts(app, language, people, device):
    wires = [sign_in(Wire(app, language), people.open(methods=["email"])) for _ in range(4)]
    assert [wire.post("/device", user_code="BCDF-GHJK").status for wire in wires] == [400, 400, 400, 429]
    assert wires[0].post("/device", user_code=device.user_code).codes == ["too_many_requests"]
    elsewhere = Wire(app, language, address="192.0.2.9")
    assert sign_in(elsewhere, people.open(methods=["email"])).post("/device", user_code=device.user_code).ok


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_hour=5)
def test_concurrent_wrong_user_codes_are_all_counted(app, ada, device):
    wires = [sign_in(Wire(app, "json"), ada) for _ in range(4)]
    for wire in wires:
        wire.fetch_csrf()
    with ThreadPoolExecutor(4) as pool:
        guess = lambda number: wires[number % 4].post("/device", user_code="BCDF-GHJK").status  # noqa: E731
        found = list(pool.map(guess, range(40)))
    assert sorted(found) == [400] * 5 + [429] * 35


# --- at the same moment -------------------------------------------------------------------------


@pytest.mark.both_databases
def test_only_one_of_many_concurrent_decisions_is_recorded(app, ada, device, rows):
    from app.oidc.models import Grant

    wires = [sign_in(Wire(app, "json"), ada) for _ in range(4)]
    for wire in wires:
        wire.fetch_csrf()

    def press(number: int) -> int:
        allow = "yes" if number % 2 else "no"
        return wires[number % 4].post("/device/consent", user_code=device.user_code, allow=allow).status

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(press, range(20)))
    decided = events(rows, "app.device_allowed") + events(rows, "app.device_refused")
    assert len(decided) == 1
    again = 10 if events(rows, "app.device_refused") else 5  # presses of the same button, in the same session
    assert sorted(found) == [200] * again + [400] * (20 - again)
    assert len(rows(Grant)) == len(events(rows, "app.device_allowed"))


@pytest.mark.parametrize("how", ["allowed", "refused", "expired"])
@pytest.mark.parametrize("allow", ["yes", "no"])
def test_decision_racing_with_an_earlier_one_does_not_override_it(
    browser, device, clock, monkeypatch, rows, how, allow
):
    from app.oidc.models import Grant

    if how == "expired":
        clock.shift(600)
    else:
        decide(browser, device, "yes" if how == "allowed" else "no")
    before = len(rows(Grant))
    monkeypatch.setattr("app.oidc.devices.state_of", lambda row: "waiting")
    same = (how, allow) in (("allowed", "yes"), ("refused", "no"))
    answer = browser.post("/device/consent", user_code=device.user_code, allow=allow)
    assert answer.codes == ([] if same else ["device_code_over"])
    assert len(rows(Grant)) == before


@pytest.mark.both_databases
def test_only_one_of_many_concurrent_polls_gets_tokens(app, browser, device, rows):
    from app.oidc.models import AccessToken

    decide(browser, device)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: device.poll(), range(40)))
    assert sorted(each.status_code for each in found) == [200] + [400] * 39
    assert {each.json["error"] for each in found if each.status_code == 400} == {"invalid_grant"}
    assert len(rows(AccessToken)) == 1
    (tokens,) = [each.json for each in found if each.status_code == 200]
    assert device.rp.userinfo(tokens["access_token"]).status_code == 200


@pytest.mark.both_databases
def test_only_one_of_many_concurrent_polls_is_not_slowed_down(device, rows):
    from app.oidc.models import DeviceRequest

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(lambda _: device.error(), range(8)))
    assert found == ["authorization_pending"] + ["slow_down"] * 7
    assert rows(DeviceRequest)[0].interval == 40


def test_device_that_never_fetched_tokens_causes_no_logout_token(app, ada):
    from app.extensions import db
    from app.outbox.models import Message

    party = tv(app, backchannel_logout_uri="https://tv.example.com/out")
    for fetches in (False, True):
        wire = sign_in(Wire(app, "form"), ada)
        device = Device(party)
        decide(wire, device)
        if fetches:
            device.tokens()
        wire.post("/logout")
        with app.app_context():
            assert len([row for row in db.session.query(Message) if row.kind == "app_logout"]) == fetches


def test_unknown_user_code_is_rejected_when_only_code_flow_clients_exist(app, browser):
    register(app)
    assert browser.post("/device", user_code="BCDF-GHJK").codes == ["device_code_wrong"]
