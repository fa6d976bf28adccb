"""A change that one session began isn't completed by another open session of the same person."""

from __future__ import annotations

import pytest

from app.enrollments.models import Enrollment
from app.users import Identity
from tests.functional.setup.conftest import app_code
from tests.second import begin_setup
from tests.signed_in import sign_in
from tests.sinks import code_in

NEW = "thief@example.com"


@pytest.fixture
def ada(people):
    """Someone with only a mailbox."""
    return people.open(email="ada@example.com")


@pytest.fixture
def both(json_wire, ada):
    """Two of her browsers, signed in at the same time."""
    return sign_in(json_wire, ada), sign_in(json_wire.elsewhere(), ada)


def test_method_setup_cannot_be_finished_by_a_parallel_session(both, rows):
    here, beside = both
    begun = here.post("/us-setup", chosen_method="authenticator").json
    answer = beside.post(f"/us-setup/{begun['state']}", passcode=app_code(begun["authr_b32key"]))
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert [row.method for row in rows(Enrollment)] == ["email"]
    assert here.post(f"/us-setup/{begun['state']}", passcode=app_code(begun["authr_b32key"])).ok


def test_second_step_setup_cannot_be_finished_by_a_parallel_session(both, rows):
    here, beside = both
    begun = begin_setup(here, setup="authenticator").json
    answer = beside.post(f"/tf-setup/{begun['tf_state_token']}", code=app_code(begun["tf_authr_b32key"]))
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert [row.method for row in rows(Enrollment)] == ["email"]


def test_second_step_for_existing_method_cannot_be_finished_by_parallel_session(json_wire, people, rows):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"])
    here, beside = (sign_in(wire, eve, via="authenticator") for wire in (json_wire, json_wire.elsewhere()))
    begun = begin_setup(here, setup="authenticator", existing=True).json
    answer = beside.post(f"/tf-setup/{begun['tf_state_token']}", code=eve.app_code())
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert not any(row.is_second for row in rows(Enrollment))


@pytest.mark.parametrize("path", ["/change-email", "/identities/add"])
def test_new_email_cannot_be_confirmed_by_code_in_a_parallel_session(both, ada, mail_to, rows, path):
    here, beside = both
    challenge = here.post(path, email=NEW).json["challenge"]
    answer = beside.post("/change-email/confirm", passcode=code_in(mail_to(NEW)), challenge=challenge)
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert [row.value for row in rows(Identity)] == [ada.email]


def test_new_email_link_does_not_work_in_another_session_of_the_same_browser(both, ada, mail_to, rows):
    from tests.sinks import links_in

    here, beside = both
    here.post("/change-email", email=NEW)
    link = next(link for link in links_in(mail_to(NEW)) if "/change-email/" in link and "undo" not in link)
    here.client.set_cookie("latchkey_session", beside.cookies["latchkey_session"])  # the same browser, another session
    here.get(link.removeprefix("http://localhost"))
    assert [row.value for row in rows(Identity)] == [ada.email]


def test_email_change_requests_of_parallel_sessions_stay_separate(both, mail_to, rows):
    from app.challenges.models import Challenge

    here, beside = both
    here.client.set_cookie("latchkey_browser", beside.cookies.get("latchkey_browser", "a" * 43))
    beside.client.set_cookie("latchkey_browser", here.cookies["latchkey_browser"])
    for wire in (here, beside):
        wire._csrf = None
        assert wire.post("/us-verify/send-code", chosen_method="email").ok
        assert wire.post("/change-email", email=NEW).ok
    asked = {(row.purpose, row.session_id) for row in rows(Challenge) if row.purpose == "change_email"}
    assert len(asked) == 2


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_hour=3)
def test_wrong_codes_for_all_new_emails_of_a_session_share_one_limit(both, ada, mail_to, rows, clock):
    here, _ = both
    for address in ("one@example.com", NEW):
        assert here.post("/change-email", email=address).ok
        right = code_in(mail_to(address))
        for _ in range(2 if address != NEW else 1):
            assert here.post("/change-email/confirm", passcode="00000000").codes == ["invalid_password_code"]
    assert here.post("/change-email/confirm", passcode=right).codes == ["invalid_password_code"]
    assert [row.value for row in rows(Identity)] == [ada.email]
    clock.shift(3601)
