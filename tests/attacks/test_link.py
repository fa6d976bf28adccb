"""A link signs in only the browser that requested it: no scanner, no mail thief, no phisher."""

from __future__ import annotations

import itertools
import urllib.request
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from app.crypto.secrets import UNAMBIGUOUS
from tests.databases import Database
from tests.faults.accounts import open_one
from tests.faults.visitors import SESSION, Answer, Visitor, answers_at_once, code_for
from tests.serving import Server
from tests.sinks import SmtpSink, link_in

pytestmark = pytest.mark.both_databases

LINK, STATUS, GO_ON = "/us-verify-link", "/us-signin/status", "/us-signin/continue"
_numbers = itertools.count()


@dataclass
class Scene:
    """Ada has requested a code from a server with two processes; the attacker can read her email."""

    server: Server
    database: Database
    email: str
    ada: Visitor
    characters: str
    link: str
    challenge: str

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.link).query)["token"][0]

    def stranger(self) -> Visitor:
        """Return a browser without cookies."""
        return Visitor(self.server.url)

    def sessions(self) -> int:
        """Return the number of Ada's sessions."""
        found: int = self.database.query(
            "SELECT count(*) FROM auth_session JOIN identity ON identity.user_id = auth_session.user_id"
            f" WHERE identity.value = '{self.email}'"
        )[0][0]
        return found

    def state(self) -> str:
        """Return the state that Ada's page polls."""
        return str(self.ada.get(f"{STATUS}?challenge={self.challenge}").json["state"])


@pytest.fixture(scope="module")
def shared():
    """The servers of this module, by the kind of their database."""
    return {}


@pytest.fixture
def scene(database, databases, shared, start_shared, smtp) -> Scene:
    """A scene with its own people."""
    if database.kind not in shared:
        fresh = databases.fresh(database.kind)
        shared[database.kind] = start_shared(fresh, workers=2), fresh
    server, kept = shared[database.kind]
    email = open_one(kept, email=f"ada{next(_numbers)}@example.com").email
    return Scene(server, kept, email, *asked(server, email, smtp))


def asked(server: Server, email: str, smtp: SmtpSink) -> tuple[Visitor, str, str, str]:
    """Return someone who has requested a code, the characters on their page, the email's link and the challenge."""
    visitor, since = Visitor(server.url), len(smtp.mails)
    answer = visitor.send_code(email)
    assert answer.status == 200
    assert code_for(email, smtp, since, 10)
    link = urlsplit(link_in(smtp.to(email)[-1], LINK))
    return (
        visitor,
        answer.json["link_characters"],
        f"{link.path}?{link.query}",
        answer.json["challenge"].partition(".")[0],
    )


def wrong(characters: str) -> str:
    """Return wrong characters of the same length."""
    return "".join(UNAMBIGUOUS[UNAMBIGUOUS.index(each) - 1] for each in characters)


def cookies_of(answers: list[Answer]) -> list[str]:
    """Return the session cookies in these responses."""
    return [answer.cookies[SESSION] for answer in answers if SESSION in answer.cookies]


def test_link_scanner_that_submits_every_form_gets_no_session(scene):
    answers = []
    for _ in range(3):
        robot = scene.stranger()
        head = urllib.request.Request(scene.server.url + scene.link, method="HEAD")
        with urllib.request.urlopen(head, timeout=10) as answer:
            assert answer.status == 200
        answers.append(robot.get(scene.link))
        answers += [robot.post(LINK, token=scene.token, characters=typed) for typed in ("", " ")]
        answers += [
            robot.post(LINK, token=scene.token),
            robot.post(GO_ON, challenge=scene.challenge),
            robot.get(f"{STATUS}?challenge={scene.challenge}"),
            robot.get("/"),
        ]
    assert cookies_of(answers) == []
    assert scene.sessions() == 0
    assert scene.state() == "waiting"
    assert scene.ada.get(scene.link).status == 302
    assert scene.ada.is_signed_in()


