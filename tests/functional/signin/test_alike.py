"""No response reveals who has an account (security: enumeration), unless explicit responses are on."""

from __future__ import annotations

import re

import pytest

from app.crypto.secrets import UNAMBIGUOUS

WHO = {
    "known": "known@example.com",
    "nobody": "nobod@example.com",
    "disabled": "offen@example.com",
    "unconfirmed": "uncon@example.com",
    "leaving": "leave@example.com",
    "locked": "locke@example.com",
    "bare": "baree@example.com",
    "mails used up": "usedu@example.com",
    "locked by passwords": "spray@example.com",
    "suppressed": "bounc@example.com",
}
SEND = "/us-signin/send-code"
REQUESTS = {
    "a code by mail": (SEND, {"identity": None, "chosen_method": "email"}),
    "a code by text": (SEND, {"identity": None, "chosen_method": "sms"}),
    "a wrong code": ("/us-signin", {"identity": None, "passcode": "00000000"}),
    "a wrong code of six digits": ("/us-signin", {"identity": None, "passcode": "000000"}),
    "no code": ("/us-signin", {"identity": None, "passcode": ""}),
    "an account": ("/register", {"email": None}),
    "a confirmation": ("/confirm", {"email": None, "send_again": "y"}),
    "a wrong confirmation": ("/confirm", {"email": None, "passcode": "00000000"}),
}
explicit = pytest.mark.settings(generic_responses=False)


@pytest.fixture
def everybody(app, people):
    """One account of each kind."""
    from app.extensions import db
    from app.outbox import suppressions

    people.open(email=WHO["known"])
    for name in ("locked", "mails used up", "locked by passwords"):
        people.open(email=WHO[name])
    people.open(email=WHO["disabled"], disabled=True)
    people.open(email=WHO["unconfirmed"], confirmed=False)
    people.leave(people.open(email=WHO["leaving"]))
    people.open(email=WHO["bare"], methods=["authenticator"])
    people.open(email=WHO["suppressed"])
    with app.app_context():
        suppressions.process_reports([suppressions.Report(WHO["suppressed"], suppressions.HARD, "test", "1", "5.1.1")])
        db.session.commit()


@pytest.fixture
def locked(everybody, json_wire):
    """Strangers have guessed codes of some of them, and requested emails, up to the limits."""
    for number in range(3):
        stranger = json_wire.elsewhere(address=f"192.0.2.{number}")
        stranger.post(SEND, identity=WHO["locked"], chosen_method="email")
        for _ in range(5):
            stranger.post("/us-signin", identity=WHO["locked"], passcode="99999999")
    for number in range(5):
        json_wire.elsewhere(address=f"192.0.2.{number}").post(
            SEND, identity=WHO["mails used up"], chosen_method="email"
        )
    for _ in range(10):
        stranger.post("/us-signin", identity=WHO["locked by passwords"], passcode="not the password of anybody")


def shape(answer) -> tuple:
    """Return everything about an answer that may not differ; what is random in it is left out."""
    body = re.sub("|".join(WHO.values()), "<who>", answer.text)
    body = re.sub(r"[\w-]{20,}=*", "<token>", body)
    body = re.sub(rf"\b[{UNAMBIGUOUS}]{{8}}\b|\b[{UNAMBIGUOUS}]{{4}}\b", "<mark>", body)
    body = re.sub(
        rf'(<span>|"link_characters":")(?:[{UNAMBIGUOUS}]|[{UNAMBIGUOUS}]{{3}})(</span>|")', r"\1<mark>\2", body
    )
    body = re.sub(r"\d+", "<number>", body)
    cookies = [cookie.split(";")[0].partition("=") for cookie in answer.headers.getlist("Set-Cookie")]
    lengths = {name: len(value) for name, _, value in cookies if "flash" not in name}  # it repeats the input
    return answer.status, tuple(sorted(answer.headers.keys())), tuple(sorted(lengths.items())), body


def kind(statement: str) -> str:
    """Return a statement without what differs from one request to the next."""
    if statement.startswith(("RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")):
        return "end of savepoint"
    return re.sub(r"sa_savepoint_\d+|\(method_\w+\)|\(.*?\)|\s+", " ", statement).strip()[:80]


