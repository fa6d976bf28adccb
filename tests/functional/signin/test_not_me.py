"""/not-me: someone who didn't request an email cancels the request, without being signed in."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.sessions.models import AuthSession, KnownDevice
from tests.sinks import code_in, denial_in, link_in

SEND, LINK = "/us-signin/send-code", "/us-verify-link"


@pytest.fixture
def mail(wire, ada, mail_to):
    """The mail of a code that ``wire`` asked for with Ada's address."""
    assert wire.post(SEND, identity=ada.email, chosen_method="email").ok
    return mail_to(ada.email)


@pytest.fixture
def owner(wire):
    """Ada's own browser, which asked for nothing."""
    return wire.elsewhere(agent="Mozilla/5.0 (iPhone) Safari/605", address="192.0.2.9")


def alive(rows) -> int:
    """Return how many sessions are open."""
    return sum(session.revoked_at is None for session in rows(AuthSession))


def test_opening_the_report_page_changes_nothing(wire, owner, mail, rows):
    path = denial_in(mail)
    before = [row.__dict__ | {"_sa_instance_state": None} for row in rows(Challenge)], len(rows(Event))
    for browser in (owner, wire, wire.elsewhere()):
        for method in ("HEAD", "GET", "GET"):
            assert browser.send(method, path).status == 200
    assert ([row.__dict__ | {"_sa_instance_state": None} for row in rows(Challenge)], len(rows(Event))) == before


def test_report_page_names_the_requesting_browser_but_not_the_account(browser_wire, ada, mail_to):
    browser_wire.post(SEND, identity=ada.email, chosen_method="email")
    page = browser_wire.elsewhere().get(denial_in(mail_to(ada.email)))
    assert page.page.heading == "Was this you?"
    assert "Firefox on Linux" in page.text
    assert "127.0.0.1" in page.text
    assert ada.email not in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"


def test_report_works_in_a_browser_without_cookies(browser_wire, ada, mail_to):
    browser_wire.post(SEND, identity=ada.email, chosen_method="email")
    owner = browser_wire.elsewhere()
    page = owner.get(denial_in(mail_to(ada.email)))
    answer = owner.post(denial_in(mail_to(ada.email)), sure="y", csrf=page.page.value("csrf_token"))
    assert answer.page.heading == "Canceled"


def test_report_without_confirmation_is_rejected(wire, owner, mail, ada):
    for _ in range(3):
        answer = owner.post(denial_in(mail))
        assert (answer.status, answer.codes) == (400, ["denial_unsure"])
    assert wire.post("/us-signin", identity=ada.email, passcode=code_in(mail)).ok


def test_reported_request_can_no_longer_sign_in(wire, owner, mail, ada, rows):
    answer = owner.post(denial_in(mail), sure="y")
    assert (answer.status, answer.json.get("state", "denied")) == (200, "denied")
    challenge = rows(Challenge)[0].id
    assert wire.get(f"/us-signin/status?challenge={challenge}").json == {"state": "refused"}
    assert wire.post("/us-signin/continue", identity=ada.email, challenge=challenge).codes == ["link_refused"]
    wire.get(link_in(mail, LINK).removeprefix("http://localhost"))
    assert wire.signed_in_as() is None
    assert owner.signed_in_as() is None


@pytest.mark.settings(denied_penalty=0)
def test_code_of_a_reported_request_is_rejected(wire, owner, mail, ada):
    owner.post(denial_in(mail), sure="y")
    assert wire.post("/us-signin", identity=ada.email, passcode=code_in(mail)).codes == ["generic_authn_failed"]


@pytest.mark.parametrize("way", ["code", "link"])
def test_report_ends_the_session_created_by_the_request(wire, owner, mail, ada, rows, way):
    link = link_in(mail, LINK).removeprefix("http://localhost")
    if way == "code":
        wire.post("/us-signin", identity=ada.email, passcode=code_in(mail))
    else:
        wire.get(link)
    assert wire.signed_in_as() == ada.email
    assert owner.post(denial_in(mail), sure="y").ok
    assert wire.signed_in_as() is None
    assert alive(rows) == 0


