"""The link to a new address: it works where it was asked for, while somebody is signed in there, and nowhere else."""

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


def test_it_changes_the_address_in_the_browser_that_asked(hers, ada, link, emails):
    answer = hers.get(link)
    assert (answer.status, answer.location) == (302, "/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert emails(ada) == [NEW]
    assert hers.signed_in_as() == NEW


def test_it_works_once(hers, ada, link, emails):
    hers.get(link)
    assert hers.get(link).location == "/change-email"
    assert emails(ada) == [NEW]


@pytest.mark.parametrize("owner", [True, False])
def test_elsewhere_it_changes_nothing(hers, ada, link, emails, owner):
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


def test_somebody_else_in_the_same_browser_changes_nothing(hers, people, ada, link, emails):
    bob = people.open(email="bob@example.com")
    sign_in(hers, bob)
    assert hers.get(link).status == 200
    assert (emails(ada), emails(bob)) == ([ada.email], [bob.email])
    assert hers.signed_in_as() == bob.email


def test_signed_out_it_changes_nothing(hers, ada, link, emails):
    hers.post("/logout")
    assert hers.get(link).status == 200
    assert emails(ada) == [ada.email]


def test_a_session_that_was_ended_elsewhere_changes_nothing(hers, ada, link, emails):
    sign_in(hers.elsewhere(), ada).post("/sessions/end-others")
    assert hers.get(link).status == 200
    assert emails(ada) == [ada.email]


@pytest.mark.parametrize(
    "headers", [{"Sec-Purpose": "prefetch"}, {"Purpose": "preview"}, {"Sec-Fetch-Mode": "cors"}], ids=str
)
def test_ahead_of_a_click_it_changes_nothing(hers, ada, link, emails, headers):
    hers.get(link, headers=headers)
    hers.send("HEAD", link)
    assert emails(ada) == [ada.email]


def test_too_late_it_changes_nothing(hers, ada, link, emails, clock):
    clock.shift(7201)
    assert sign_in(hers, ada).get(link).location == "/change-email"
    assert emails(ada) == [ada.email]


def test_opening_it_again_and_again_leaves_one_event(hers, ada, link, rows, clock):
    from app.audit import Event

    clock.shift(7201)
    for _ in range(5):
        sign_in(hers, ada).get(link)
    assert len(rows(Event, name="challenge.failed")) == 1


def test_it_lives_longer_than_its_code(hers, ada, link, emails, clock):
    clock.shift(7100)
    hers.get(link)
    assert emails(ada) == [NEW]


@pytest.mark.parametrize("change", [lambda link: link[:-1], lambda link: link + "A", lambda link: "/change-email/x"])
def test_one_that_is_not_whole_changes_nothing(hers, ada, link, emails, change):
    assert hers.get(change(link)).location == "/change-email"
    assert emails(ada) == [ada.email]


def test_no_other_link_opens_it_and_it_opens_no_other(hers, ada, link, emails):
    token = link.removeprefix("/change-email/")
    assert hers.elsewhere().get(f"/confirm/{token}").location == "/confirm"
    assert hers.elsewhere().get(f"/us-verify-link?token={token}").location == "/us-signin"
    assert hers.get(f"/change-email/undo/{token}").status == 404
    assert emails(ada) == [ada.email]


def test_a_link_for_one_more_address_adds_it(hers, ada, emails, mail_to):
    hers.post(ADD, email=NEW)
    assert hers.get(path_in(mail_to(NEW), "/change-email/")).location == "/"
    assert emails(ada) == [ada.email, NEW]


@spa
def test_a_front_end_is_told_by_the_query(hers, link):
    answer = hers.get(link)
    assert urlsplit(answer.location).path == "/app/changed"
    assert query_of(answer) == {"success": "Thanks, your email has been changed.", "identity": NEW, "email": NEW}


@spa
def test_a_front_end_is_told_of_a_failure_without_the_address(hers, link):
    hers.get(link)
    told = query_of(hers.get(link))
    assert told["from"] == "mail"
    assert told["error_code"] == "api_error"
    assert NEW not in str(told)


def test_whoever_reads_the_new_mailbox_ends_the_request_and_no_session(hers, ada, link, mail_to, emails):
    from tests.sinks import denial_in

    assert hers.elsewhere(address="192.0.2.9").post(denial_in(mail_to(NEW)), sure=True).ok
    assert hers.signed_in_as() == ada.email
    assert hers.get(link).location == "/change-email"
    assert emails(ada) == [ada.email]