def test_guessing_the_link_characters_rejects_the_challenge(scene):
    robot = scene.stranger()
    guesses = [robot.post(LINK, token=scene.token, characters=wrong(scene.characters)) for _ in range(4)]
    assert [answer.json["error_codes"] for answer in guesses[:2]] == [["link_characters_wrong"], ["link_refused"]]
    right = robot.post(LINK, token=scene.token, characters=scene.characters)
    assert right.status == 400
    assert scene.state() == "refused"
    assert (
        cookies_of([*guesses, right, scene.ada.post(GO_ON, challenge=scene.challenge), scene.ada.get(scene.link)]) == []
    )
    assert scene.sessions() == 0


def test_concurrent_guesses_of_the_link_characters_check_only_two(scene):
    robot = scene.stranger()
    alphabet = itertools.product(UNAMBIGUOUS, repeat=3)
    typed = [guess for guess in map("".join, itertools.islice(alphabet, 41)) if guess != scene.characters][:40]
    requests = [(robot.address, robot.prepared(LINK, token=scene.token, characters=guess)) for guess in typed]
    answers = answers_at_once(requests)
    assert {answer.status for answer in answers} == {400}
    tries = "SELECT carry_tries, approved_at FROM challenge WHERE destination"
    assert scene.database.query(f"{tries} = '{scene.email}'") == [(2, None)]
    assert scene.state() == "refused"


def test_opening_an_attackers_link_without_the_characters_signs_nobody_in(scene):
    victim, attacker = scene.stranger(), scene.ada  # the attacker requested it, with the victim's address
    victim.get(scene.link)
    victim.post(LINK, token=scene.token)
    assert attacker.post(GO_ON, challenge=scene.challenge).json["error_codes"] == ["link_not_approved"]
    assert not attacker.is_signed_in()
    assert not victim.is_signed_in()
    assert scene.sessions() == 0


def test_stolen_link_with_characters_signs_in_only_the_requesting_browser(scene):
    thief = scene.stranger()
    assert thief.post(LINK, token=scene.token, characters=scene.characters).status == 200
    assert cookies_of([thief.post(GO_ON, challenge=scene.challenge), thief.get(scene.link)]) == []
    assert scene.ada.post(GO_ON, challenge=scene.challenge).status == 200
    assert scene.ada.is_signed_in()
    assert not thief.is_signed_in()
    assert scene.sessions() == 1


def test_concurrent_link_approvals_and_continuations_create_one_session(scene):
    phone = scene.stranger()
    approval = phone.prepared(LINK, token=scene.token, characters=scene.characters)
    answers = answers_at_once([(phone.address, approval)] * 50)
    assert cookies_of(answers) == []
    approvals = "SELECT count(*) FROM event JOIN identity USING (user_id) WHERE name = 'link.approved' AND value"
    assert scene.database.query(f"{approvals} = '{scene.email}'") == [(1,)]
    answers = answers_at_once([(scene.ada.address, scene.ada.prepared(GO_ON, challenge=scene.challenge))] * 50)
    assert sorted(answer.status for answer in answers) == [200] + [400] * 49
    assert len(cookies_of(answers)) == 1
    assert scene.sessions() == 1


def test_approval_racing_with_continuation_creates_one_session(scene):
    phone = scene.stranger()
    approval = phone.prepared(LINK, token=scene.token, characters=scene.characters)
    going_on = scene.ada.prepared(GO_ON, challenge=scene.challenge)
    by_link = scene.ada.request("GET", scene.link)
    answers = answers_at_once([(phone.address, each) for each in (approval, going_on, by_link) for _ in range(17)])
    assert len(cookies_of(answers)) == 1
    assert scene.sessions() == 1


def test_link_characters_are_neither_logged_nor_stored(scene):
    phone = scene.stranger()
    for typed in (wrong(scene.characters), scene.characters):
        phone.post(LINK, token=scene.token, characters=typed)
    assert scene.state() == "approved"
    rows = [scene.database.query(f"SELECT * FROM {table}") for table in ("challenge", "event", "message")]
    kept = (scene.server.output + repr(rows)).split()
    assert [word for word in kept if word.strip("\"'(),=") == scene.characters] == []
