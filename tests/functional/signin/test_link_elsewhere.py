"""A link opened in another browser: the characters are entered there, and the first browser signs in."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.crypto.secrets import UNAMBIGUOUS
from app.sessions.models import AuthSession
from tests.sinks import link_in
from tests.wire import Answer, Wire

SEND, LINK, STATUS, GO_ON = "/us-signin/send-code", "/us-verify-link", "/us-signin/status", "/us-signin/continue"
explicit = pytest.mark.settings(generic_responses=False)


def characters_in(answer: Answer) -> str:
    """Return the characters that the answer of send-code shows."""
    shown = re.search(r'<p class="carry-characters".*?</p>', answer.text)
    return answer.json.get("link_characters") or re.sub(r"<.*?>| ", "", shown[0] if shown else "")


def named_in(answer: Answer) -> str:
    """Return what the answer of send-code names its request by."""
    return str(answer.json.get("challenge") or answer.page.value("challenge"))


def other_characters(right: str) -> str:
    """Return as many characters that are wrong."""
    return "".join(UNAMBIGUOUS[UNAMBIGUOUS.index(each) - 1] for each in right)


@dataclass
class Request:
    """What ``wire`` asked for, and where its mail was opened."""

    asked: Wire
    phone: Wire
    answer: Answer
    link: str

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.link).query)["token"][0]

    @property
    def characters(self) -> str:
        return characters_in(self.answer)

    def type(self, characters: str | None, by: Wire | None = None) -> Answer:
        """Enter ``characters`` on the page of the link."""
        return (by or self.phone).post(LINK, token=self.token, characters=characters)

    def approve(self) -> Answer:
        return self.type(self.characters)

    @property
    def challenge(self) -> str:
        """The request's ID: the page's field, or the value that an API client gets."""
        return named_in(self.answer)

    @property
    def state(self) -> str:
        return self.asked.get(f"{STATUS}?challenge={self.challenge}").json["state"]

    def go_on(self, **fields: object) -> Answer:
        return self.asked.post(GO_ON, **{"identity": "ada@example.com", "challenge": self.challenge} | fields)


@pytest.fixture
def asked(wire, ada, mail_to) -> Request:
    """A request of Ada's, its mail opened on her phone."""
    answer = wire.post(SEND, identity=ada.email, chosen_method="email", next="/us-setup")
    link = link_in(mail_to(ada.email), LINK).removeprefix("http://localhost")
    phone = wire.elsewhere(agent="Mozilla/5.0 (iPhone) Safari/605", address="192.0.2.9")
    return Request(wire, phone, answer, link)


def test_correct_characters_sign_in_the_requesting_browser(asked, ada):
    assert asked.state == "waiting"
    assert asked.approve().ok
    assert asked.state == "approved"
    assert asked.asked.signed_in_as() is None
    answer = asked.go_on()
    assert answer.status == (302 if asked.asked.language == "form" else 200)
    assert asked.asked.signed_in_as() == ada.email
    assert asked.state == "spent"


def test_approving_browser_gets_no_session(asked, rows):
    asked.phone.get(asked.link)
    asked.approve()
    assert asked.phone.signed_in_as() is None
    assert not asked.phone.post(GO_ON).ok
    assert asked.phone.get(asked.link).status == 200
    assert rows(AuthSession) == []
    assert "latchkey_session" not in asked.phone.cookies


def test_approved_sign_in_redirects_to_next(browser_wire, ada, mail_to):
    shown = browser_wire.post(SEND, identity=ada.email, chosen_method="email", next="/us-setup")
    link = link_in(mail_to(ada.email), LINK).removeprefix("http://localhost")
    request = Request(browser_wire, browser_wire.elsewhere(), shown, link)
    request.approve()
    assert request.go_on(challenge=shown.page.value("challenge")).location == "/us-setup"


def test_approval_page_shows_requester_but_neither_code_nor_characters(asked, smtp):
    if asked.asked.language == "json":
        assert asked.phone.get(asked.link).json.keys() == {"state", "csrf_token"}
        return
    page = asked.phone.get(asked.link)
    assert "Firefox on Linux" in page.text
    assert "127.0.0.1" in page.text
    assert page.page.attributes("characters")["value"] == ""
    assert characters_in(page) == ""
    assert not re.search(r"\d{4} \d{4}", page.text)
    assert asked.approve().page.heading == "Approved. Go back to Firefox on Linux"