@pytest.fixture
def told(wire, locked, statements):
    """Sends a request about everyone, each from a separate browser: returns the responses and their cost."""

    def tell(path: str, fields: dict[str, str | None], before: tuple = (), method: str = "POST") -> dict[str, tuple]:
        found = {}
        for number, (name, who) in enumerate(WHO.items()):
            browser = wire.elsewhere(address=f"198.51.100.{number}")
            browser.fetch_csrf()
            for earlier_path, earlier in before:
                browser.post(earlier_path, **{field: value or who for field, value in earlier.items()})
            with statements() as seen:
                asked = {field: value or who for field, value in fields.items()}
                answer = browser.get(path) if method == "GET" else browser.post(path, **asked)
            found[name] = (*shape(answer), tuple(map(kind, seen)))
        return found

    return tell


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_responses_and_sql_statements_do_not_reveal_whether_an_account_exists(told, request_):
    found = told(*request_)
    assert {name: seen for name, seen in found.items() if seen != found["nobody"]} == {}


@pytest.mark.parametrize("request_", ["a code by mail", "a code by text"])
@pytest.mark.parametrize("path", ["/us-signin", "/us-signin?use=authenticator"])
def test_reopened_sign_in_page_does_not_reveal_whether_an_account_exists(told, request_, path):
    found = told(path, {}, before=(REQUESTS[request_],), method="GET")
    assert {name: seen for name, seen in found.items() if seen != found["nobody"]} == {}


@pytest.mark.settings(mail_resend_wait=0)
def test_resend_does_not_reveal_whether_an_account_exists(told):
    found = told(*REQUESTS["a code by mail"], before=(REQUESTS["a code by mail"],))
    assert {name: seen for name, seen in found.items() if seen != found["nobody"]} == {}
    assert any(statement.startswith("UPDATE challenge") for statement in found["nobody"][-1])


@pytest.mark.parametrize("second", ["a code by mail", "a wrong code", "an account", "a confirmation"])
@pytest.mark.parametrize("first", ["a code by mail", "an account"])
def test_follow_up_request_does_not_reveal_whether_an_account_exists(told, first, second):
    found = told(*REQUESTS[second], before=(REQUESTS[first],))
    assert {name: seen for name, seen in found.items() if seen != found["nobody"]} == {}


@pytest.mark.settings(methods=["password", "email"])
@pytest.mark.parametrize(
    "request_",
    [
        ("/us-signin", {"identity": None, "passcode": "not the password of anybody"}),
        ("/register", {"email": None, "password": "a long new password", "password_confirm": "a long new password"}),
    ],
    ids=["signing in", "registering"],
)
def test_password_forms_do_not_reveal_whether_an_account_exists(told, request_):
    found = told(*request_)
    assert {name: seen for name, seen in found.items() if seen != found["nobody"]} == {}


def test_email_and_phone_of_one_account_look_like_unrelated_identities(json_wire, people):
    people.open(email=WHO["known"], phone="+16502530000", methods=["email", "sms"])
    for names in ((WHO["known"], "+16502530000"), (WHO["nobody"], "+16502530001")):
        browser = json_wire.elsewhere()
        answers = [browser.post(SEND, identity=name, chosen_method="email") for name in (*names, *names)]
        handles = [answer.json["challenge"] for answer in answers]
        assert handles[:2] == handles[2:]
        assert handles[0] != handles[1]


def test_register_and_confirm_return_the_same_challenge_for_known_and_new_emails(json_wire, everybody):
    same = {}
    for name in set(WHO) - {"nobody"}:
        browser = json_wire.elsewhere()
        handles = [browser.post(*each, email=WHO[name]).json["challenge"] for each in (["/register"], ["/confirm"])]
        same[name] = handles[0] == handles[1]
    browser = json_wire.elsewhere()
    handles = [browser.post(path, email="new@example.com").json["challenge"] for path in ("/register", "/confirm")]
    assert handles[0] == handles[1]
    assert set(same.values()) == {True}


def test_registering_a_taken_email_stores_no_user_or_identity(wire, people, rows):
    from app.audit import Event
    from app.enrollments.models import Enrollment
    from app.users import Identity, User

    people.open(email=WHO["known"])
    before = [len(rows(model)) for model in (User, Identity, Enrollment)]
    wire.post("/register", email=WHO["known"])
    assert [len(rows(model)) for model in (User, Identity, Enrollment)] == before
    assert [event.name for event in rows(Event)] == ["challenge.started"]


def test_magic_link_of_disabled_account_responds_like_a_used_link(wire, ada, people, link_for, app):
    people.open(email="eve@example.com")
    browsers = [wire.elsewhere(), wire.elsewhere()]
    links = [link_for(email, by=by) for email, by in zip((ada.email, "eve@example.com"), browsers, strict=True)]
    app.test_cli_runner().invoke(args=["users", "disable", ada.email])
    browsers[1].get(links[1])
    browsers[1].post("/logout")
    answers = [browser.get(link) for browser, link in zip(browsers, links, strict=True)]
    assert shape(answers[0])[:2] == shape(answers[1])[:2]
    assert answers[0].location == answers[1].location


