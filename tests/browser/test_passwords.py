"""The first step with passwords turned on: what Enter does, with JavaScript and without."""

from __future__ import annotations

import pytest

from app import create_app
from app.extensions import db
from config.settings import Settings
from tests.factories import People
from tests.serving import Server, free_port

IDENTITY, FOLDED, TYPED = "Email, phone or username", "Use a password", "Password"
PASSWORD = "correct horse battery staple"

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def live_server(shared_server, databases, tmp_path_factory):
    """A service like the shared one with passwords turned on."""
    port, folder, database = free_port(), tmp_path_factory.mktemp("passwords"), databases.fresh("sqlite")
    own = {
        "LATCHKEY_DATABASE_URL": database.url,
        "LATCHKEY_PUBLIC_URL": f"http://localhost:{port}",
        "LATCHKEY_QUEUE_URL": f"sqlite:///{folder}/queue.db",
        "LATCHKEY_METHODS": "email,sms,password",
    }
    server = Server(shared_server.environment | own, folder / "server.log", port=port, name="localhost")
    yield server.start()
    server.kill()
    database.disconnect()


@pytest.fixture
def eve(live_server, email):
    """Someone with a mailbox and a password."""
    values = {name.removeprefix("LATCHKEY_").lower(): value for name, value in live_server.environment.items()}
    app = create_app(Settings(**values, log_level="warning"))
    yield People(app).open(email=email, password=PASSWORD, methods=["email", "password"])
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(params=[True, False], ids=["with script", "without script"])
def first_step(request, new_browser):
    """The first step, with the password field expanded."""
    page = new_browser(java_script_enabled=request.param)
    page.goto("/us-signin")
    page.get_by_text(FOLDED, exact=True).click()
    return page


def test_enter_in_identity_or_password_field_signs_in_by_password(first_step, eve, mailbox):
    for label in (TYPED, IDENTITY):
        first_step.context.clear_cookies()
        first_step.goto("/us-signin")
        first_step.get_by_text(FOLDED, exact=True).click()
        first_step.get_by_label(IDENTITY).fill(eve.email)
        first_step.get_by_label(TYPED, exact=True).fill(PASSWORD)
        first_step.get_by_label(label, exact=True).press("Enter")
        first_step.get_by_role("heading", name="Your account").wait_for()
    assert not [letter for letter in mailbox.to(eve.email) if letter.subject.startswith("Sign in to")]


def test_enter_without_a_password_sends_a_code(first_step, eve, mailbox):
    first_step.get_by_label(IDENTITY).fill(eve.email)
    first_step.get_by_label(IDENTITY).press("Enter")
    first_step.get_by_role("heading", name="Check your email").wait_for()
    assert mailbox.newest(eve.email, "Sign in to").code


def test_send_code_button_sends_a_code_even_with_password_filled_in(first_step, eve):
    first_step.get_by_label(IDENTITY).fill(eve.email)
    first_step.get_by_label(TYPED, exact=True).fill(PASSWORD)
    first_step.get_by_role("button", name="Send me a code").click()
    first_step.get_by_role("heading", name="Check your email").wait_for()


def test_hidden_button_is_not_reachable_by_tab(first_step):
    field = first_step.get_by_label(IDENTITY)
    field.focus()
    field.press("Shift+Tab")
    assert first_step.evaluate("document.activeElement.getAttribute('aria-hidden')") is None
