"""Text chosen by a stranger is in no email, page of another account, export or terminal output."""

from __future__ import annotations

import io
import threading
import zipfile

import pytest

from app import outbox
from app.db import BrowserName
from app.extensions import db
from app.outbox import jobs
from app.privacy.models import Export
from app.sessions.models import AuthSession
from app.signin.second_factor import _without_links
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.signed_in import sign_in
from tests.sinks import Sms

pytestmark = pytest.mark.both_databases

LURE = "Your account is locked. Unlock it at http://evil.example/unlock/1 CFNetwork"
HEADERS = dict.fromkeys(
    (
        *("User-Agent", "Accept-Language", "From", "Via", "DNT", "Sec-CH-UA", "Sec-CH-UA-Platform", "Purpose"),
        *("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Request-ID", "X-Client-Name", "True-Client-IP"),
    ),
    LURE,
)
FIELDS = dict.fromkeys(("name", "display_name", "label", "device", "brand", "subject", "tag", "what", "browser"), LURE)

ASKING = [
    ("/us-signin/send-code", {"identity": "ada@example.com", "chosen_method": "email"}),
    ("/us-signin/send-code", {"identity": "nobody@example.com", "chosen_method": "email"}),
    ("/us-signin/send-code", {"identity": "+16502530000", "chosen_method": "sms"}),
    ("/register", {"email": "ada@example.com"}),
    ("/register", {"email": "new@example.com"}),
    ("/recover", {"identity": "ada@example.com"}),
]


@pytest.fixture
def ada(people):
    """Someone who gets emails because of a stranger."""
    return people.open(email="ada@example.com", phone="+16502530000", methods=["email", "sms", "authenticator"])


def told(messages) -> list[str]:
    """Return the contents of these emails and text messages."""
    return [each.text if isinstance(each, Sms) else each.subject + each.text + each.html for each in messages]


@pytest.mark.settings(mail_unknown=True)
@pytest.mark.parametrize(("path", "fields"), ASKING)
def test_messages_contain_no_text_supplied_by_a_stranger(wire, ada, deliver, path, fields):
    answer = wire.post(path, headers=HEADERS, **FIELDS | fields)
    assert answer.status < 400, answer
    messages = told(deliver())
    assert len(messages) == 1
    assert "evil" not in messages[0]
    assert "locked" not in messages[0]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/change-email", {"email": "victim@example.com"}),
        ("/identities/add", {"email": "victim@example.com"}),
        ("/tokens", {"name": LURE[:60], "scopes": ["read"], "expires_in_days": 30}),
        ("/identities/username", {"username": "evil.example"}),
        ("/us-verify/send-code", {"chosen_method": "email"}),
        ("/my-data/delete", {"sure": True}),
    ],
)
@pytest.mark.settings(personal_tokens=5)
def test_notices_contain_no_text_supplied_in_a_session(app, wire, ada, deliver, path, fields):
    here = sign_in(wire, ada)
    answer = here.post(path, headers=HEADERS, **FIELDS | fields)
    assert answer.status < 400, answer
    messages = told(deliver())
    assert messages
    assert not [said for said in messages if "evil" in said or "locked" in said]


def test_authenticator_notice_omits_the_app_name(wire, ada, deliver, rows):
    from app.enrollments.models import Enrollment

    here = sign_in(wire, ada)
    begun = here.post("/us-setup", chosen_method="authenticator")
    assert here.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)), name=LURE[:60]).ok
    (its_id,) = [row.id for row in rows(Enrollment, method="authenticator") if row.name]
    assert here.post("/us-authenticator-delete", id=its_id).ok
    messages = told(deliver())
    assert len(messages) == 2
    assert not [said for said in messages if "evil" in said or "locked" in said]


@pytest.fixture
def sweep(app, deliver):
    """Returns what leaves once a worker has swept, and the outbox has run."""

    def run() -> list[str]:
        with app.app_context():
            jobs.run_periodic_tasks(threading.Event())
        return told(deliver())

    return run


