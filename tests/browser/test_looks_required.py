"""Where a second factor is required: the pages that set it up during sign-in."""

from __future__ import annotations

import pytest

from tests.browser.test_looks import look as look
from tests.serving import Server, free_port


@pytest.fixture
def live_server(shared_server, fresh_database, tmp_path):
    """A service like the shared one that requires a second factor."""
    port = free_port()
    own = {
        "LATCHKEY_DATABASE_URL": fresh_database.url,
        "LATCHKEY_PUBLIC_URL": f"http://localhost:{port}",
        "LATCHKEY_QUEUE_URL": f"sqlite:///{tmp_path}/queue.db",
        "LATCHKEY_SECOND_FACTOR": "required",
    }
    server = Server(shared_server.environment | own, tmp_path / "server.log", port=port, name="localhost")
    yield server.start()
    server.kill()


@pytest.mark.one_database
def test_required_two_step_setup_pages_have_no_faults(look, email, mailbox):
    look.page.goto("/register")
    look.fill("Email", email)
    look.press("Send me a code")
    look.fill("Your code", mailbox.newest(email).code)
    look.press("Confirm and sign in")
    look.at("second step, required")
    look.fill("Phone number", "12")
    look.press("Text me a code", exact=False)
    look.at("second step, required, phone refused")
    look.press("Set up", exact=False)
    look.at("second step, required, authenticator")
    look.fill("Code from your app", "000000")
    look.press("Confirm", exact=False)
    look.at("second step, required, authenticator refused")
    assert look.faults == []