def test_confirmation_characters_are_in_neither_email_nor_database(asked, smtp, database):
    asked.approve()
    kept = [repr(database.query(f'SELECT * FROM "{table}"')) for table in database._tables]
    said = [smtp.mails[0].text, smtp.mails[0].html, *kept]
    spelled = re.compile(rf"(?<![\w-])(?:{asked.characters}|{' '.join(asked.characters)})(?![\w-])", re.IGNORECASE)
    assert [text for text in said if spelled.search(text)] == []


@pytest.mark.parametrize("write", [str.lower, " ".join, lambda text: f"  {text}\t"])
def test_confirmation_characters_ignore_case_and_whitespace(asked, write):
    assert asked.type(write(asked.characters)).ok


@pytest.mark.parametrize("typed", ["", "   ", None])
def test_empty_characters_do_not_count_as_an_attempt(asked, typed, rows):
    for _ in range(3):
        answer = asked.type(typed)
        assert (answer.status, answer.codes) == (400, ["link_elsewhere"])
    assert rows(Challenge)[0].carry_tries == 0
    assert asked.approve().ok


def test_approval_succeeds_after_one_wrong_attempt(asked, rows):
    answer = asked.type(other_characters(asked.characters))
    assert (answer.status, answer.codes) == (400, ["link_characters_wrong"])
    assert asked.state == "waiting"
    assert asked.approve().ok
    assert rows(Challenge)[0].carry_tries == 2


def test_second_wrong_attempt_refuses_the_request_on_both_devices(asked, rows):
    asked.type(other_characters(asked.characters))
    answer = asked.type(other_characters(asked.characters))
    assert (answer.status, answer.codes) == (400, ["link_refused"])
    assert asked.state == "refused"
    assert asked.go_on().codes == ["link_refused"]
    assert asked.approve().codes == ["generic_authn_failed"]
    assert rows(AuthSession) == []


def test_code_of_a_refused_request_is_rejected(asked, smtp, ada):
    from tests.sinks import code_in

    for _ in range(2):
        asked.type(other_characters(asked.characters))
    assert not asked.asked.post("/us-signin", identity=ada.email, passcode=code_in(smtp.mails[0])).ok


@pytest.mark.parametrize("typed", ["0OI", "АВС", "x" * 5000, "ABCDEF", "A", "\ud800"])
@pytest.mark.one_database
def test_impossible_characters_are_rejected_without_counting_an_attempt(asked, typed, rows):
    answer = asked.type(typed.encode("utf-8", "replace").decode())
    assert (answer.status, answer.codes) == (400, ["link_characters_wrong"])
    assert rows(Challenge)[0].carry_tries == 0


def test_continue_before_approval_is_rejected(asked):
    answer = asked.go_on()
    assert (answer.status, answer.codes) == (400, ["link_not_approved"])
    assert asked.asked.signed_in_as() is None


def test_continue_before_approval_shows_the_code_page_again(browser_wire, ada, mail_to):
    shown = browser_wire.post(SEND, identity=ada.email, chosen_method="email")
    answer = browser_wire.post(GO_ON, identity=ada.email, challenge=shown.page.value("challenge"))
    assert answer.page.heading == "Check your email"
    assert characters_in(answer) == characters_in(shown) != ""


def test_wrong_code_keeps_the_characters_on_the_page(browser_wire, ada):
    shown = browser_wire.post(SEND, identity=ada.email, chosen_method="email")
    again = browser_wire.post("/us-signin", identity=ada.email, chosen_method="email", passcode="00000000")
    assert characters_in(again) == characters_in(shown) != ""


def test_approved_request_can_be_continued_only_once(asked, rows):
    asked.approve()
    assert asked.go_on().ok
    asked.asked.post("/logout")
    answer = asked.go_on()
    ended = "link_expired" if asked.asked.language == "form" else "generic_authn_failed"
    assert (answer.status, answer.codes) == (400, [ended]), "to a page that signing out has cut off, it has run out"
    assert len(rows(AuthSession)) == 1


def test_approval_is_idempotent(asked, rows):
    assert asked.approve().ok
    assert asked.approve().ok
    assert [event.name for event in rows(Event)].count("link.approved") == 1


def test_link_in_the_requesting_browser_still_works_after_an_approval(asked, ada):
    asked.approve()
    assert asked.asked.get(asked.link).location == "/us-setup"
    assert asked.asked.signed_in_as() == ada.email
    asked.asked.post("/logout")
    assert not asked.go_on().ok


