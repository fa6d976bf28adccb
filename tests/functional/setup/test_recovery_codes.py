"""/mf-recovery-codes: ten codes, shown once, each usable once."""

from __future__ import annotations

import re

import pytest

from app.audit import Event
from app.authenticators.models import RecoveryCode
from tests.signed_in import give_token, sign_in
from tests.wire import Wire

CODES = "/mf-recovery-codes"
FORM = re.compile(r"(?:[0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}")
ELEVEN = [f"0000-0000-0000-{number:04}" for number in range(11)]
"""One more than are ever made; a code that is given twice counts once."""


def codes_in(answer) -> list[str]:
    """Return the codes that an answer shows."""
    if answer.language == "json":
        return answer.json["recovery_codes"]
    return re.findall(r"<li><code>(.*?)</code></li>", answer.text)


@pytest.fixture
def codes(hers, people, ada) -> list[str]:
    """Ada's codes, and she is signed in."""
    return people.give_codes(ada)


def stale_and_proves(hers, clock, passcode):
    """Return the result of reauthenticating with ``passcode`` after the last verification became too old."""
    clock.shift(301)
    return hers.post("/us-verify", passcode=passcode)


def test_ten_codes_are_shown_once(hers):
    made = codes_in(hers.post(CODES))
    assert len(set(made)) == 10
    assert len({code[:2] for code in made}) == 10
    assert all(FORM.fullmatch(code) for code in made)
    later = hers.get(CODES)
    assert codes_in(later) == []
    assert not any(code in later.text for code in made)


def test_json_shows_how_many_codes_are_left(json_wire, ada):
    hers = sign_in(json_wire, ada)
    before = hers.get(CODES).json
    assert (before["recovery_codes"], before["left"], before["made_at"]) == ([], 0, None)
    made = hers.post(CODES).json
    assert (len(made["recovery_codes"]), made["left"]) == (10, 10)
    hers.post("/us-verify", passcode=made["recovery_codes"][0])
    after = hers.get(CODES).json
    assert (after["left"], after["made_at"]) == (9, made["made_at"])


@pytest.mark.slow_hashes
def test_codes_are_stored_only_as_slow_hashes(hers, rows, database):
    codes = codes_in(hers.post(CODES))
    kept = rows(RecoveryCode)
    assert len(kept) == 10
    assert all(row.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for row in kept)
    everything = str([vars(row) for row in kept]) + str(database.query("SELECT facts FROM message"))
    assert not any(part in everything for code in codes for part in (code, code[3:], code.replace("-", "")))


@pytest.mark.parametrize(
    "typed",
    [str, str.lower, lambda code: code.replace("-", " "), lambda code: f" {code.replace('-', '')}\n",
     lambda code: code.replace("0", "o").replace("1", "l"), lambda code: code.replace("0", "O").replace("1", "I"),
     lambda code: code.replace("-", "–")],
    ids=["as shown", "small", "blanks", "bare", "o and l", "O and I", "dashes of another length"],
)  # fmt: skip
@pytest.mark.one_database
def test_code_is_accepted_in_common_spellings(hers, codes, clock, typed):
    assert stale_and_proves(hers, clock, typed(codes[3])).ok
    assert hers.get("/us-setup").status == 200


def test_each_code_works_once(hers, codes, clock):
    assert stale_and_proves(hers, clock, codes[0]).ok
    again = stale_and_proves(hers, clock, codes[0])
    assert (again.status, again.codes) == (400, ["invalid_password_code"])
    assert stale_and_proves(hers, clock, codes[1]).ok


def test_new_codes_invalidate_the_old_ones(hers, codes, clock, rows):
    newer = codes_in(hers.post(CODES))
    assert len(rows(RecoveryCode)) == 10
    assert not any(stale_and_proves(hers, clock, code).ok for code in codes[:3])
    assert stale_and_proves(hers, clock, newer[0]).ok


def test_code_of_another_user_is_rejected(hers, codes, people, clock):
    eve = sign_in(hers.elsewhere(), people.open(email="eve@example.com"))
    eve.post(CODES)
    clock.shift(301)
    assert eve.post("/us-verify", passcode=codes[0]).status == 400


@pytest.mark.one_database
@pytest.mark.parametrize(
    "change", [lambda code: code[:-1] + ("2" if code[-1] != "2" else "3"), lambda code: code[:-1],
               lambda code: f"{code}0", lambda code: code.replace(code[4], "Ｏ"), lambda code: "U" + code[1:], ],
    ids=["last", "short", "long", "another script", "no letter of ours"],
)  # fmt: skip
def test_similar_code_is_rejected(hers, codes, clock, change):
    assert stale_and_proves(hers, clock, change(codes[0])).status == 400
    assert hers.post("/us-verify", passcode=codes[0]).ok