@pytest.mark.both_databases
def test_report_ends_the_session_approved_on_another_device(json_wire, ada, mail_to):
    shown = json_wire.post(SEND, identity=ada.email, chosen_method="email").json
    mail, owner = mail_to(ada.email), json_wire.elsewhere()
    token = parse_qs(urlsplit(link_in(mail, LINK)).query)["token"][0]
    owner.post(LINK, token=token, characters=shown["link_characters"])
    json_wire.post("/us-signin/continue", challenge=shown["challenge"])
    assert json_wire.signed_in_as() == ada.email
    owner.post(denial_in(mail), sure="y")
    assert json_wire.signed_in_as() is None


@pytest.mark.both_databases
def test_report_revokes_access_tokens_issued_by_the_session(json_wire, program, ada, mail_to):
    json_wire.post(SEND, identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    answer = json_wire.post("/us-signin?include_auth_token", identity=ada.email, passcode=code_in(mail))
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email
    json_wire.elsewhere().post(denial_in(mail), sure="y")
    assert program.signed_in_as() is None


def test_report_keeps_other_sessions(wire, owner, ada, sign_in, mail_to):
    sign_in(ada.email, by=owner)
    wire.post(SEND, identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    wire.post("/us-signin", identity=ada.email, passcode=code_in(mail))
    owner.post(denial_in(mail), sure="y")
    assert wire.signed_in_as() is None
    assert owner.signed_in_as() == ada.email


def test_report_revokes_the_known_device(wire, owner, mail, ada, rows):
    wire.post("/us-signin", identity=ada.email, passcode=code_in(mail))
    owner.post(denial_in(mail), sure="y")
    assert [row for row in rows(KnownDevice) if row.first_seen_at and row.revoked_at is None] == []


def test_report_revokes_the_known_device_after_logout(wire, owner, mail, ada, rows):
    wire.post("/us-signin", identity=ada.email, passcode=code_in(mail))
    wire.post("/logout")
    assert owner.post(denial_in(mail), sure="y").ok
    assert [row for row in rows(KnownDevice) if row.first_seen_at and row.revoked_at is None] == []
    assert [event.facts["sessions"] for event in rows(Event, name="link.denied_by_user")] == [0]


def test_report_is_idempotent(wire, owner, mail, rows):
    first, second = owner.post(denial_in(mail), sure="y"), owner.post(denial_in(mail), sure="y")
    assert (first.status, second.status) == (200, 200)
    events = rows(Event, name="link.denied_by_user")
    assert len(events) == 1
    assert events[0].challenge_id == rows(Challenge)[0].id


def test_report_is_accepted_for_a_day_after_the_code_expired(wire, owner, mail, ada, clock):
    wire.post("/us-signin", identity=ada.email, passcode=code_in(mail))
    clock.shift(24 * 3600 - 5)
    assert owner.post(denial_in(mail), sure="y").ok
    assert wire.signed_in_as() is None


def test_report_link_returns_404_after_a_day(wire, owner, mail, clock):
    clock.shift(24 * 3600 + 5)
    for answer in (owner.get(denial_in(mail)), owner.post(denial_in(mail), sure="y")):
        assert answer.status == 404


def test_report_of_a_deleted_challenge_succeeds(wire, owner, mail, database):
    database.query("DELETE FROM challenge RETURNING id")
    assert owner.get(denial_in(mail)).status == 200
    assert owner.post(denial_in(mail), sure="y").status == 200


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_report_without_csrf_token_or_from_another_origin_is_rejected(wire, owner, mail, rows):
    owner.get(denial_in(mail))
    answer = owner.post(denial_in(mail), csrf=None)
    assert (answer.status, answer.codes) == (400, ["csrf_token_missing"])
    assert rows(Challenge)[0].denied_at is None
    foreign = owner.post(denial_in(mail), headers={"Origin": "https://evil.example"})
    assert foreign.status == 400
    assert rows(Challenge)[0].denied_at is None


@pytest.mark.one_database
def test_altered_or_truncated_report_token_returns_404(browser_wire, ada, mail_to):
    browser_wire.post(SEND, identity=ada.email, chosen_method="email")
    path = denial_in(mail_to(ada.email))
    token = path.removeprefix("/not-me/")
    wrong = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    wrong += [token[:i] for i in range(1, len(token), 3)] + [f"s{token[1:]}", token + "0", "x" * 5000, "%00", "\u0661"]
    for each in wrong:
        assert browser_wire.get(f"/not-me/{each}").status == 404, each
    assert browser_wire.get(path).status == 200


def test_report_and_sign_in_tokens_are_not_interchangeable(wire, owner, mail, rows):
    denial = denial_in(mail).removeprefix("/not-me/")
    token = parse_qs(urlsplit(link_in(mail, LINK)).query)["token"][0]
    assert owner.get(f"/not-me/{token}").status == 404
    assert owner.post(f"/not-me/{token}", sure="y").status == 404
    for path in (f"{LINK}?token={denial}", f"/confirm/{denial}"):
        assert wire.get(path).status == 302
    assert wire.signed_in_as() is None
    assert rows(Challenge)[0].spent_at is None


def test_report_rate_limits_the_requesting_ip_address(wire, owner, mail, ada, clock):
    owner.post(denial_in(mail), sure="y")
    for path, fields in ((SEND, {"chosen_method": "email"}), ("/us-signin", {"passcode": "00000000"})):
        answer = wire.post(path, identity=ada.email, **fields)
        assert (answer.status, answer.codes) == (429, ["too_many_requests"])
        assert 590 <= int(answer.headers["Retry-After"]) <= 601
    assert owner.post(SEND, identity=ada.email, chosen_method="email").ok


@pytest.mark.settings(trusted_proxies=1)
def test_report_does_not_block_clients_without_a_known_ip_address(wire, owner, mail, ada):
    owner.post(denial_in(mail), sure="y")
    assert wire.post(SEND, identity="eve@example.com", chosen_method="email").ok


def test_report_of_a_reauthentication_code_ends_every_session(wire, owner, ada, sign_in, mail_to):
    sign_in(ada.email)
    sign_in(ada.email, by=owner)
    wire.post("/us-verify/send-code", chosen_method="email")
    assert owner.elsewhere(address="192.0.2.10").post(denial_in(mail_to(ada.email)), sure="y").ok
    assert (wire.signed_in_as(), owner.signed_in_as()) == (None, None)


def test_report_of_a_registration_invalidates_its_confirmation_link(wire, owner, mail_to):
    wire.post("/register", email="new@example.com")
    mail = mail_to("new@example.com")
    assert owner.post(denial_in(mail), sure="y").ok
    assert wire.get(link_in(mail, "/confirm/").removeprefix("http://localhost")).status == 302
    assert wire.signed_in_as() is None


def test_already_registered_email_can_be_reported(wire, owner, ada, mail_to, rows):
    wire.post("/register", email=ada.email)
    assert owner.post(denial_in(mail_to(ada.email)), sure="y").ok
    assert rows(Event, name="link.denied_by_user")


def test_report_link_does_not_contain_the_email(wire, people, mail_to):
    email = people.open(email="lovelace@example.com").email  # letters that no number in base 16 has
    wire.post(SEND, identity=email, chosen_method="email")
    assert "lovelace" not in denial_in(mail_to(email))
    assert "@" not in denial_in(mail_to(email))


def test_sms_contains_no_report_link(wire, people, text_to):
    people.open(email="eve@example.com", phone="+16502530001", methods=["sms"])
    wire.post(SEND, identity="eve@example.com", chosen_method="sms")
    assert "not-me" not in text_to("+16502530001").text


def test_approval_page_links_to_the_report(browser_wire, ada, mail_to):
    browser_wire.post(SEND, identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    page = browser_wire.elsewhere().get(link_in(mail, LINK).removeprefix("http://localhost"))
    assert f"http://localhost{denial_in(mail)}" in page.page.links


def test_request_can_be_reported_after_wrong_confirmation_characters(owner, mail, rows):
    token = parse_qs(urlsplit(link_in(mail, LINK)).query)["token"][0]
    for _ in range(2):
        owner.post(LINK, token=token, characters="OIL")
    assert owner.post(denial_in(mail), sure="y").ok
    assert rows(Challenge)[0].denied_at is not None