def test_approved_request_expires(asked, clock):
    asked.approve()
    clock.shift(601)
    assert asked.state == "expired"
    answer = asked.go_on()
    assert (answer.status, answer.codes) == (400, ["link_expired"])


def test_expired_link_cannot_be_approved(asked, clock, rows):
    clock.shift(601)
    assert asked.approve().codes == ["link_expired"]
    assert rows(Challenge)[0].carry_tries == 0


def test_used_link_cannot_be_approved(asked, rows):
    asked.asked.get(asked.link)
    assert asked.approve().codes == ["generic_authn_failed"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_disabled_account_can_neither_approve_nor_continue(app, asked, when):
    if when == "after":
        asked.approve()
    app.test_cli_runner().invoke(args=["users", "disable", "ada@example.com"])
    if when == "before":
        assert asked.approve().codes == ["generic_authn_failed"]
    assert not asked.go_on().ok
    assert asked.asked.signed_in_as() is None


def test_other_browser_can_neither_see_status_nor_continue(asked, wire):
    asked.approve()
    other = wire.elsewhere()
    assert other.get(STATUS).json == {"state": "expired"}
    other.fetch_csrf()
    assert other.get(STATUS).json == {"state": "expired"}
    row = asked.answer.page.value("challenge") or asked.answer.json["challenge"].partition(".")[0]
    assert other.get(f"{STATUS}?challenge={row}").json == {"state": "expired"}
    assert other.post(GO_ON, challenge=row).codes == ["link_expired"]
    assert asked.go_on().ok


@pytest.mark.parametrize("name", ["x", "%00", "0" * 32, "0" * 4000, "%ed%a0%80", "1.2"])
@pytest.mark.one_database
def test_status_of_an_unknown_challenge_is_expired(asked, name):
    answer = asked.asked.get(f"{STATUS}?challenge={name}")
    assert (answer.status, answer.json) == (200, {"state": "expired"})


def test_status_is_read_only_and_takes_one_statement(asked, rows, statements):
    before = [row.__dict__ | {"_sa_instance_state": None} for row in rows(Challenge)], len(rows(Event))
    where = f"{STATUS}?challenge={asked.challenge}"
    with statements() as seen:
        answer = asked.asked.get(where)
    assert len(seen) == 1
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert ([row.__dict__ | {"_sa_instance_state": None} for row in rows(Challenge)], len(rows(Event))) == before


def test_api_client_without_cookies_continues_with_its_challenge(program, ada, mail_to, json_wire):
    given = program.post(SEND, identity=ada.email, chosen_method="email").json
    token = parse_qs(urlsplit(link_in(mail_to(ada.email), LINK)).query)["token"][0]
    where = f"{STATUS}?challenge={given['challenge']}"
    assert program.get(where).json == {"state": "waiting"}
    json_wire.post(LINK, token=token, characters=given["link_characters"])
    assert program.get(where).json == {"state": "approved"}
    answer = program.post(f"{GO_ON}?include_auth_token", challenge=given["challenge"])
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email
    assert program.get(where).json == {"state": "spent"}


def test_status_and_continue_do_not_reveal_whether_an_account_exists(wire, ada):
    answers = []
    for who in (ada.email, "nobody@example.com"):
        browser = wire.elsewhere()
        shown = browser.post(SEND, identity=who, chosen_method="email")
        assert re.fullmatch(rf"[{UNAMBIGUOUS}]{{3}}", characters_in(shown))
        request = Request(browser, browser, shown, "")
        answers.append(({"state": request.state}, request.go_on(identity=who).codes))
    assert answers[0] == answers[1] == ({"state": "waiting"}, ["link_not_approved"])


def test_sms_code_request_has_no_confirmation_characters(wire, people):
    people.open(email="eve@example.com", phone="+16502530001", methods=["sms"])
    answer = wire.post(SEND, identity="eve@example.com", chosen_method="sms")
    assert characters_in(answer) == ""
    assert wire.language == "form" or "link_characters" not in answer.json


def test_resend_shows_the_same_characters(wire, asked, ada, clock):
    clock.shift(31)
    again = wire.post(SEND, identity=ada.email, chosen_method="email")
    assert characters_in(again) == asked.characters


@pytest.mark.parametrize("path", [LINK, GO_ON])
@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_approve_and_continue_require_a_csrf_token(asked, path, rows):
    asked.approve() if path == GO_ON else None
    answer = asked.asked.post(path, csrf=None, token=asked.token, characters=asked.characters)
    assert (answer.status, answer.codes) == (400, ["csrf_token_missing"])
    assert rows(AuthSession) == []
    assert (rows(Challenge)[0].approved_at is None) == (path == LINK)


def test_approving_device_may_be_signed_in_to_another_account(asked, people, sign_in):
    eve = people.open(email="eve@example.com")
    sign_in(eve.email, by=asked.phone)
    assert asked.phone.get(asked.link).status == 200
    assert asked.approve().status == 200
    assert asked.go_on().ok
    assert asked.phone.signed_in_as() == eve.email


@pytest.mark.settings(redirect_behavior="spa", post_login_url="https://front.example/in")
def test_spa_can_continue_an_approved_request_with_json(json_wire, ada, mail_to):
    shown = json_wire.post(SEND, identity=ada.email, chosen_method="email")
    link = link_in(mail_to(ada.email), LINK).removeprefix("http://localhost")
    phone = Wire(json_wire.app, "form")
    assert phone.get(link).page.heading == "Signing in on another device?"
    request = Request(json_wire, phone, shown, link)
    assert request.approve().page.heading.startswith("Approved")
    assert request.go_on().json["user"]["id"]


def test_link_opening_wrong_characters_and_approval_are_audited(asked, rows):
    asked.phone.get(asked.link)
    asked.type(other_characters(asked.characters))
    asked.approve()
    asked.go_on()
    names = [event.name for event in rows(Event) if event.name.startswith("link.")]
    assert names == ["link.opened_unbound", "link.characters_wrong", "link.approved"]
    assert asked.characters not in repr([event.facts for event in rows(Event)])


@pytest.mark.settings(limits=False)
def test_concurrent_continue_requests_create_one_session(asked, rows):
    asked.approve()
    clients = [asked.asked.elsewhere() for _ in range(8)]
    for client in clients:
        cookie = asked.asked.cookies["latchkey_browser"]
        client.client.set_cookie("latchkey_browser", cookie, domain="localhost")
        client.fetch_csrf()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda client: client.post(GO_ON, challenge=asked.challenge), clients))
    assert sum(answer.ok for answer in answers) == 1
    assert len(rows(AuthSession)) == 1