def test_each_use_sends_an_email_and_is_recorded(hers, codes, ada, mail_to, rows):
    hers.post("/us-verify", passcode=codes[0])
    mail = mail_to(ada.email)
    assert "A recovery code was used. 9 codes are left." in mail.text
    assert codes[0] not in mail.text + mail.html
    (event,) = rows(Event, name="recovery.code_used")
    assert (event.user_id, event.facts) == (ada.id, {"method": "recovery_code", "left": 9})


@pytest.mark.settings(failures_per_hour=100, failures_per_day=500)
@pytest.mark.one_database
def test_few_codes_left_trigger_a_warning_in_email_and_page(browser_wire, ada, mail_to):
    hers = sign_in(browser_wire, ada)
    codes = codes_in(hers.post(CODES))
    for code in codes[:7]:
        hers.post("/us-verify", passcode=code)
    assert "3 codes are left: create new ones soon." in mail_to(ada.email).text
    page = hers.get(CODES).text
    assert "3 of 10 left" in page
    assert "Only 3 codes are left. Create new ones while you can." in page
    assert "It's time to create new ones." in hers.get("/us-setup").text


def test_creating_codes_sends_an_email_and_ends_other_sessions(hers, ada, program, mail_to, rows):
    elsewhere, before = sign_in(hers.elsewhere(), ada), hers.cookies["latchkey_session"]
    give_token(program, ada)
    hers.post(CODES)
    assert "New recovery codes were created." in mail_to(ada.email).text
    assert (elsewhere.signed_in_as(), program.signed_in_as(), hers.signed_in_as()) == (None, None, ada.email)
    assert hers.cookies["latchkey_session"] != before
    assert [event.user_id for event in rows(Event, name="recovery.regenerated")] == [ada.id]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_creating_codes_requires_reauthentication(hers, clock, method, rows):
    clock.shift(301)
    answer = hers.get(CODES) if method == "GET" else hers.post(CODES)
    if hers.language == "form":
        assert answer.status == (200 if method == "GET" else 302)
    else:
        assert (answer.status, answer.codes) == (401, ["reauthentication_required"])
    assert rows(RecoveryCode) == []


@pytest.mark.one_database
@pytest.mark.parametrize(("method", "path"), [("GET", CODES), ("POST", CODES), ("POST", f"{CODES}/file")])
def test_anonymous_user_is_asked_to_sign_in(wire, method, path):
    assert wire.send(method, path).status == (401 if wire.language == "json" else 302)


@pytest.mark.one_database
def test_creating_codes_requires_a_csrf_token(hers, rows):
    assert hers.post(CODES, csrf=None).status == 400
    assert rows(RecoveryCode) == []


@pytest.mark.one_database
def test_codes_can_be_downloaded_as_a_text_file(hers, codes, ada):
    answer = hers.post(f"{CODES}/file", recovery_codes=codes)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="recovery-codes.txt"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert [line for line in answer.text.splitlines() if FORM.fullmatch(line)] == codes
    assert ada.email in answer.text


@pytest.mark.one_database
@pytest.mark.parametrize("given", [[], ["nonsense"], ELEVEN, ["<script>"], [1]])
def test_file_with_invalid_codes_is_rejected(hers, given):
    answer = hers.post(f"{CODES}/file", recovery_codes=given)
    assert (answer.status, answer.codes) == (400, ["api_error"])


@pytest.mark.one_database
@pytest.mark.settings(starts_per_address=3)
def test_creating_codes_is_rate_limited_per_ip_address(hers):
    assert [hers.post(CODES).status for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.one_database
def test_recovery_code_does_not_sign_in(hers, codes, ada):
    stranger = hers.elsewhere()
    assert stranger.post("/us-signin", identity=ada.email, passcode=codes[0]).status == 400
    assert stranger.signed_in_as() is None


@pytest.mark.one_database
@pytest.mark.settings(methods=("email", "password"))
def test_password_that_looks_like_a_code_is_accepted(json_wire, people, clock):
    ada = people.open(email="ada@example.com", password="pass word-pass-word")  # sixteen letters, all of them ours
    hers: Wire = sign_in(json_wire, ada)
    hers.post(CODES)
    assert stale_and_proves(hers, clock, ada.password).ok
