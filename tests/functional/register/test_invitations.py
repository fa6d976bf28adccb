"""/invite: accepting an invitation creates an account, or adds an existing one to its groups."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.groups.models import GroupMembership
from app.invitations.models import Invitation, InvitationUse
from app.sessions.models import AuthSession
from app.users import Identity, User
from tests.groups import put_in
from tests.invitations import invite
from tests.signed_in import sign_in
from tests.sinks import code_in, link_in
from tests.wire import Wire

ADA, NEW = "ada@example.com", "new@example.com"
by_invitation = pytest.mark.settings(registration="invite")


@pytest.fixture
def staff(app, people):
    """A group with one member."""
    put_in(app, people.open(email="boss@example.com"), "staff")
    return "staff"


@pytest.fixture
def mailed(app, mail_to, staff):
    """The path of an invitation that was mailed to Ada."""
    invite(app, email=ADA, groups=[staff])
    return link_in(mail_to(ADA), "/invite/").removeprefix("http://localhost")


def names(rows) -> list[str]:
    return [event.name for event in rows(Event)]


def emails(rows) -> list[str]:
    return [row.value for row in rows(Identity, kind="email")]


@by_invitation
def test_emailed_invitation_creates_an_account_with_one_click(wire, mailed, rows):
    answer = wire.post(mailed)
    assert answer.ok, answer
    assert answer.location == ("/" if wire.language == "form" else None)
    assert wire.signed_in_as() == ADA
    ada = next(row for row in rows(Identity) if row.value == ADA)
    user = next(row for row in rows(User) if row.id == ada.user_id)
    assert user.confirmed_at is not None
    assert [row.user_id for row in rows(GroupMembership)][1:] == [user.id]
    assert [row.amr for row in rows(AuthSession)] == ["confirm"]
    assert {"invitation.created", "account.created", "address.confirmed", "invitation.accepted"} <= set(names(rows))


def test_opening_the_link_neither_uses_it_nor_signs_in(wire, mailed, rows):
    for headers in ({}, {"Sec-Purpose": "prefetch"}, {"User-Agent": "LinkScanner/1.0"}):
        answer = wire.get(mailed, headers=headers)
        assert answer.status == 200
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert wire.signed_in_as() is None
    assert [row.used for row in rows(Invitation)] == [0]
    assert ADA not in emails(rows)
    assert wire.post(mailed).ok


def test_anonymous_page_hides_groups_and_masks_the_email(wire, mailed):
    answer = wire.get(mailed)
    assert "staff" not in answer.text
    assert ADA not in answer.text
    assert "a...@example.com" in answer.text
    if wire.language == "json":
        assert set(answer.json) == {"csrf_token", "invitation"}
        assert set(answer.json["invitation"]) == {"email", "expires_at", "needs_email"}


def test_emailed_invitation_works_once(wire, mailed, rows):
    assert wire.post(mailed).ok
    other = wire.elsewhere()
    for answer in (other.get(mailed), other.post(mailed)):
        assert answer.status == 410
        assert wire.language == "form" or answer.codes == ["invitation_used"]
    assert other.signed_in_as() is None
    assert len(rows(InvitationUse)) == 1


@pytest.mark.one_database
def test_page_of_a_used_invitation_says_it_cannot_be_used(browser_wire, mailed):
    browser_wire.post(mailed)
    page = browser_wire.elsewhere().get(mailed).page
    assert page.heading == "This invitation can't be used"


@pytest.mark.parametrize(("what", "code"), [("expire", "invitation_expired"), ("revoke", "invitation_revoked")])
def test_expired_or_revoked_invitation_creates_no_account(app, wire, mailed, rows, clock, what, code):
    if what == "expire":
        clock.shift(7 * 86400 + 1)
    else:
        from app.extensions import db
        from app.invitations import service

        with app.app_context():
            service.revoke(service.newest(1)[0], by="operator")
            db.session.commit()
    for answer in (wire.get(mailed), wire.post(mailed)):
        assert answer.status == 410
        if wire.language == "json":
            assert answer.codes == [code]
    assert ADA not in emails(rows)


@pytest.mark.parametrize("cut", ["short", "long", "other", "expiry", "nul"])
def test_altered_invitation_token_returns_404(wire, mailed, cut, statements):
    kid, row, expiry, mac = mailed.removeprefix("/invite/").split(".")
    token = {
        "short": mailed[8:-1],
        "long": mailed[8:] + "A",
        "other": f"{kid}.{'0' * 32}.{expiry}.{mac}",
        "expiry": f"{kid}.{row}.{int(expiry) + 60}.{mac}",
        "nul": "x%00",
    }[cut]
    for answer in (wire.get(f"/invite/{token}"), wire.post(f"/invite/{token}")):
        assert answer.status == 404
        if wire.language == "json":
            assert answer.codes == ["invitation_invalid"]


def test_existing_user_signs_in_before_joining(wire, people, mailed, mail_to, rows):
    ada = people.open(email=ADA)
    refused = wire.post(mailed)
    if wire.language == "json":
        assert (refused.status, refused.codes) == (400, ["invitation_has_account"])
    else:
        assert "/us-signin?next=/invite" in refused.page.links
    assert wire.signed_in_as() is None
    wire.post("/us-signin/send-code", identity=ADA, chosen_method="email", next="/invite")
    arrived = wire.post("/us-signin", identity=ADA, passcode=code_in(mail_to(ADA)), next="/invite")
    if wire.language == "form":
        assert arrived.location == "/invite"
        page = wire.get("/invite").page
        assert "staff" in str(wire.get("/invite").text)
        assert page.heading.startswith("You're invited")
    assert wire.post(mailed).ok
    assert ada.id in [row.user_id for row in rows(GroupMembership)]
    assert len(emails(rows)) == 2


def test_signed_in_user_joins_with_the_existing_account(app, wire, people, staff, rows):
    bob = people.open(email="bob@example.com")
    link = invite(app, groups=[staff], uses=2)
    sign_in(wire, bob)
    shown = wire.get(link)
    assert "staff" in shown.text
    assert rows(InvitationUse) == []
    for _ in range(2):
        assert wire.post(link).ok
    assert bob.id in [row.user_id for row in rows(GroupMembership)]
    assert [row.used for row in rows(Invitation)] == [1], "twice by one account counts once"
    if wire.language == "json":
        assert wire.get(link).json["invitation"]["accepted"] is True


@by_invitation
def test_shared_invitation_requires_confirming_the_email_by_code(app, wire, mail_to, staff, rows):
    link = invite(app, groups=[staff], uses=2)
    answer = wire.post(link, email=NEW)
    assert answer.location == ("/confirm" if wire.language == "form" else None)
    assert [row.used for row in rows(Invitation)] == [0], "nothing is counted before the email is confirmed"
    assert wire.signed_in_as() is None
    assert wire.post("/confirm", email=NEW, passcode=code_in(mail_to(NEW))).ok
    assert wire.signed_in_as() == NEW
    assert [row.used for row in rows(Invitation)] == [1]
    assert len(rows(GroupMembership)) == 2


@by_invitation
def test_shared_invitation_can_be_confirmed_by_link_in_any_browser(app, wire, mail_to, staff, rows):
    wire.post(invite(app, groups=[staff]), email=NEW)
    path = link_in(mail_to(NEW), "/confirm/").removeprefix("http://localhost")
    assert wire.elsewhere().post(path).ok
    assert [row.used for row in rows(Invitation)] == [1]
    assert len(rows(GroupMembership)) == 2


@by_invitation
def test_sign_in_by_code_counts_as_a_use_of_the_invitation(app, wire, mail_to, rows):
    wire.post(invite(app), email=NEW)
    wire.post("/us-signin/send-code", identity=NEW, chosen_method="email")
    assert wire.post("/us-signin", identity=NEW, passcode=code_in(mail_to(NEW))).ok
    assert [row.used for row in rows(Invitation)] == [1]


@by_invitation
def test_only_as_many_can_confirm_as_the_invitation_has_uses(app, wire, mail_to, rows):
    link = invite(app, uses=1)
    waiting = [(wire.elsewhere(), f"person{number}@example.com") for number in range(2)]
    for browser, email in waiting:
        browser.post(link, email=email)
    codes = [code_in(mail_to(email)) for _, email in waiting]
    answers = [
        browser.post("/confirm", email=email, passcode=code)
        for (browser, email), code in zip(waiting, codes, strict=True)
    ]
    assert [answer.codes for answer in answers] == [[], ["invitation_used"]]
    assert [browser.signed_in_as() for browser, _ in waiting] == ["person0@example.com", None]
    assert [row.confirmed_at is not None for row in rows(User)] == [True, False]


def test_used_up_invitation_does_not_block_open_registration(app, wire, people, mail_to, rows, staff):
    link = invite(app, uses=1, groups=[staff])
    wire.post(link, email=NEW)
    sign_in(other := wire.elsewhere(), people.open(email="bob@example.com"))
    assert other.post(link).ok
    assert wire.post("/confirm", email=NEW, passcode=code_in(mail_to(NEW))).ok
    assert wire.signed_in_as() == NEW
    assert len(rows(GroupMembership)) == 2, "it led to no group"


@pytest.mark.every_pair
@by_invitation
def test_invitation_limit_holds_under_concurrent_use(app, wire, people, rows):
    link = invite(app, uses=5)
    browsers = [sign_in(wire.elsewhere(), people.open(email=f"p{number}@example.com")) for number in range(40)]
    for browser in browsers:
        browser.fetch_csrf()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda browser: browser.post(link).status, browsers))
    assert len([status for status in answers if status in (200, 302)]) == 5
    assert [row.used for row in rows(Invitation)] == [5]
    assert len(rows(InvitationUse)) == 5


def test_concurrent_clicks_create_one_account(wire, mailed, rows):
    browsers = [wire.elsewhere() for _ in range(4)]
    for browser in browsers:
        browser.fetch_csrf()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda browser: browser.post(mailed), browsers))
    assert emails(rows).count(ADA) == 1
    assert [row.used for row in rows(Invitation)] == [1]
    assert len([browser for browser in browsers if browser.signed_in_as()]) == 1


def test_invitation_replaces_an_unconfirmed_account_with_the_email(wire, people, mailed, rows):
    people.open(email=ADA, confirmed=False, methods=["email", "authenticator"])
    assert wire.post(mailed).ok
    assert wire.signed_in_as() == ADA
    assert len(rows(User)) == 2, "what was set up there before is gone"


@by_invitation
def test_shared_invitation_does_not_reveal_existing_accounts(app, wire, people, rows):
    people.open(email=ADA)
    link = invite(app, uses=5)
    known, unknown = (wire.elsewhere().post(link, email=email) for email in (ADA, NEW))
    assert (known.status, known.location, known.codes) == (unknown.status, unknown.location, unknown.codes)
    if wire.language == "json":
        assert set(known.json) == set(unknown.json)
    assert len(rows(Challenge)) == 2
    assert [row.accepted_at for row in rows(InvitationUse)] == [None], "who has an account is noted nowhere"


@by_invitation
@pytest.mark.parametrize("email", ["", "no address", "a@b@c"])
def test_invalid_email_is_rejected(app, wire, rows, email):
    answer = wire.post(invite(app), email=email)
    assert answer.codes == ["invalid_email_address" if email else "email_not_provided"]
    assert rows(User) == []


@pytest.mark.settings(
    registration="domains", registration_domains=["corp.example"], registration_denied_domains=["bad.example"]
)
@pytest.mark.parametrize(("email", "codes"), [(NEW, []), ("x@bad.example", ["email_domain_not_allowed"])])
def test_shared_invitation_overrides_allowed_but_not_denied_domains(app, wire, email, codes):
    assert wire.post(invite(app), email=email).codes == codes


@pytest.mark.settings(registration="invite", registration_denied_domains=["example.com"])
def test_emailed_invitation_overrides_denied_domains(wire, mailed):
    assert wire.post(mailed).ok


@pytest.mark.settings(registration="off")
def test_invitation_creates_no_account_when_registration_is_off(app, wire, mailed, people, rows):
    for path, body in ((mailed, {}), (invite(app), {"email": NEW})):
        assert wire.post(path, **body).codes == ["registration_closed"]
    assert len(rows(User)) == 1
    sign_in(wire, people.open(email="bob@example.com"))
    assert wire.post(mailed).ok, "who has an account joins"


@pytest.mark.settings(second_factor="required", second_factor_for=["email", "password", "sms"], registration="invite")
def test_invitation_requires_second_step_setup_if_required(wire, mailed):
    answer = wire.post(mailed)
    assert wire.signed_in_as() is None
    if wire.language == "json":
        assert answer.json["tf_required"] is True
    else:
        assert answer.location == "/tf-setup"


def test_deleted_group_of_an_invitation_is_skipped(app, wire, mailed, rows):
    from app.extensions import db
    from app.groups import service as groups

    with app.app_context():
        groups.delete("staff", by="operator")
        db.session.commit()
    assert wire.post(mailed).ok
    assert rows(GroupMembership) == []


def test_invitation_email_uses_the_chosen_language(app, mail_to):
    invite(app, email=ADA, language="de")
    mail = mail_to(ADA)
    assert mail.subject != "You're invited to Latchkey"
    invite(app, email=ADA)
    assert mail_to(ADA).subject == "You're invited to Latchkey"


@pytest.mark.one_database
def test_revoked_invitation_sends_no_email(app, deliver):
    from app.extensions import db
    from app.invitations import service

    invite(app, email=ADA)
    with app.app_context():
        service.revoke(service.newest(1)[0], by="operator")
        db.session.commit()
    assert deliver() == []


@pytest.mark.one_database
def test_invitation_token_is_not_stored(app, browser_wire, mailed, people, mail_to, database):
    people.open(email=ADA)
    browser_wire.post(mailed)
    browser_wire.post("/us-signin/send-code", identity=ADA, chosen_method="email", next="/invite")
    token = mailed.removeprefix("/invite/")
    for table in ("challenge", "message", "event", "invitation"):
        assert token not in str(database.query(f'SELECT * FROM "{table}"'))


@pytest.mark.one_database
def test_invitation_of_another_service_returns_404(make_app, browser_wire, app, mailed):
    other = Wire(make_app(public_url="http://other.localhost"), "form")
    assert other.get(mailed, headers={"Host": "other.localhost"}).status == 404


@pytest.mark.one_database
def test_old_invitations_are_pruned(app, clock, rows):
    from app.invitations.service import prune_invitations

    invite(app)
    for days, left in ((7 + 29, 1), (2, 0)):
        clock.shift(days * 86400)
        with app.app_context():
            prune_invitations()
        assert len(rows(Invitation)) == left