AGENTS = {
    "android": "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36",
    "in its mail app": "Mozilla/5.0 (Linux; Android 16; Pixel 9; wv) AppleWebKit/537.36 Version/4.0 Chrome/140.0.0.0"
    " Mobile Safari/537.36",
    "desk": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}


@pytest.mark.parametrize(("there", "is_open"), [("in its mail app", True), ("desk", False)])
def test_approval_page_suggests_entering_the_code_before_approving(browser_wire, ada, link_for, there, is_open):
    asked = browser_wire.elsewhere(agent=AGENTS["android"])
    link = link_for(ada.email, by=asked)
    page = browser_wire.elsewhere(agent=AGENTS[there]).get(link)
    told = page.text
    assert told.index("enter the code from the same email") < told.index("I started on this device")
    assert told.index("I started on this device") < told.index("Approve sign-in")
    assert ('<details class="other-way" open>' in told) is is_open
    assert "http://localhost" + link.replace("&", "&amp;") in told, "to be opened in the browser where one started"


def test_link_copied_into_the_requesting_browser_signs_in(browser_wire, ada, link_for):
    link = link_for(ada.email, by=browser_wire)
    shown = re.search(r"(/us-verify-link\?token=[^<]+)</li>", browser_wire.elsewhere().get(link).text)
    assert browser_wire.get(shown[1]).status == 302
    assert browser_wire.signed_in_as() == ada.email


def test_character_attempts_and_approval_are_limited_atomically_in_the_database(asked, app, rows):
    """Whatever the request does next: no try beyond the budget, none after the approval, and one approval."""
    from app.challenges import approvals
    from app.extensions import db

    challenge = rows(Challenge)[0]
    with app.app_context():
        assert [approvals.count_confirmation_try(challenge) for _ in range(3)] == [True, True, False]
        assert approvals.approve(challenge)
        assert not approvals.approve(challenge)
        db.session.commit()
    assert rows(Challenge)[0].carry_tries == 2


def test_approved_request_accepts_no_further_character_attempts(asked, app, rows):
    from app.challenges import approvals

    assert asked.approve().ok
    with app.app_context():
        assert not approvals.count_confirmation_try(rows(Challenge)[0])