def test_malformed_identity_is_rejected_with_a_field_error(wire):
    for identity in ("@", "x", "+", "a@b@c", "x" * 3000):
        answer = wire.post("/us-signin", identity=identity, passcode="00000000")
        assert (answer.status, answer.codes) == (400, ["identity_invalid"])
        assert list(answer.errors) == ["identity"]


def test_empty_identity_gets_the_generic_failure(wire):
    answer = wire.post("/us-signin", identity="", passcode="00000000")
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])


def test_json_error_response_has_the_documented_keys(json_wire):
    answer = json_wire.post("/us-signin", identity="x@example.com", passcode="1")
    assert set(answer.json) == {"errors", "field_errors", "error_codes", "support_id"}
    assert answer.json["field_errors"] == {"": answer.json["errors"]}


@explicit
@pytest.mark.parametrize(
    ("identity", "passcode", "code", "field"),
    [
        ("nobody@example.com", "00000000", "us_specify_identity", "identity"),
        ("", "00000000", "required", "identity"),
        ("ada@example.com", "00000000", "invalid_password_code", "passcode"),
        ("ada@example.com", "", "invalid_password_code", "passcode"),
    ],
)
def test_explicit_mode_names_the_reason_for_a_failed_sign_in(wire, ada, identity, passcode, code, field):
    answer = wire.post("/us-signin", identity=identity, passcode=passcode)
    assert (answer.status, answer.codes) == (400, [code])
    assert list(answer.errors) == [field]


@explicit
@pytest.mark.parametrize(
    ("who", "method", "code", "field"),
    [
        ("nobody", "email", "us_specify_identity", "identity"),
        ("unconfirmed", "email", "confirmation_required", "identity"),
        ("bare", "email", "us_method_not_available", "chosen_method"),
        ("known", "sms", "us_method_not_available", "chosen_method"),
    ],
)
def test_explicit_mode_names_the_reason_no_code_was_sent(wire, everybody, deliver, who, method, code, field):
    answer = wire.post("/us-signin/send-code", identity=WHO[who], chosen_method=method)
    assert (answer.status, answer.codes) == (400, [code])
    assert wire.language == "form" or list(answer.errors) == [field]
    assert deliver() == []


@explicit
def test_explicit_mode_rejects_sms_for_an_account_without_phone_number(wire, people):
    people.open(email="eve@example.com", methods=["sms"])
    answer = wire.post("/us-signin/send-code", identity="eve@example.com", chosen_method="sms")
    assert (answer.status, answer.codes) == (400, ["phone_invalid"])


@explicit
def test_explicit_mode_reveals_disabled_account_only_after_a_correct_code(wire, people, deliver):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"], disabled=True)
    assert wire.post("/us-signin/send-code", identity=eve.email, chosen_method="email").ok
    assert deliver() == []
    assert wire.post("/us-signin", identity=eve.email, passcode="000000").codes == ["invalid_password_code"]
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).codes == ["disabled_account"]


def test_disabled_account_cannot_sign_in_with_a_code_sent_earlier(wire, ada, code_for, app):
    code = code_for(ada.email)
    app.test_cli_runner().invoke(args=["users", "disable", ada.email])
    answer = wire.post("/us-signin", identity=ada.email, passcode=code)
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])


@pytest.mark.settings(methods=["email", "authenticator", "password"])
@pytest.mark.parametrize("mode", ["generic", "explicit"])
def test_account_with_unconfirmed_email_cannot_sign_in_with_password_or_totp(wire, people, make_app, mode):
    wire.app = make_app(methods=["email", "authenticator", "password"], generic_responses=mode == "generic")
    wire.client = wire.app.test_client()
    eve = people.open(
        email="eve@example.com",
        password="a long enough password",
        methods=["password", "authenticator"],
        confirmed=False,
    )
    expected = ["generic_authn_failed"] if mode == "generic" else ["confirmation_required"]
    for passcode in (eve.password, eve.app_code()):
        assert wire.post("/us-signin", identity=eve.email, passcode=passcode).codes == expected
    assert wire.signed_in_as() is None


def test_emailed_code_signs_in_an_account_with_unconfirmed_email(wire, people, code_for, sign_in):
    eve = people.open(email="eve@example.com", confirmed=False)
    assert sign_in(eve.email).signed_in_as() == eve.email
