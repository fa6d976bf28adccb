"""The link to a new address works only where it was requested, while that person is signed in."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.functional.identities.conftest import ADD, CHANGE, NEW, path_in
from tests.signed_in import sign_in

spa = pytest.mark.settings(
    redirect_behavior="spa", post_change_email_url="/app/changed", change_email_error_url="/app/failed?from=mail"
)


@pytest.fixture
def link(hers, mail_to) -> str:
    """The path of the link in the mail to the address that Ada has asked for."""
    assert hers.post(CHANGE, email=NEW).ok
    return path_in(mail_to(NEW), "/change-email/")


def query_of(answer) -> dict[str, str]:
    """Return the query of where an answer leads."""
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.location).query).items()}


def test_link_changes_the_email_in_the_requesting_browser(hers, ada, link, emails):
    answer = hers.get(link)
    assert (answer.status, answer.location) == (302, "/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert emails(ada) == [NEW]
    assert hers.signed_in_as() == NEW


def test_link_works_once(hers, ada, link, emails):
    hers.get(link)
    assert hers.get(link).location == "/change-email"
    assert emails(ada) == [NEW]


@pytest.mark.parametrize("owner", [True, False])
def test_link_changes_nothing_in_another_browser(hers, ada, link, emails, owner):
    there = hers.elsewhere(address="192.0.2.9")
    if owner:
        sign_in(there, ada)
    answer = there.get(link)
    assert answer.status == 200
    assert answer.json.get("state", "elsewhere") == "elsewhere"
    assert NEW not in answer.text
    assert emails(ada) == [ada.email]
    assert hers.get(link).status == 302
    assert emails(ada) == [NEW]


def test_link_changes_nothing_for_another_user_in_the_same_browser(hers, people, ada, link, emails):
    bob = people.open(email="bob@example.com")
    sign_in(hers, bob)
    assert hers.get(link).status == 200
    assert (emails(ada), emails(bob)) == ([ada.email], [bob.email])
    assert hers.signed_in_as() == bob.email


def test_link_changes_nothing_after_sign_out(hers, ada, link, emails):
    hers.post("/logout")
    assert hers.get(link).status == 200
    assert emails(ada) == [ada.email]


def test_link_changes_nothing_after_the_session_was_ended_elsewhere(hers, ada, link, emails):
    sign_in(hers.elsewhere(), ada).post("/sessions/end-others")
    assert hers.get(link).status == 200
    assert emails(ada) == [ada.email]


@pytest.mark.parametrize(
    "headers", [{"Sec-Purpose": "prefetch"}, {"Purpose": "preview"}, {"Sec-Fetch-Mode": "cors"}], ids=str
)
def test_prefetching_the_link_changes_nothing(hers, ada, link, emails, headers):
    hers.get(link, headers=headers)
    hers.send("HEAD", link)
    assert emails(ada) == [ada.email]


def test_expired_link_changes_nothing(hers, ada, link, emails, clock):
    clock.shift(7201)
    assert sign_in(hers, ada).get(link).location == "/change-email"
    assert emails(ada) == [ada.email]


def test_opening_an_expired_link_repeatedly_records_one_event(hers, ada, link, rows, clock):
    from app.audit import Event

    clock.shift(7201)
    for _ in range(5):
        sign_in(hers, ada).get(link)
    assert len(rows(Event, name="challenge.failed")) == 1


def test_link_outlives_its_code(hers, ada, link, emails, clock):
    clock.shift(7100)
    hers.get(link)
    assert emails(ada) == [NEW]


@pytest.mark.parametrize("change", [lambda link: link[:-1], lambda link: link + "A", lambda link: "/change-email/x"])
def test_altered_link_changes_nothing(hers, ada, link, emails, change):
    assert hers.get(change(link)).location == "/change-email"
    assert emails(ada) == [ada.email]


def test_token_is_valid_only_for_its_own_kind_of_link(hers, ada, link, emails):
    token = link.removeprefix("/change-email/")
    assert hers.elsewhere().get(f"/confirm/{token}").location == "/confirm"
    assert hers.elsewhere().get(f"/us-verify-link?token={token}").location == "/us-signin"
    assert hers.get(f"/change-email/undo/{token}").status == 404
    assert emails(ada) == [ada.email]


def test_link_for_an_additional_email_adds_it(hers, ada, emails, mail_to):
    hers.post(ADD, email=NEW)
    assert hers.get(path_in(mail_to(NEW), "/change-email/")).location == "/"
    assert emails(ada) == [ada.email, NEW]


@spa
def test_front_end_receives_success_in_the_query(hers, link):
    answer = hers.get(link)
    assert urlsplit(answer.location).path == "/app/changed"
    assert query_of(answer) == {"success": "Thanks, your email has been changed.", "identity": NEW, "email": NEW}


@spa
def test_front_end_receives_the_error_without_the_email(hers, link):
    hers.get(link)
    told = query_of(hers.get(link))
    assert told["from"] == "mail"
    assert told["error_code"] == "api_error"
    assert NEW not in str(told)


def test_denial_from_the_new_mailbox_ends_the_request_but_no_session(hers, ada, link, mail_to, emails):
    from tests.sinks import denial_in

    assert hers.elsewhere(address="192.0.2.9").post(denial_in(mail_to(NEW)), sure=True).ok
    assert hers.signed_in_as() == ada.email
    assert hers.get(link).location == "/change-email"
    assert emails(ada) == [ada.email]