def test_new_browser_notice_omits_the_user_agent(wire, ada, sweep):
    sign_in(wire.elsewhere(), ada)
    here = wire.elsewhere(agent=LURE)
    assert here.post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok
    said = [each for each in sweep() if "new browser" in each]
    assert said
    assert "Unknown browser" in said[-1]
    assert not [each for each in said if "evil" in each]


def test_raw_user_agent_is_not_stored(wire, ada, database, deliver):
    wire.post("/us-signin/send-code", headers=HEADERS, identity=ada.email, chosen_method="email")
    wire.post("/us-signin", headers=HEADERS, identity=ada.email, passcode="00000000")
    sign_in(wire.elsewhere(agent=LURE), ada)
    for table in db.metadata.tables.values():
        stored = database.query(f'SELECT * FROM "{table.name}"')
        assert "evil" not in repr(stored), table.name


@pytest.fixture
def old_rows(wire, ada, database, deliver):
    """Rows as a release wrote them that kept the header: a session, a challenge, a known browser, events."""
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    wire.post("/us-signin", identity=ada.email, passcode="00000000")
    here = sign_in(wire, ada)
    for table in ("auth_session", "challenge", "standing", "event"):
        database.query(f"UPDATE {table} SET agent = '{LURE}' WHERE agent != '' RETURNING id")
    return here


@pytest.mark.parametrize(("path", "names_it"), [("/", False), ("/sessions", True), ("/activity", True)])
def test_previously_stored_user_agent_is_not_shown_on_pages(old_rows, path, names_it):
    answer = old_rows.get(path)
    assert answer.ok
    assert "Unknown browser" in answer.text or not names_it
    assert "evil" not in answer.text


def test_previously_stored_user_agent_is_not_exported(app, old_rows, rows):
    assert old_rows.post("/my-data/export").ok
    with app.app_context():
        jobs.run_jobs(threading.Event())
    answer = old_rows.get(f"/my-data/export/{rows(Export)[0].id}")
    found = zipfile.ZipFile(io.BytesIO(answer.response.get_data()))
    texts = [found.read(name).decode() for name in found.namelist()]
    assert any("Unknown browser" in text for text in texts)
    assert not [text for text in texts if "evil" in text]


def test_previously_stored_user_agent_is_not_printed_by_commands(app, old_rows, ada, rows):
    def typed(*words: str) -> str:
        return app.test_cli_runner().invoke(args=words).output

    support_id = rows(AuthSession) and typed("attempts", "list", "--identity", ada.email).split("  ")[1]
    outputs = [typed("users", "sessions", "list", ada.email), typed("attempts", "show", support_id)]
    assert all("Unknown browser" in output for output in outputs), outputs
    assert not [output for output in outputs if "evil" in output]


def test_previously_stored_user_agent_is_not_sent_by_email(old_rows, database, clock, sweep):
    clock.shift(3600)
    database.query("UPDATE auth_session SET untold = true WHERE agent != '' RETURNING id")
    messages = sweep()
    assert [said for said in messages if "new browser" in said]
    assert not [said for said in messages if "evil" in said]


@pytest.mark.parametrize("kind", ["changed", "new_device", "help_asked"])
def test_previously_queued_message_is_sent_without_the_user_agent(app, ada, deliver, kind):
    facts = {"what": "It changed.", "browser": LURE, "agent": LURE, "address": "", "family": "f" * 32, "whose": "ada"}
    with app.app_context():
        outbox.enqueue(kind, "mail", ada.email, user_id=ada.id, **facts)
        db.session.commit()
    (said,) = told(deliver())
    assert "Unknown browser" in said
    assert "evil" not in said


@pytest.mark.parametrize(("username", "said"), [("evil.example", "evil dot example"), ("ada_l", "ada_l")])
def test_username_is_not_a_link_in_email(username, said):
    assert _without_links({"email": "ada@example.com", "username": username}) == ["ada@example.com", said]


def test_every_agent_column_uses_the_browser_name_type(app):
    columns = [table.c.agent for table in db.metadata.tables.values() if "agent" in table.c]
    assert len(columns) >= 7
    assert [str(column) for column in columns if not isinstance(column.type, BrowserName)] == []
